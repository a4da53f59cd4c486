"""Files of a run: parts as JSON, directory, checkpoints, logs, and how to read them."""

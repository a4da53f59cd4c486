"""Running experiments: precision, compilation, devices, files and results."""

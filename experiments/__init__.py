"""One runnable system a file: `python -m experiments.quantum_dot --help`."""

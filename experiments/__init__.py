"""One runnable system a file: `python -m experiments.quantum_dot --help`."""

# Files of this folder that are no experiments.
SHARED = ("chain", "lattices", "options", "singlets", "trap_ansatze")

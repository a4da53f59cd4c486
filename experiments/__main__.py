"""`python -m experiments` is the command `nqs`."""

from experiments.command_line.main import main

if __name__ == "__main__":
    main()

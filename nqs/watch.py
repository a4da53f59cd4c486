"""The command `python -m nqs.watch DIR ...`."""

import sys
from pathlib import Path

import tyro

from nqs.runs.directory import RunError
from nqs.runs.follow import follow


def command(
    directories: tyro.conf.Positional[tuple[Path, ...]],
    every: float = 2.0,
    once: bool = False,
):
    """Follow runs from their files: energy, variance, acceptance, time left.

    Args:
      directories: of runs or series of runs, which may run on another machine.
      every: seconds between two looks.
      once: show the state and end.
    """
    if not directories:
        raise ValueError("watch must be followed by a run directory")
    follow(directories, every, once)


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and follow; errors end with one sentence and 1."""
    try:
        tyro.cli(command, prog=prog or "python -m nqs.watch", args=arguments)
    except KeyboardInterrupt:  # the way to end a live view
        pass
    except (RunError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

"""The command `python -m nqs.watch DIR ...`."""

import contextlib
from pathlib import Path

import tyro

from nqs.runs.commands import carry_out
from nqs.views.follow import follow


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
    with contextlib.suppress(KeyboardInterrupt):  # the way to end a live view
        carry_out(command, arguments, prog or "python -m nqs.watch")


if __name__ == "__main__":
    main()

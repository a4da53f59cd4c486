"""The command `python -m nqs.report DIR ...`."""

from pathlib import Path

import tyro

from nqs.runs.commands import carry_out
from nqs.views.page import write_page


def command(
    directories: tyro.conf.Positional[tuple[Path, ...]], output: Path | None = None
):
    """Write one HTML page about runs, which needs no network.

    Args:
      directories: of runs or series of runs; several are compared side by side.
      output: file to write; by default `report.html` in the first directory.
    """
    if not directories:
        raise ValueError("report must be followed by a run directory")
    print(f"report {write_page(directories, output)}")


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and write; errors end with one sentence and 1."""
    carry_out(command, arguments, prog or "python -m nqs.report")


if __name__ == "__main__":
    main()

"""The command `python -m nqs.figures DIR`."""

from pathlib import Path

import tyro

from nqs.files.reading import read
from nqs.runs.commands import carry_out
from nqs.views.redraw import redraw


def command(
    directory: tyro.conf.Positional[Path],
    formats: tuple[str, ...] = ("png", "pdf"),
    style: str | None = None,
    output: Path | None = None,
):
    """Draw the figures of a finished run again, from its saved arrays.

    Args:
      directory: of the run.
      formats: of the files.
      style: name or file of a matplotlib style.
      output: folder of the files; by default `figures/` of the run.
    """
    print(f"figures {redraw(read(directory), output, formats, style)}")


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and draw; errors end with one sentence and 1."""
    carry_out(command, arguments, prog or "python -m nqs.figures")


if __name__ == "__main__":
    main()

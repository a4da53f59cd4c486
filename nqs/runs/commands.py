"""The commands `python -m nqs.NAME`; this module does not import JAX."""

import sys
from collections.abc import Callable

from nqs.files.directory import RunError


def carry_out(command: Callable, arguments: list[str] | None, prog: str) -> None:
    """Read the command line and call a function; errors end with one sentence and 1.

    Args:
      command: whose arguments are the options.
      arguments: of the command line; None for those of the process.
      prog: the command, as the help shows it.
    """
    import tyro

    try:
        tyro.cli(command, prog=prog, args=arguments)
    except (RunError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None

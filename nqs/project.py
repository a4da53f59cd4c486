"""The command `python -m nqs.project DIR --time-step 0.01 0.005`."""

import sys
from pathlib import Path

import tyro

from nqs.runs.directory import RunError
from nqs.runs.projection_settings import ProjectionSettings


def command(
    directory: tyro.conf.Positional[Path],
    settings: tyro.conf.OmitArgPrefixes[ProjectionSettings],
    resume: bool = False,
):
    """Project the psi of a finished run: diffusion or Green's function Monte Carlo.

    Args:
      directory: of the run.
      settings: of the projection.
      resume: continue the last projection of the run, with its settings.
    """
    from nqs.runs.projection import project

    project(directory, settings, resume)


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and project; errors end with one sentence and 1."""
    try:
        tyro.cli(command, prog=prog or "python -m nqs.project", args=arguments)
    except (RunError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

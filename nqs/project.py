"""The command `python -m nqs.project DIR --time-step 0.01 0.005`."""

from pathlib import Path

import tyro

from nqs.projection.settings import ProjectionSettings
from nqs.runs.commands import carry_out


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
    from nqs.projection.run import project

    project(directory, settings, resume)


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and project; errors end with one sentence and 1."""
    carry_out(command, arguments, prog or "python -m nqs.project")


if __name__ == "__main__":
    main()

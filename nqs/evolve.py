"""The command `python -m nqs.evolve DIR --time 2 --quench omega=2`."""

from pathlib import Path

import tyro

from nqs.evolution.settings import EvolutionSettings
from nqs.runs.commands import carry_out


def command(
    directory: tyro.conf.Positional[Path],
    settings: tyro.conf.OmitArgPrefixes[EvolutionSettings],
    resume: bool = False,
):
    """Evolve the psi of a finished run in real time.

    Args:
      directory: of the run.
      settings: of the evolution.
      resume: continue the last evolution of the run, with its settings.
    """
    from nqs.evolution.run import evolve

    evolve(directory, settings, resume)


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and evolve; errors end with one sentence and 1."""
    carry_out(command, arguments, prog or "python -m nqs.evolve")


if __name__ == "__main__":
    main()

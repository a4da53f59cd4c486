"""The command `python -m nqs.evaluate DIR --steps 2000 --seed 1`.

This module hides the function `nqs.evaluate` once it is imported, so that it can be
called like the function.
"""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import tyro

from nqs.runs.again import evaluate_again
from nqs.runs.commands import carry_out


def command(
    directory: tyro.conf.Positional[Path],
    steps: int = 1000,
    seed: int = 1,
    untrained: bool = False,
    lanczos: bool = False,
):
    """Measure the energy and observables of a finished run again.

    Args:
      directory: of the run.
      steps: sampler steps with frozen parameters.
      seed: of the new samples.
      untrained: measure a run whose training has not begun.
      lanczos: measure the energy after one Lanczos step too, on a lattice. A sample
        costs the local energies of all configurations that H connects with it.
    """
    evaluate_again(directory, steps, seed, untrained, lanczos)


def main(arguments: list[str] | None = None, prog: str | None = None) -> None:
    """Read the command line and evaluate; errors end with one sentence and 1."""
    carry_out(command, arguments, prog or "python -m nqs.evaluate")


class _Callable(ModuleType):
    """This module as the function `nqs.evaluate`."""

    def __call__(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        from nqs.runs.measuring import evaluate

        return evaluate(*arguments, **options)


sys.modules[__name__].__class__ = _Callable

if __name__ == "__main__":
    main()

"""Measurements with frozen parameters, of one step or of many."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np


class Measurements(NamedTuple):
    """Measurements of one step; many steps have one more, leading axis.

    Attributes:
      acceptance: (), of the moves.
      non_finite: (), local energies or wave-function values that are not finite.
      terms: (w,) each, contributions to the local energy.
      scalars: (w,) each, observables without a grid; (w, ...) of derived ones.
      profiles: (groups, ...) each, observables on a grid, means of groups of walkers.
    """

    acceptance: Any
    non_finite: Any
    terms: dict[str, Any]
    scalars: dict[str, Any]
    profiles: dict[str, Any]


def stack(measured: Sequence[Measurements]) -> Measurements:
    """The measurements of many steps, stacked along a leading axis."""
    return jax.tree.map(lambda *steps: np.stack(steps), *measured)


def means(measured: Measurements) -> dict[str, list[Any]]:
    """Mean and standard error of every observable over the walkers of one step.

    Each walker, or group of walkers, counts as an independent sample. A single group
    gives no error. Arrays of derived observables have no mean.
    """
    found = {}
    scalars = {k: v for k, v in measured.scalars.items() if np.ndim(v) == 1}
    for name, values in {**scalars, **measured.profiles}.items():
        values, error = np.real(values), None
        if len(values) > 1:
            error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        found[name] = [values.mean(axis=0), error]
    return found

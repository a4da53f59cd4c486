"""K equal systems side by side."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import require, settle, whole
from nqs.excited.states import States
from nqs.types import (
    Ansatz,
    Configuration,
    Hamiltonian,
    Params,
    Reference,
    Walkers,
)


@dataclasses.dataclass(frozen=True)
class SideBySide(Hamiltonian):
    """K equal systems without interaction, sum_j H_j, for the ansatz `States`.

    A configuration of particles is (K n, d), of a lattice (K s,).

    Attributes:
      system: Hamiltonian of one system.
      count: K.

    Raises:
      ValueError: if count is not at least 2, for a classical system, or for one whose
        configurations are not arrays.
    """

    system: Hamiltonian
    count: int

    def __post_init__(self):
        require(self, whole, "count", least=2)
        if hasattr(self.system, "temperature"):
            name = type(self.system).__name__
            raise ValueError(f"system must have quantum states, got {name}")
        of_one = ("energy_unit", "length_unit", "length_scale")
        settle(self, **{name: getattr(self.system, name) for name in of_one})
        settle(self, n=self.count * self.system.n)

    def terms(self, ansatz: Ansatz, params: Params, x: Configuration) -> dict[str, Any]:
        """Sums over the systems of the terms of one: traces of their matrices."""
        if not (isinstance(ansatz, States) and ansatz.count == self.count):
            found = getattr(ansatz, "count", "")
            raise ValueError(
                f"ansatz must be States of {self.count} states for SideBySide, got "
                f"{type(ansatz).__name__} {found}".rstrip()
            )
        matrices = ansatz.matrix(self.system.terms, params, x)
        return {name: jnp.trace(matrix) for name, matrix in matrices.items()}

    def initial_walkers(self, key: Array, n_walkers: int) -> Walkers:
        """Independent walkers (w, K n, ...) of every system, side by side."""
        n_walkers = whole("n_walkers", n_walkers)
        one = self.system.initial_walkers(key, n_walkers * self.count)
        if not isinstance(one, Array):  # a sampler might exchange spins of two systems
            name = type(self.system).__name__
            raise ValueError(f"walkers of one system must be an array for {name}")
        return one.reshape(n_walkers, -1, *one.shape[2:])

    def spectrum(self, count: int) -> tuple[Reference, ...]:
        """Those of one system."""
        return self.system.spectrum(count)

    def references(self) -> tuple[Reference, ...]:
        """The sum of the levels, where all are known."""
        levels = self.spectrum(self.count)
        if len(levels) < self.count:
            return ()
        total = sum(level.value for level in levels)
        error = float(np.linalg.norm([level.error for level in levels]))
        source = f"sum of {self.count} levels: {levels[0].source}"
        return (Reference(total, error, levels[0].kind, source),)

"""Fermions of two spins in a periodic box."""

import abc
import dataclasses

from jax import Array

from nqs.space.box import Box, spread_out
from nqs.space.spins import Spins, check_spins
from nqs.types import Hamiltonian


@dataclasses.dataclass(frozen=True)
class PeriodicFermions(Hamiltonian):
    """Fermions of two spins in a periodic box.

    Attributes:
      spins: numbers of each spin.
    """

    spins: Spins

    def __post_init__(self):
        check_spins(self.spins)

    @property
    def n(self) -> int:
        """Number of fermions."""
        return self.spins.n

    @property
    @abc.abstractmethod
    def box(self) -> Box:
        """The periodic cell."""

    def initial_walkers(self, key: Array, n_walkers: int) -> Array:
        """Separated positions (w, n, d) in the cell, see `spread_out`."""
        return spread_out(self.box, key, n_walkers, self.n)

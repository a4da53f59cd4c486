"""What Hamiltonians on a lattice have in common: their matrix, row by row."""

import abc
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.checks import finite, settle
from nqs.ratios.sites import site_ratios_of
from nqs.space.lattice import Sites
from nqs.types import Ansatz, Hamiltonian, Params


class Connected(NamedTuple):
    """The configurations x' != x with <x|H|x'> != 0, always as many.

    Attributes:
      sites: (c, k) sites at which x' differs from x.
      values: (c, k) levels there.
      elements: (c,) <x|H|x'>; 0 for those that only fill up the shape.
    """

    sites: Array
    values: Array
    elements: Array


class OnLattice(Hamiltonian):
    """A system of levels x (s,) on the sites of a lattice.

    Attributes:
      lattice: sites and bonds.
      levels: q of each site.
    """

    lattice: Sites
    levels: int = 2

    energy_unit = "J"
    length_unit = None

    @property
    def n(self) -> int:
        """Number of sites."""
        return self.lattice.n

    @property
    def total(self) -> int | None:
        """The sum of all levels where it is conserved, and then that of the walkers."""
        return None

    def initial_walkers(self, key: Array, n_walkers: int) -> Array:
        """Levels (w, s) drawn uniformly, with the conserved sum if there is one.

        Raises:
          ValueError: if n_walkers is below 1, or no levels have the conserved sum.
        """
        if n_walkers < 1:
            raise ValueError(f"n_walkers must be at least 1, got {n_walkers}")
        if self.total is None:
            return jax.random.randint(key, (n_walkers, self.n), 0, self.levels)
        most = self.n * (self.levels - 1)
        if not 0 <= self.total <= most:
            raise ValueError(f"total must be 0 to {most}, got {self.total!r}")
        each, rest = divmod(self.total, self.n)
        levels = each + (jnp.arange(self.n) < rest)
        shuffle = jax.vmap(lambda key: jax.random.permutation(key, levels))
        return shuffle(jax.random.split(key, n_walkers)).astype(int)


class LatticeModel(OnLattice):
    """A Hamiltonian given by its matrix elements between levels x (s,) of the sites.

    Attributes:
      off_diagonal: name of the term of `connected`.
    """

    off_diagonal: str

    @abc.abstractmethod
    def diagonal(self, x: Array) -> dict[str, Array]:
        """Named () contributions to <x|H|x>."""

    @abc.abstractmethod
    def connected(self, x: Array) -> Connected:
        """The off-diagonal elements of the row of x (s,)."""

    def terms(self, ansatz: Ansatz, params: Params, x: Array) -> dict[str, Array]:
        """The diagonal ones, and sum_x' <x|H|x'> psi(x') / psi(x).

        Args:
          ansatz: the wave function, whose `SiteRatios` are used if it has them.
          params: its parameters.
          x: (s,) levels.
        """
        ratios, row = site_ratios_of(ansatz), self.connected(x)
        tables = ratios.site_tables(params)
        cache = ratios.site_cache(tables, x)
        found = ratios.site_ratios(tables, cache, x, row.sites, row.values)
        return self.diagonal(x) | {self.off_diagonal: jnp.sum(row.elements * found)}


def check_finite(model: Hamiltonian, *fields: str) -> None:
    """Store couplings as plain numbers; refuse those that are not finite."""
    settle(model, **{name: finite(name, getattr(model, name)) for name in fields})

"""Hamiltonians on a lattice, given by the rows of their matrix."""

import abc
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.references.lanczos import diagonalized
from nqs.checks import whole
from nqs.ratios.rows import row_of
from nqs.ratios.sites import site_ratios_of
from nqs.space.lattice import Sites
from nqs.types import Ansatz, Hamiltonian, Params, Reference


class Connected(NamedTuple):
    """The configurations x' != x with <x|H|x'> != 0, in arrays of constant shape.

    The k sites of an element are different ones; where x' differs from x at fewer, the
    others keep their levels.
    """

    sites: Array  # (c, k) at which x' differs from x
    values: Array  # (c, k) levels x' there
    elements: Array  # (c,) <x|H|x'>, 0 for padding


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
    def size(self) -> int:
        """Number of levels in a configuration, here one for each site."""
        return self.n

    @property
    def total(self) -> int | None:
        """The conserved sum of all levels of a walker, None if there is none."""
        return None

    @property
    def totals(self) -> tuple[int, ...]:
        """Conserved sums of the levels in equal blocks of a walker, () for none."""
        return () if self.total is None else (self.total,)

    def initial_walkers(self, key: Array, n_walkers: int) -> Array:
        """Levels (w, s), drawn uniformly, or evenly filled and shuffled in a block."""
        n_walkers = whole("n_walkers", n_walkers)
        if not self.totals:
            return jax.random.randint(key, (n_walkers, self.size), 0, self.levels)
        n = self.size // len(self.totals)
        most = n * (self.levels - 1)
        totals = [whole("total", total, 0, most) for total in self.totals]
        each, rest = np.divmod(np.array(totals)[:, None], n)
        blocks = jnp.asarray(each + (np.arange(n) < rest))

        def shuffled(key):
            return jax.random.permutation(key, blocks, 1, independent=True).reshape(-1)

        return jax.vmap(shuffled)(jax.random.split(key, n_walkers)).astype(int)


class LatticeModel(OnLattice):
    """A Hamiltonian given by its matrix elements between levels x (s,) of the sites."""

    off_diagonal: str  # name of the term of `connected`

    @abc.abstractmethod
    def diagonal(self, x: Array) -> dict[str, Array]:
        """Named () contributions to <x|H|x>."""

    @abc.abstractmethod
    def connected(self, x: Array) -> Connected:
        """The off-diagonal elements of the row of x (s,)."""

    def terms(self, ansatz: Ansatz, params: Params, x: Array) -> dict[str, Array]:
        """The diagonal terms, and sum_x' <x|H|x'> psi(x') / psi(x), of levels x (s,).

        Uses the `SiteRatios` of the ansatz if it has them.
        """
        ratios = site_ratios_of(ansatz)
        tables = ratios.site_tables(params)
        cache = ratios.site_cache(tables, x)
        return row_of(self, ratios, tables, cache, x).terms

    def references(self) -> tuple[Reference, ...]:
        """Exact for few configurations."""
        return diagonalized(self)

    def spectrum(self, count: int) -> tuple[Reference, ...]:
        """The lowest levels of few sites; else the ground state, where it is exact."""
        return diagonalized(self, count) or super().spectrum(count)

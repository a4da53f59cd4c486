"""`Symmetrized` on a small lattice: psi of each orbit of configurations, in a table."""

import dataclasses
from functools import cached_property, partial
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from nqs.ansatze.site_features import permutations
from nqs.ansatze.symmetrized import Symmetrized
from nqs.batching import chunked_map
from nqs.checks import whole
from nqs.ratios.sites import RatiosOfMoves
from nqs.space.lattice import Lattice
from nqs.space.orbits import OrbitTable, orbit_table
from nqs.types import Ansatz, LogPsi, Params

CONFIGURATIONS = 2**18  # most of all sums; each program contains a number for each
# Most orbits. On a CPU the table and the average take the same time with 18 orbits a
# walker (Ising ring of 16 sites); the experiments have 1024 walkers.
ORBITS = 4096


class Place(NamedTuple):
    """A configuration by its index (), and psi there."""

    index: Array
    psi: LogPsi


@dataclasses.dataclass(frozen=True)
class SymmetrizedOrbits(RatiosOfMoves, Symmetrized):
    """The psi of `Symmetrized`, whose ratios are looked up.

    Psi of one configuration of every orbit is evaluated once for all walkers.

    Attributes:
      base, lattice, point_group, momentum, irrep: as of `Symmetrized`.
      levels: q of each site.
      totals: the conserved sum of all levels of every configuration, as a tuple of one;
        () for none. Ratios to configurations with another sum are zero.

    Raises:
      ValueError: as `Symmetrized`, for more than 2^18 configurations of any sum, or a
        sum that no configuration has.
    """

    levels: int = 2
    totals: tuple[int, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        whole("levels", self.levels, 2)
        if not isinstance(self.totals, tuple) or len(self.totals) > 1:
            raise ValueError(
                f"totals must be a tuple of at most one sum, got {self.totals!r}"
            )
        for total in self.totals:
            whole("totals", total, 0, self.lattice.n * (self.levels - 1))
        if self.levels**self.lattice.n > CONFIGURATIONS:
            raise ValueError(
                f"levels ** sites must be at most {CONFIGURATIONS}, got {self.levels} "
                f"levels of {self.lattice.n} sites; use Symmetrized"
            )

    @property
    def n_orbits(self) -> int:
        """Number of orbits, with one of all configurations where psi is zero."""
        return len(self._table.representatives) + 1

    def orbit(self, x: Array) -> Array:
        """The number () of the orbit of levels x (s,)."""
        return jnp.asarray(self._table.numbers)[self._index(x)]

    def site_tables(self, params: Params) -> LogPsi:
        """Log psi (o,) of a configuration of every orbit, the last of them zero."""
        representatives = jnp.asarray(self._table.representatives, int)
        psi = chunked_map(partial(self.apply, params), representatives)
        return LogPsi(
            jnp.append(psi.sign, jnp.zeros((), psi.sign.dtype)),
            jnp.append(psi.logabs, jnp.full((), -jnp.inf, psi.logabs.dtype)),
        )

    def site_cache(self, tables: LogPsi, x: Array) -> Place:
        """The index of one configuration, and psi."""
        return self._place(tables, self._index(x))

    def site_move(
        self, tables: LogPsi, cache: Place, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Place]:
        """The ratio () of one change (k,), and index and psi after it."""
        powers = jnp.asarray(self._table.powers, int)
        change = jnp.asarray(values, int) - jnp.asarray(x[sites], int)
        moved = cache.index + jnp.sum(powers[sites] * change)
        new, old = self._place(tables, moved), cache.psi
        tiny = jnp.finfo(old.logabs.dtype).tiny ** 0.5  # a node can be left
        ratio = jnp.where(old.sign == 0, new.psi.sign / tiny, new.psi.over(old))
        return ratio, new

    def _index(self, x: Array) -> Array:
        return jnp.sum(jnp.asarray(x, int) * jnp.asarray(self._table.powers, int))

    def _place(self, tables: LogPsi, index: Array) -> Place:
        number = jnp.asarray(self._table.numbers)[index]
        sign, logabs = (leaf[number] for leaf in tables)
        if not self._is_invariant:
            characters = jnp.asarray(self._table.characters, sign.dtype)
            sign = sign * characters[index]
        return Place(index, LogPsi(sign, logabs))

    @cached_property
    def _table(self) -> OrbitTable:
        group = permutations(self.lattice, self.point_group)
        return orbit_table(group, self._characters(group), self.levels, *self.totals)


def group_average(
    base: Ansatz, lattice: Lattice, levels: int, totals: tuple[int, ...], **sector
) -> Symmetrized:
    """`SymmetrizedOrbits` where there are few orbits, else `Symmetrized`.

    Args:
      base: the wave function that is averaged.
      lattice: of the sites.
      levels: q of each site.
      totals: the conserved sum of all levels, () for none.
      sector: further fields of `Symmetrized`.
    """
    if levels**lattice.n <= CONFIGURATIONS:
        known = {"levels": levels, "totals": totals}
        ansatz = SymmetrizedOrbits(base, lattice, **sector, **known)
        if ansatz.n_orbits <= ORBITS:
            return ansatz
    return Symmetrized(base, lattice, **sector)

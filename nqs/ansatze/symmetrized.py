"""Any lattice ansatz, averaged over a group of permutations of the sites."""

import dataclasses
import math
import sys
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.layers import log_sum
from nqs.ansatze.site_features import permutations
from nqs.capabilities import Invariant
from nqs.checks import whole
from nqs.ratios.sites import site_ratios_of
from nqs.space.lattice import Lattice
from nqs.space.sectors import Irrep, characters, keeps, point_characters
from nqs.types import Ansatz, LogPsi, Params


class Tables(NamedTuple):
    """Tables of the base, and the parameters."""

    base: Any
    params: Params


class Cache(NamedTuple):
    """Weights (g,) psi(g x) / psi_sym(x) / |G|, and the base cache of each g x."""

    weights: Array
    base: Any


@dataclasses.dataclass(frozen=True)
class Symmetrized:
    """psi(x) = (1 / |G|) sum_g conj(chi_g) base(g x), with psi(g x) = chi_g psi(x).

    chi_g = 1 makes psi invariant under the group. A momentum, and a representation of
    the point group, give other sectors; see `nqs.space.sectors`. Symmetries that the
    base has already are left out of the average. On a small lattice
    `SymmetrizedOrbits` is the same psi and faster.

    Attributes:
      base: the wave function that is averaged.
      lattice: whose translations, and point group, are the group.
      point_group: rotations and reflections too.
      momentum: k, integers for the axes; psi is complex unless every 2 k_a / length_a
        is an integer. None for zero.
      irrep: representation of the point group, one-dimensional.

    Raises:
      ValueError: for a momentum with another number of axes, or that the point group
        changes, an irrep that the lattice does not have, or a base whose own
        symmetries make psi zero.
    """

    base: Ansatz
    lattice: Lattice
    point_group: bool = True
    momentum: tuple[int, ...] | None = None
    irrep: Irrep = "A1"

    def __post_init__(self):
        point_characters(self.lattice, self.irrep)
        if self.irrep != "A1" and not self.point_group:
            raise ValueError(
                f"irrep must be 'A1' with point_group=False, got {self.irrep!r}"
            )
        if self.momentum is not None:
            self._check_momentum(self.momentum)
        own = invariances(self.base)
        if own is not None and np.any(np.abs(self._characters(own) - 1) > 1e-9):
            raise ValueError(
                "base must not be invariant under symmetries that change the sign of "
                f"psi, got {type(self.base).__name__}, whose psi is zero in the sector "
                f"with momentum={self.momentum} and irrep={self.irrep!r}"
            )

    def _check_momentum(self, momentum: tuple[int, ...]) -> None:
        axes = len(self.lattice.extent)
        if not isinstance(momentum, tuple):
            raise ValueError(
                f"momentum must be a tuple of {axes} integers, got {momentum!r}"
            )
        found = tuple(whole("momentum", k, -sys.maxsize) for k in momentum)
        if len(found) != axes or not self.lattice.periodic:
            raise ValueError(
                f"momentum must have {axes} integers, and requires a periodic lattice, "
                f"got {momentum} on {self.lattice}"
            )
        if self.point_group and not keeps(self.lattice, found):
            raise ValueError(
                "momentum must stay the same under rotations and reflections, or have "
                f"point_group=False, got {momentum} on {self.lattice}"
            )

    def init(self, key: Array, x: Array, /) -> Params:
        """The parameters of the base."""
        return self.base.init(key, x)

    def apply(self, params: Params, x: Array, /) -> LogPsi:
        """Log psi of levels x (s,)."""
        # a NumPy index fails where one function is traced in both precisions
        psi = jax.vmap(partial(self.base.apply, params))(x[jnp.asarray(self._group)])
        total = log_sum(self._weighted(psi.sign), psi.logabs)
        sign = jnp.where(total.logabs == -jnp.inf, 0, total.sign)  # not NaN at a node
        return LogPsi(sign, total.logabs - math.log(len(self._group)))

    def site_tables(self, params: Params) -> Tables:
        """Tables of the base, and the parameters."""
        return Tables(site_ratios_of(self.base).site_tables(params), params)

    def site_cache(self, tables: Tables, x: Array) -> Cache:
        """One configuration for every element of the group."""
        turned, ratios = x[jnp.asarray(self._group)], site_ratios_of(self.base)
        psi = jax.vmap(partial(self.base.apply, tables.params))(turned)
        signs = self._weighted(psi.sign)
        values = signs * jnp.exp(psi.logabs - jnp.max(psi.logabs))
        base = jax.vmap(partial(ratios.site_cache, tables.base))(turned)
        total = jnp.sum(values)  # zero where a momentum makes psi zero
        tiny = jnp.finfo(psi.logabs.dtype).tiny ** 0.5
        return Cache(values / jnp.where(total == 0, tiny, total), base)

    def site_ratios(
        self, tables: Tables, cache: Cache, x: Array, sites: Array, values: Array
    ) -> Array:
        """(c,) ratios for changes (c, k), each an average of those of all g x.

        One after the other, and only those that change a level: many exchanges do not.
        """
        sites, values = jnp.asarray(sites), jnp.asarray(values)
        changes = jnp.any(values != x[sites], axis=1)
        order = jnp.argsort(~changes)

        def add(k, ratios):
            i = order[k]
            ratio, _ = self.site_move(tables, cache, x, sites[i], values[i])
            return ratios.at[i].set(ratio)

        ones = jnp.ones(len(sites), cache.weights.dtype)
        return jax.lax.fori_loop(0, jnp.sum(changes), add, ones)

    def site_move(
        self, tables: Tables, cache: Cache, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Cache]:
        """The ratio () of one change (k,), and the cache after it."""
        method = site_ratios_of(self.base).site_move
        ratios, base = self._of_all(method, tables, cache, x, sites, values)
        weighted = cache.weights * ratios
        ratio = jnp.sum(weighted)
        return ratio, Cache(weighted / ratio, base)

    def _of_all(
        self, method: Callable, tables: Tables, cache: Cache, x, sites, values
    ) -> Any:
        """A method of the base for the same change of every g x."""
        group, back = map(jnp.asarray, (self._group, np.argsort(self._group, axis=1)))

        def of_element(base, turn, back):
            return method(tables.base, base, x[turn], back[sites], values)

        return jax.vmap(of_element)(cache.base, group, back)

    def _weighted(self, signs: Array) -> Array:
        """Signs (g,) of base(g x) times conj(chi_g)."""
        if self._is_invariant:
            return signs
        sector = self._characters(self._group)
        kind = jnp.result_type(signs, 1j) if np.iscomplexobj(sector) else signs.dtype
        return signs * jnp.asarray(np.conj(sector), kind)

    @property
    def _is_invariant(self) -> bool:
        """Whether all characters are 1."""
        return self.momentum is None and self.irrep == "A1"

    def _characters(self, group: np.ndarray) -> np.ndarray:
        return characters(self.lattice, group, self.momentum, self.irrep)

    @cached_property
    def _group(self) -> np.ndarray:
        """Permutations (g, s): site i of g x has the level of site g_i of x."""
        group = permutations(self.lattice, self.point_group)
        own = invariances(self.base)
        return group if own is None else representatives(group, own)


def invariances(ansatz: Ansatz) -> np.ndarray | None:
    """Permutations (h, s) that leave psi as it is by construction, or None."""
    return ansatz.invariances() if isinstance(ansatz, Invariant) else None


def representatives(group: np.ndarray, subgroup: np.ndarray) -> np.ndarray:
    """One permutation g (s,) from every set {g h} with h in a subgroup."""
    kept, known = [], set()
    for g in group:
        if tuple(g.tolist()) not in known:
            kept.append(g)
            known.update(map(tuple, g[subgroup].tolist()))
    return np.array(kept)

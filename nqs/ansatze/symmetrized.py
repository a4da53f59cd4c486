"""Any lattice ansatz, averaged over a group of permutations of the sites."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.ratios.sites import site_ratios_of
from nqs.space.lattice import Lattice
from nqs.types import Ansatz, LogPsi, Params


class Tables(NamedTuple):
    """Of the base, and the parameters themselves."""

    base: Any
    params: Params


class Cache(NamedTuple):
    """Weights (g,) psi(g x) / psi_sym(x) / |G|, and the base cache of each g x."""

    weights: Array
    base: Any


@dataclasses.dataclass(frozen=True)
class Symmetrized:
    """psi(x) = (1 / |G|) sum_g base(g x), invariant under the group.

    Attributes:
      base: the wave function that is averaged.
      lattice: whose translations, and point group, are the group.
      point_group: rotations and reflections too.
    """

    base: Ansatz
    lattice: Lattice
    point_group: bool = True

    def init(self, key: Array, x: Array, /) -> Params:
        """The parameters of the base."""
        return self.base.init(key, x)

    def apply(self, params: Params, x: Array, /) -> LogPsi:
        """Log psi of levels x (s,)."""
        psi = jax.vmap(lambda x: self.base.apply(params, x))(x[self._group])
        largest = jax.lax.stop_gradient(jnp.max(psi.logabs))
        total = jnp.mean(psi.sign * jnp.exp(psi.logabs - largest))
        size = jnp.abs(total)
        return LogPsi(total / size, jnp.log(size) + largest)

    def site_tables(self, params: Params) -> Tables:
        """Those of the base."""
        return Tables(site_ratios_of(self.base).site_tables(params), params)

    def site_cache(self, tables: Tables, x: Array) -> Cache:
        """One configuration for every element of the group."""
        turned, ratios = x[self._group], site_ratios_of(self.base)
        psi = jax.vmap(lambda x: self.base.apply(tables.params, x))(turned)
        values = psi.sign * jnp.exp(psi.logabs - jnp.max(psi.logabs))
        base = jax.vmap(lambda x: ratios.site_cache(tables.base, x))(turned)
        return Cache(values / jnp.sum(values), base)

    def site_ratios(
        self, tables: Tables, cache: Cache, x: Array, sites: Array, values: Array
    ) -> Array:
        """(c,) ratios for changes (c, k), each an average of those of all g x."""
        ratios = site_ratios_of(self.base)

        def of_element(base, turn, back):
            return ratios.site_ratios(tables.base, base, x[turn], back[sites], values)

        found = jax.vmap(of_element)(cache.base, self._group, self._inverse)
        return cache.weights @ found.astype(cache.weights.dtype)

    def site_move(
        self, tables: Tables, cache: Cache, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Cache]:
        """The ratio () of one change (k,), and the cache after it."""
        ratios = site_ratios_of(self.base)

        def of_element(base, turn, back):
            return ratios.site_move(tables.base, base, x[turn], back[sites], values)

        found, base = jax.vmap(of_element)(cache.base, self._group, self._inverse)
        weighted = cache.weights * found
        ratio = jnp.sum(weighted)
        return ratio, Cache(weighted / ratio, base)

    @property
    def _group(self) -> Array:
        """Permutations (g, s): site i of g x has the level of site g_i of x."""
        lattice = self.lattice
        return jnp.asarray(
            lattice.symmetries if self.point_group else lattice.translations
        )

    @property
    def _inverse(self) -> Array:
        return jnp.argsort(self._group, axis=1)

"""Any lattice ansatz, averaged over a group of permutations of the sites."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.layers import log_sum
from nqs.ansatze.site_features import permutations
from nqs.ratios.sites import site_ratios_of
from nqs.space.lattice import Lattice
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
        psi = jax.vmap(partial(self.base.apply, params))(x[self._group])
        total = log_sum(psi.sign, psi.logabs)
        return LogPsi(total.sign, total.logabs - math.log(len(self._group)))

    def site_tables(self, params: Params) -> Tables:
        """Tables of the base, and the parameters."""
        return Tables(site_ratios_of(self.base).site_tables(params), params)

    def site_cache(self, tables: Tables, x: Array) -> Cache:
        """One configuration for every element of the group."""
        turned, ratios = x[self._group], site_ratios_of(self.base)
        psi = jax.vmap(partial(self.base.apply, tables.params))(turned)
        values = psi.sign * jnp.exp(psi.logabs - jnp.max(psi.logabs))
        base = jax.vmap(partial(ratios.site_cache, tables.base))(turned)
        return Cache(values / jnp.sum(values), base)

    def site_ratios(
        self, tables: Tables, cache: Cache, x: Array, sites: Array, values: Array
    ) -> Array:
        """(c,) ratios for changes (c, k), each an average of those of all g x."""
        method = site_ratios_of(self.base).site_ratios
        ratios = self._of_all(method, tables, cache, x, sites, values)
        return cache.weights @ ratios.astype(cache.weights.dtype)

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
        group = jnp.asarray(self._group)

        def of_element(base, turn, back):
            return method(tables.base, base, x[turn], back[sites], values)

        return jax.vmap(of_element)(cache.base, group, jnp.argsort(group, axis=1))

    @property
    def _group(self) -> np.ndarray:
        """Permutations (g, s): site i of g x has the level of site g_i of x."""
        return permutations(self.lattice, self.point_group)

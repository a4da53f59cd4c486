"""The product of wave functions of one lattice, with ratios from its factors."""

from functools import reduce
from operator import mul
from typing import Any

import flax.linen as nn
import numpy as np
from jax import Array

from nqs.ansatze.jastrow import Product
from nqs.ansatze.symmetrized import invariances
from nqs.capabilities import SiteRatios
from nqs.ratios.sites import site_ratios_of
from nqs.types import Params


class LatticeProduct(Product, nn.Module):
    """The product of several wave functions of a lattice, such as pairs and a network.

    Attributes:
      factors: ansätze of levels x (s,).

    Raises:
      ValueError: for a factor without `init` and `apply`.
    """

    def invariances(self) -> np.ndarray | None:
        """The symmetries that all factors share; None where they are not known."""
        common: set[tuple[int, ...]] | None = None
        for factor in self.factors:
            own = invariances(factor)
            if own is None:
                return None
            found = {tuple(g) for g in own.tolist()}
            common = found if common is None else common & found
        return None if common is None else np.array(sorted(common))

    def site_tables(self, params: Params) -> list[Any]:
        """The tables of each factor."""
        own = [
            {"params": leaves} if isinstance(factor, nn.Module) else leaves
            for factor, leaves in zip(self.factors, self._leaves(params), strict=True)
        ]
        return [f.site_tables(p) for f, p in zip(self._ratios, own, strict=True)]

    def site_cache(self, tables: list[Any], x: Array) -> list[Any]:
        """The cache of each factor."""
        pairs = zip(self._ratios, tables, strict=True)
        return [factor.site_cache(table, x) for factor, table in pairs]

    def site_ratios(
        self, tables: list[Any], cache: list[Any], x: Array, sites: Array, values: Array
    ) -> Array:
        """(c,) ratios for changes (c, k)."""
        parts = zip(self._ratios, tables, cache, strict=True)
        found = [f.site_ratios(t, c, x, sites, values) for f, t, c in parts]
        return reduce(mul, found)

    def site_move(
        self, tables: list[Any], cache: list[Any], x: Array, sites: Array, values: Array
    ) -> tuple[Array, list[Any]]:
        """The ratio () of one change (k,), and the caches after it."""
        parts = zip(self._ratios, tables, cache, strict=True)
        found = [f.site_move(t, c, x, sites, values) for f, t, c in parts]
        return reduce(mul, [ratio for ratio, _ in found]), [moved for _, moved in found]

    @property
    def _ratios(self) -> list[SiteRatios]:
        return [site_ratios_of(factor) for factor in self.factors]

    def _leaves(self, params: Params) -> list[Any]:
        """The parameters of each factor; those without any are absent."""
        names = (f"factors_{k}" for k in range(len(self.factors)))
        return [params.get("params", {}).get(name, {}) for name in names]

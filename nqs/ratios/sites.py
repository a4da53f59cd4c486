"""Ratios psi(x')/psi(x) of lattice configurations, of any ansatz by one interface."""

import dataclasses
from typing import Any

import jax
from jax import Array

from nqs.capabilities import SiteRatios
from nqs.types import Ansatz, Configuration, LogPsi, Params


def site_ratios_of(ansatz: Ansatz) -> SiteRatios:
    """The ansatz itself where it has `SiteRatios`, else its values, one by one."""
    return ansatz if isinstance(ansatz, SiteRatios) else EvaluatedRatios(ansatz)


class RatiosOfMoves:
    """The ratios of `SiteRatios` from a method `site_move`."""

    site_move: Any

    def site_ratios(
        self, tables: Any, cache: Any, x: Configuration, sites: Array, values: Array
    ) -> Array:
        """(c,) ratios for changes (c, k)."""

        def ratio(sites, values):
            return self.site_move(tables, cache, x, sites, values)[0]

        return jax.vmap(ratio)(sites, values)


@dataclasses.dataclass(frozen=True)
class EvaluatedRatios(RatiosOfMoves):
    """`SiteRatios` from psi(x') and psi(x)."""

    ansatz: Ansatz

    def site_tables(self, params: Params) -> Params:
        """The parameters."""
        return params

    def site_cache(self, tables: Params, x: Configuration) -> LogPsi:
        """Log psi(x)."""
        return self.ansatz.apply(tables, x)

    def site_move(
        self, tables: Params, cache: LogPsi, x: Any, sites: Array, values: Array
    ) -> tuple[Array, LogPsi]:
        """The ratio () for a change (k,) and log psi(x')."""
        new = self.ansatz.apply(tables, x.at[sites].set(values))
        return new.over(cache), new

"""The modulus of a wave function to a power, from which walkers may be drawn."""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import Array

from nqs.capabilities import SiteRatios
from nqs.ratios.sites import RatiosOfMoves
from nqs.types import Ansatz, Configuration, LogPsi, Params


@dataclasses.dataclass(frozen=True)
class Power:
    """|psi|^exponent, of the parameters of psi.

    Attributes:
      ansatz: psi.
      exponent: 1/2 for walkers with the density |psi|.
    """

    ansatz: Ansatz
    exponent: float

    def init(self, key: Array, x: Configuration, /) -> Params:
        """Parameters of the ansatz."""
        return self.ansatz.init(key, x)

    def apply(self, params: Params, x: Configuration, /) -> LogPsi:
        """Log psi of one configuration, real."""
        logabs = self.exponent * self.ansatz.apply(params, x).logabs
        return LogPsi(jnp.ones_like(logabs), logabs)


@dataclasses.dataclass(frozen=True)
class PowerOfSites(RatiosOfMoves, Power):
    """`Power` of an ansatz with `SiteRatios`."""

    ansatz: Any  # of both protocols

    def site_tables(self, params: Params) -> Any:
        """Tables of the ansatz."""
        return self.ansatz.site_tables(params)

    def site_cache(self, tables: Any, x: Configuration) -> Any:
        """The cache of the ansatz."""
        return self.ansatz.site_cache(tables, x)

    def site_move(
        self, tables: Any, cache: Any, x: Configuration, sites: Array, values: Array
    ) -> tuple[Array, Any]:
        """The ratio () of one change (k,), and the cache after it."""
        ratio, moved = self.ansatz.site_move(tables, cache, x, sites, values)
        return jnp.abs(ratio) ** self.exponent, moved


def power(ansatz: Ansatz, exponent: float) -> Power:
    """`Power`, with the site ratios of the ansatz if it has them."""
    if isinstance(ansatz, SiteRatios):
        return PowerOfSites(ansatz, exponent)
    return Power(ansatz, exponent)

"""Boltzmann density of a classical model as a wave function without parameters."""

import dataclasses
from functools import cached_property
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.capabilities import Bonds
from nqs.ratios.sites import RatiosOfMoves
from nqs.types import LogPsi, Params


@dataclasses.dataclass(frozen=True)
class Boltzmann(RatiosOfMoves):
    """psi = exp(-E / 2 T), so that |psi|^2 is the Boltzmann density, not normalized.

    Attributes:
      model: a classical model with `energy(x)`, the sum of `bond` (q, q) over the
        edges of its `lattice`, and a `temperature`.
    """

    model: Any

    def init(self, key: Array, x: Array, /) -> Params:
        """No parameters."""
        return {}

    def apply(self, params: Params, x: Array, /) -> LogPsi:
        """Log psi of levels x (s,)."""
        logabs = -self.model.energy(x) / (2 * self.model.temperature)
        return LogPsi(jnp.ones_like(logabs), logabs)

    @cached_property
    def neighbors(self) -> np.ndarray:
        """(s, z) sites next to each; a site itself where there are fewer than z."""
        found: list[list[int]] = [[] for _ in range(self.model.lattice.n)]
        for i, j in self.model.lattice.edges.tolist():
            found[i].append(j)
            found[j].append(i)
        most = max(1, *map(len, found))
        return np.array([row + [i] * (most - len(row)) for i, row in enumerate(found)])

    def bonds(self) -> Bonds:
        """Neighbors and the probability that equal ones belong to one cluster.

        Raises:
          ValueError: if unequal neighbors have less energy, or not all the same.
        """
        bond = self.model.bond
        unequal, equal = bond[~np.eye(len(bond), dtype=bool)], np.diag(bond)
        gain = unequal[0] - equal[0]
        if np.ptp(unequal) or np.ptp(equal) or gain < 0:
            raise ValueError(
                "clusters need neighbors that gain by being equal, a positive J"
            )
        probability = float(-np.expm1(-gain / self.model.temperature))
        return Bonds(self.neighbors, len(bond), probability)

    def site_tables(self, params: Params) -> Array:
        """Log psi (q, q) of a bond."""
        bond = -self.model.bond / (2 * self.model.temperature)
        return jnp.asarray(bond, jnp.result_type(float))

    def site_cache(self, tables: Array, x: Array) -> tuple[()]:
        """No cache: the neighbors suffice."""
        return ()

    def site_move(
        self, tables: Array, cache: tuple[()], x: Array, sites: Array, values: Array
    ) -> tuple[Array, tuple[()]]:
        """The ratio () of one change (k,), from the bonds of those sites."""
        neighbors = jnp.asarray(self.neighbors)
        log_ratio = jnp.zeros((), tables.dtype)
        for k in range(sites.shape[0]):
            site, new = sites[k], values[k]
            there = neighbors[site]
            real = (there != site).astype(tables.dtype)
            step = tables[new, x[there]] - tables[x[site], x[there]]
            log_ratio = log_ratio + jnp.sum(real * step)
            x = x.at[site].set(new)
        return jnp.exp(log_ratio), ()

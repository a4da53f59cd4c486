"""Metropolis sampling of lattice configurations, one small change after the other.

The sites of all walkers are visited in the same random order, independent of
their states: every single change leaves |psi|^2 invariant, and so does any sequence
fixed beforehand; walkers draw their own values and acceptances and stay independent.
A change then requires one row of a table of the parameters for all walkers.
"""

import dataclasses
from typing import ClassVar, Protocol

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_map
from nqs.checks import whole
from nqs.moves import where
from nqs.ratios.sites import site_ratios_of
from nqs.space.lattice import Sites
from nqs.types import Ansatz, Params
from samplers.acceptance import WalkersState, WithoutWidth


class SiteMove(Protocol):
    """A proposal for a few sites of one configuration."""

    def sweep(self, key: Array, x: Array) -> Array:
        """Sites (m, k) that the m moves of a sweep change, in their order."""
        ...

    def __call__(self, u: Array, x: Array, sites: Array) -> tuple[Array, Array]:
        """Levels (k,) for the sites (k,), and log q(x|x_new) - log q(x_new|x).

        Args:
          u: () uniform in [0, 1), the only random number.
          x: (s,) levels.
          sites: (k,).
        """
        ...


class OneSite:
    """A move of one site at a time."""

    def sweep(self, key: Array, x: Array) -> Array:
        """Every site once."""
        return jax.random.permutation(key, x.shape[0])[:, None]


@dataclasses.dataclass(frozen=True)
class Flip(OneSite):
    """Flip one spin, of two levels."""

    levels: ClassVar[int] = 2

    def __call__(self, u: Array, x: Array, sites: Array) -> tuple[Array, Array]:
        """The other level."""
        return 1 - x[sites], jnp.zeros_like(u)


@dataclasses.dataclass(frozen=True)
class Recolor(OneSite):
    """Give one site another of its levels.

    Attributes:
      levels: q.
    """

    levels: int = 3

    def __post_init__(self):
        whole("levels", self.levels, 2)

    def __call__(self, u: Array, x: Array, sites: Array) -> tuple[Array, Array]:
        """Any other level, all equally likely."""
        step = 1 + jnp.floor(u * (self.levels - 1)).astype(x.dtype)
        return (x[sites] + step) % self.levels, jnp.zeros_like(u)


class OneBond:
    """A move of one bond at a time."""

    lattice: Sites

    def sweep(self, key: Array, x: Array) -> Array:
        """Every bond once; a ValueError for a configuration of another lattice."""
        if x.shape[0] != self.lattice.n:
            raise ValueError(
                f"lattice of {type(self).__name__} must have the {x.shape[0]} sites of "
                f"the configurations, got {self.lattice.n}"
            )
        return jax.random.permutation(key, jnp.asarray(self.lattice.edges))


@dataclasses.dataclass(frozen=True)
class Exchange(OneBond):
    """Exchange the levels at both ends of a bond, which conserves their sum.

    Attributes:
      lattice: whose bonds.
    """

    lattice: Sites

    def __call__(self, u: Array, x: Array, sites: Array) -> tuple[Array, Array]:
        """The levels in exchanged order."""
        return x[sites[::-1]], jnp.zeros_like(u)


@dataclasses.dataclass(frozen=True)
class Hop(OneBond):
    """Move one boson along a bond, which conserves their number.

    Either way is equally likely, and a hop that does not fit changes nothing.

    Attributes:
      lattice: whose bonds.
      levels: q of each site, one more than the bosons that fit there.
    """

    lattice: Sites
    levels: int

    def __post_init__(self):
        whole("levels", self.levels, 2)

    def __call__(self, u: Array, x: Array, sites: Array) -> tuple[Array, Array]:
        """One level less at one end, and one more at the other."""
        step = jnp.where(u < 0.5, 1, -1).astype(x.dtype)
        values = x[sites] + jnp.stack([-step, step])
        fits = jnp.all((values >= 0) & (values < self.levels))
        return jnp.where(fits, values, x[sites]), jnp.zeros_like(u)


@dataclasses.dataclass(frozen=True)
class SiteMetropolis(WithoutWidth):
    """Metropolis-Hastings on a lattice, by ratios of psi.

    Attributes:
      move: the proposal.
      sweeps: per step.
    """

    move: SiteMove = Flip()
    sweeps: int = 1
    requires: ClassVar[type | None] = None
    kind: ClassVar[str] = "lattice"

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: WalkersState, /
    ) -> tuple[WalkersState, dict[str, Array]]:
        """`sweeps` sweeps of every walker, leaving |psi|^2 invariant."""
        walkers = state.walkers
        ratios = site_ratios_of(ansatz)
        tables = ratios.site_tables(params)
        key_order, key_walkers = jax.random.split(key)
        sites = self._order(key_order, walkers[0])

        def walk(chain):
            key, x = chain
            uniform = jax.random.uniform(key, (len(sites), 2), jnp.result_type(float))

            def move(carry, step):
                x, cache, n_accepted, n_broken = carry
                sites, u = step
                values, log_q_ratio = self.move(u[0], x, sites)
                ratio, moved = ratios.site_move(tables, cache, x, sites, values)
                density = jnp.abs(ratio) ** 2 * jnp.exp(log_q_ratio)
                accept = 1 - u[1] < density  # in (0, 1]: a node is never entered
                # XLA's fused code may call itself without end, see tests/test_jax.py.
                accept = jax.lax.optimization_barrier(accept)
                new = x.at[sites].set(values), moved
                changed = accept & jnp.any(values != x[sites])
                count = n_accepted + changed, n_broken + ~(density < jnp.inf)
                return (*where(accept, new, (x, cache)), *count), None

            zero = jnp.zeros((), int)
            start = (x, ratios.site_cache(tables, x), zero, zero)
            (x, _, *counts), _ = jax.lax.scan(move, start, (sites, uniform))
            return x, *counts

        keys = jax.random.split(key_walkers, walkers.shape[0])
        walkers, n_accepted, n_broken = chunked_map(walk, (keys, walkers))
        info = {
            "acceptance": jnp.mean(n_accepted / len(sites)),
            "non_finite": jnp.sum(n_broken),
        }
        return WalkersState(walkers), info

    def _order(self, key: Array, x: Array) -> Array:
        """Sites (moves, k) of all moves of the sweeps."""
        keys = jax.random.split(key, self.sweeps)
        orders = jax.vmap(lambda key: self.move.sweep(key, x))(keys)
        return orders.reshape(-1, orders.shape[-1])

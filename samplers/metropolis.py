"""Metropolis-Hastings sampling of |psi|^2, and its moves for particles.

A move proposes `(x_new, log_q_ratio)` with log_q_ratio = log q(x|x_new) -
log q(x_new|x), zero for a symmetric proposal; it is accepted with probability
min(1, |psi(x_new)/psi(x)|^2 exp(log_q_ratio)). Hastings, Biometrika 57, 97 (1970).
"""

import dataclasses
import math
from functools import cache
from statistics import NormalDist
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.moves import where
from nqs.types import Ansatz, Configuration, Params, Walkers
from samplers.acceptance import adapted, check_settings, move_walkers, starting_width


class Move(Protocol):
    """A proposal for one configuration."""

    def moves_per_sweep(self, x: Configuration) -> int:
        """Number of moves in which every particle has one chance to move."""
        ...

    def __call__(
        self, key: Array, x: Configuration, width: Array
    ) -> tuple[Configuration, Array]:
        """Propose `(x_new, log_q_ratio)` from one configuration."""
        ...


@dataclasses.dataclass(frozen=True)
class AllParticles:
    """Displace all particles at once, by a Gaussian of standard deviation `width`."""

    def moves_per_sweep(self, x: Array) -> int:
        """One."""
        return 1

    def __call__(self, key: Array, x: Array, width: Array) -> tuple[Array, Array]:
        """Propose x + width xi, for x (n, d)."""
        return x + width * steps(key, x.shape, x.dtype), jnp.zeros_like(width)


@dataclasses.dataclass(frozen=True)
class OneParticle:
    """Displace one particle, drawn at random, by a Gaussian step."""

    def moves_per_sweep(self, x: Array) -> int:
        """Number of particles."""
        return x.shape[0]

    def __call__(self, key: Array, x: Array, width: Array) -> tuple[Array, Array]:
        """Propose x with one row moved by width xi, for x (n, d)."""
        key_particle, key_step = jax.random.split(key)
        i = jax.random.randint(key_particle, (), 0, x.shape[0])
        step = width * steps(key_step, x.shape[1:], x.dtype)
        return x.at[i].add(step), jnp.zeros_like(width)


def steps(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Steps of a symmetric move: quantiles of the normal distribution, 16 bits each.

    Detailed balance requires only that xi and -xi are equally likely. Normal numbers
    would take as long as a small network does.
    """
    size, word = math.prod(shape), jax.dtypes.canonicalize_dtype(jnp.uint)
    bits = jax.random.bits(key, (math.ceil(2 * size / word.itemsize),), word)
    numbers = jax.lax.bitcast_convert_type(bits, jnp.uint16).reshape(-1)[:size]
    row = jnp.asarray(quantiles()).at[numbers].get(mode="promise_in_bounds")
    return row.reshape(shape).astype(dtype)


@cache
def quantiles() -> np.ndarray:
    """2^16 equally likely numbers (2^16,) of the normal distribution, symmetric."""
    inverse = NormalDist().inv_cdf
    upper = [inverse((k + 0.5) / 2**16) for k in range(2**15, 2**16)]
    return np.array([-xi for xi in reversed(upper)] + upper, np.float32)


class MetropolisState(NamedTuple):
    """The walkers and the width () of their moves."""

    walkers: Walkers
    width: Array


@dataclasses.dataclass(frozen=True)
class Metropolis:
    """Metropolis-Hastings with any move.

    Attributes:
      sweeps: per step; a sweep gives every particle one chance to move.
      width: of the first move, in the length unit of the system; then adapted.
      move: the proposal.
      acceptance: target of `adapt`.
    """

    sweeps: int = 10
    width: float = 0.5
    move: Move = AllParticles()
    acceptance: float = 0.5
    requires: ClassVar[type | None] = None
    kind: ClassVar[str] = "particles"

    def __post_init__(self):
        check_settings(self)

    def init(self, walkers: Walkers, /) -> MetropolisState:
        """Start at the given walkers with the width of the settings."""
        return MetropolisState(walkers, starting_width(walkers, self.width))

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: MetropolisState, /
    ) -> tuple[MetropolisState, dict[str, Array]]:
        """`sweeps` sweeps of every walker, leaving |psi|^2 invariant."""
        return self.reversible_step(key, ansatz, params, state)[:2]

    def reversible_step(
        self, key: Array, ansatz: Ansatz, params: Params, state: MetropolisState, /
    ) -> tuple[MetropolisState, dict[str, Array], Array]:
        """`step`, and the change (w,) of log|psi|^2."""
        walkers, width = state
        x = jax.tree.map(lambda leaf: leaf[0], walkers)
        n_moves = self.sweeps * self.move.moves_per_sweep(x)

        def move(key, x, value, first):
            (log_p,) = value
            proposed, log_q_ratio = self.move(key, x, width)
            x_new = where(first, x, proposed)
            log_p_new = 2 * ansatz.apply(params, x_new).logabs.astype(width.dtype)
            return x_new, (log_p_new,), log_p_new - log_p + log_q_ratio

        n_walkers = jax.tree.leaves(walkers)[0].shape[0]
        value = (jnp.zeros(n_walkers, width.dtype),)
        walkers, info, change = move_walkers(key, n_moves, move, walkers, value)
        return MetropolisState(walkers, width), info | {"width": width}, change

    def adapt(
        self, state: MetropolisState, info: dict[str, Array], /
    ) -> MetropolisState:
        """Widen the moves when too many are accepted, narrow them when too few."""
        width = adapted(state.width, info["acceptance"], self.acceptance)
        return state._replace(width=width)

    def limited(self, state: MetropolisState, reach: float) -> MetropolisState:
        """State whose moves are at most about as long as `reach`."""
        return state._replace(width=jnp.minimum(state.width, reach))

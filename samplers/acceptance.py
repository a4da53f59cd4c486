"""Parts that Metropolis-Hastings kernels share: widths, and the loop."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_map
from nqs.checks import positive, whole
from nqs.moves import accepted, where
from nqs.types import Walkers


class WalkersState(NamedTuple):
    """State of a sampler without a width: the walkers."""

    walkers: Walkers


class WithoutWidth:
    """Checks, first state and `adapt` of a sampler that has no width."""

    def __post_init__(self):
        check_settings(self)

    def init(self, walkers: Walkers, /) -> WalkersState:
        """Start at the given walkers."""
        return WalkersState(walkers)

    def adapt(self, state: WalkersState, info: dict[str, Array], /) -> WalkersState:
        """Unchanged state: there is no width."""
        return state


def move_walkers(
    key: Array, n_moves: int, move: Callable, walkers: Any, value: Any
) -> tuple[Any, dict[str, Array], Array]:
    """Apply n_moves Metropolis-Hastings moves to every walker.

    One more turn of the loop, before them, evaluates psi at the walkers: psi is traced
    and compiled once.

    Args:
      key: random key.
      n_moves: moves of every walker.
      move: `(key, x, value, first) -> (x_new, value_new, log_ratio)` of one walker,
        with the () log of the acceptance ratio; x_new is x where `first`, a () flag.
      walkers: arrays or pytrees with a leading axis (w,).
      value: arrays (w, ...) of the shapes of the values, first log|psi|^2.

    Returns:
      The walkers after the moves, () acceptance and number of broken moves, those to a
      psi that is NaN or infinite, and the change (w,) of log|psi|^2.
    """
    n_walkers, dtype = value[0].shape[0], value[0].dtype

    def turn(i, carry):
        *chains, before, n_accepted, n_broken = carry
        keys, first = jax.random.split(jax.random.fold_in(key, i), n_walkers), i < 0
        *chains, accept, broken = chunked_map(
            lambda chain: moved(move, chain, first), (keys, *chains)
        )
        before = jnp.where(first, chains[1][0], before)
        n_accepted += (accept & ~first).astype(int)
        n_broken += (broken & ~first).astype(int)
        return *chains, before, n_accepted, n_broken

    count = jnp.zeros(n_walkers, int)
    start = walkers, value, value[0], count, count
    end = jax.lax.fori_loop(-1, n_moves, turn, start)
    walkers, (after, *_), before, n_accepted, n_broken = end
    acceptance = jnp.sum(n_accepted).astype(dtype) / (n_moves * n_walkers)
    info = {"acceptance": acceptance, "non_finite": jnp.sum(n_broken)}
    return walkers, info, after - before


def moved(move: Callable, chain: tuple, first: Array) -> tuple:
    """A walker (x, value) after one move, and flags for accepted and broken."""
    key, x, value = chain
    key_move, key_accept = jax.random.split(key)
    x_new, value_new, log_ratio = move(key_move, x, value, first)
    accept = first | accepted(key_accept, log_ratio)
    broken = ~(value_new[0] < jnp.inf)  # -inf is a node, NaN and inf are not psi
    return *where(accept, (x_new, value_new), (x, value)), accept, broken


def starting_width(walkers: Walkers, width: float) -> Array:
    """The width as a () array of the dtype of the positions."""
    dtype = jnp.result_type(*jax.tree.leaves(walkers), float)
    return jnp.asarray(width, dtype)


def adapted(width: Array, acceptance: Array, target: float) -> Array:
    """One step of a proportional controller of log(width).

    The acceptance falls with log(width) with a slope between 0 and about -1, so a gain
    of one is stable, and a width wrong by 10 times is corrected in about ten steps.
    """
    return width * jnp.exp(acceptance - target)


def check_settings(sampler: Any) -> None:
    """Raise a ValueError for sweeps, widths or an acceptance out of range."""
    name = type(sampler).__name__
    whole(f"{name}.sweeps", sampler.sweeps)
    for field in ("width", "time_step"):
        positive(f"{name}.{field}", getattr(sampler, field, 1.0))
    acceptance = getattr(sampler, "acceptance", 0.5)
    if not 0 < acceptance < 1:
        raise ValueError(
            f"{name}.acceptance must be between 0 and 1, got {acceptance!r}"
        )

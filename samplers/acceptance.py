"""Parts that Metropolis-Hastings kernels share: widths, and the loop."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_map
from nqs.checks import positive, whole
from nqs.types import Walkers


class WalkersState(NamedTuple):
    """State of a sampler without a width: the walkers."""

    walkers: Walkers


def move_walkers(
    key: Array, n_moves: int, move: Callable, walkers: tuple, dtype: Any
) -> tuple[list, dict[str, Array]]:
    """Apply n_moves Metropolis-Hastings moves to every walker.

    Args:
      key: random key.
      n_moves: moves of every walker.
      move: `(key, *walker) -> (*walker, accept, broken)` for one walker, with () flags
        for an accepted move and for a log|psi| that is NaN or infinite.
      walkers: arrays or pytrees with a leading axis (w,), such as positions and log
        density.
      dtype: of the acceptance.

    Returns:
      The walkers after the moves, and their acceptance and number of broken moves ().
    """
    n_walkers = jax.tree.leaves(walkers)[0].shape[0]

    def move_all(i, carry):
        *walkers, n_accepted, n_broken = carry
        keys = jax.random.split(jax.random.fold_in(key, i), n_walkers)
        *walkers, accept, broken = chunked_map(
            lambda chain: move(*chain), (keys, *walkers)
        )
        counts = n_accepted + accept.astype(int), n_broken + broken.astype(int)
        return *walkers, *counts

    count = jnp.zeros(n_walkers, int)
    *moved, n_accepted, n_broken = jax.lax.fori_loop(
        0, n_moves, move_all, (*walkers, count, count)
    )
    acceptance = jnp.sum(n_accepted).astype(dtype) / (n_moves * n_walkers)
    return moved, {"acceptance": acceptance, "non_finite": jnp.sum(n_broken)}


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

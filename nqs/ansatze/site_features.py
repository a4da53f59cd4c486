"""Levels of lattice sites as numbers for a network, and products of many ratios."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nqs.space.lattice import spins


def n_features(levels: int) -> int:
    """Numbers that stand for one site: its spin, or one a level beyond two."""
    return 1 if levels == 2 else levels


def site_features(x: Array, levels: int) -> Array:
    """Features (s, f) of levels x (s,): sigma^z, or 1 for its own level and else 0."""
    if levels == 2:
        return spins(x)[:, None]
    return jax.nn.one_hot(x, levels, dtype=jnp.result_type(float))


def check_integers(part: Any, **least: int) -> None:
    """Refuse fields that are not integers of at least so much."""
    for name, smallest in least.items():
        value = getattr(part, name)
        if not (isinstance(value, int) and value >= smallest):
            raise ValueError(
                f"{name} must be an integer of at least {smallest}, got {value!r}"
            )


def product(factors: Array) -> Array:
    """The product () of factors (m,), half with half.

    XLA multiplies along the last axis one after the other; halves go side by side.
    """
    while factors.shape[0] > 1:
        half, odd = divmod(factors.shape[0], 2)
        folded = factors[:half] * factors[half : 2 * half]
        factors = folded.at[0].multiply(factors[-1]) if odd else folded
    return factors[0]

"""Features of lattice sites, and products of many ratios."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nqs.checks import whole
from nqs.space.lattice import spins


def n_features(levels: int) -> int:
    """Features of one site: 1 for two levels, else one per level."""
    return 1 if levels == 2 else levels


def site_features(x: Array, levels: int) -> Array:
    """Features (s, f) of levels x (s,): sigma^z, or 1 for its own level and else 0."""
    if levels == 2:
        return spins(x)[:, None]
    return jax.nn.one_hot(x, levels, dtype=jnp.result_type(float))


def check_integers(part: Any, **least: int) -> None:
    """Refuse fields that are not integers >= their least value."""
    for name, smallest in least.items():
        whole(name, getattr(part, name), smallest)


def product(factors: Array) -> Array:
    """The product () of factors (m,), by halves, which XLA vectorizes."""
    while factors.shape[0] > 1:
        half, odd = divmod(factors.shape[0], 2)
        folded = factors[:half] * factors[half : 2 * half]
        factors = folded.at[0].multiply(factors[-1]) if odd else folded
    return factors[0]

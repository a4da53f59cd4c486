"""Features of lattice sites, symmetry groups, and products of many ratios."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.space.lattice import Lattice, spins


def n_features(levels: int) -> int:
    """Features of one site: 1 for two levels, else one per level."""
    return 1 if levels == 2 else levels


def site_features(x: Array, levels: int) -> Array:
    """Features (s, f) of levels x (s,): sigma^z, or 1 for its own level and else 0."""
    if levels == 2:
        return spins(x)[:, None]
    return jax.nn.one_hot(x, levels, dtype=jnp.result_type(float))


def permutations(lattice: Lattice, point_group: bool) -> np.ndarray:
    """Group (g, s) of translations, with or without rotations and reflections."""
    return lattice.symmetries if point_group else lattice.translations


def product(factors: Array) -> Array:
    """The product () of factors (m,), by halves, which XLA vectorizes."""
    while factors.shape[0] > 1:
        half, odd = divmod(factors.shape[0], 2)
        folded = factors[:half] * factors[half : 2 * half]
        factors = folded.at[0].multiply(factors[-1]) if odd else folded
    return factors[0]

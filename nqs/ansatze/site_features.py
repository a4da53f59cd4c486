"""Features of lattice sites, symmetry groups, and products of many ratios."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.space.lattice import Lattice, spins


def n_features(levels: int, bosons: bool = False) -> int:
    """Features of one site: 3 for bosons, 1 for two levels, else one per level."""
    if bosons:
        return 3
    return 1 if levels == 2 else levels


def site_features(x: Array, levels: int, bosons: bool = False) -> Array:
    """Features (s, f) of levels x (s,).

    They are sigma^z of two levels, or 1 for its own level and else 0. For numbers n of
    bosons they are n, log n! and 1 for n = 0.
    """
    if bosons:
        n = x.astype(jnp.result_type(float))
        return jnp.stack([n, jax.lax.lgamma(n + 1), jnp.where(x == 0, 1.0, 0.0)], 1)
    if levels == 2:
        return spins(x)[:, None]
    return jax.nn.one_hot(x, levels, dtype=jnp.result_type(float))


def permutations(lattice: Lattice, point_group: bool) -> np.ndarray:
    """Group (g, s) of translations, with or without rotations and reflections."""
    return lattice.symmetries if point_group else lattice.translations


def product(factors: Array) -> Array:
    """The product () of factors (m,)."""
    return products(factors, factors.shape[0])[0]


def products(factors: Array, block: int) -> Array:
    """Products (b,) of factors (m,), each of fewer than 2 `block`, a power of two.

    They are folded by halves, which XLA vectorizes.
    """
    while block > 1 and factors.shape[0] > 1:
        half, odd = divmod(factors.shape[0], 2)
        folded = factors[:half] * factors[half : 2 * half]
        factors = folded.at[0].multiply(factors[-1]) if odd else folded
        block //= 2
    return factors


def reciprocal(z: Array) -> Array:
    """1 / z, without the division of complex numbers, which is slow on a CPU."""
    if not jnp.iscomplexobj(z):
        return 1 / z
    scale = 1 / (jnp.abs(z.real) + jnp.abs(z.imag))  # against overflow of the square
    z = scale * z
    return scale / (z.real**2 + z.imag**2) * jnp.conj(z)

"""The logarithm of a product of hyperbolic cosines."""

import jax
import jax.numpy as jnp
from jax import Array

from nqs.ansatze.site_features import products, reciprocal


@jax.custom_jvp
def log_product_of_cosh(theta: Array) -> Array:
    """The log () of prod_j 2 cosh(theta_j), up to multiples of 2 pi i."""
    large, small = large_and_small(theta)
    return jnp.sum(large) + jnp.sum(jnp.log(products(small, 32)))  # |small| <= 2


@log_product_of_cosh.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (theta,), (step,) = primals, tangents
    _, small = large_and_small(theta)
    tanh = jnp.where(jnp.real(theta) < 0, -1, 1) * (2 * reciprocal(small) - 1)
    tanh = jax.lax.optimization_barrier(tanh)  # else evaluated again at each use
    return log_product_of_cosh(theta), jnp.sum(tanh * step)


def large_and_small(theta: Array) -> tuple[Array, Array]:
    """log(large) and small with 2 cosh(theta) = large small."""
    large = jnp.where(jnp.real(theta) < 0, -theta, theta)
    return large, 1 + exponential(-2 * large)


def exponential(z: Array) -> Array:
    """exp(z), whose real parts XLA vectorizes if they are arrays of their own."""
    if not jnp.iscomplexobj(z):
        return jnp.exp(z)
    parts = jnp.exp(z.real), jnp.cos(z.imag), jnp.sin(z.imag)
    size, cos, sin = jax.lax.optimization_barrier(parts)
    return jax.lax.complex(size * cos, size * sin)

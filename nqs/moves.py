"""Formulas of Monte Carlo moves that samplers and projection share.

A move by drift and diffusion is x' = x + tau v(x) + sqrt(tau) xi, with the drift v =
grad log|psi| limited where it is large, and xi normally distributed. Its density is the
Green's function G(x -> x'), log G = -|x' - x - tau v(x)|^2 / (2 tau) + constant.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def accepted(key: Array, log_ratio: Array) -> Array:
    """True with probability min(1, exp(log_ratio)); False where it is NaN."""
    # Not the log of a uniform number, which in float32 is zero once in 2^23 draws and
    # would accept anything; this one is -16 at the least.
    return -jax.random.exponential(key, log_ratio.shape, log_ratio.dtype) < log_ratio


def where(condition: Array, new: Any, old: Any) -> Any:
    """`jnp.where` on pytrees, for one () condition."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def normal_like(key: Array, x: Array) -> Array:
    """Standard normal numbers of the shape and dtype of x (..., n, d)."""
    # rows of two or three numbers would be drawn one row at a time
    row = jax.random.normal(key, (x.size,), x.dtype)
    return jax.lax.optimization_barrier(row).reshape(x.shape)


def limited_drift(gradient: Array, tau: Array) -> Array:
    """Drift (..., n, d) of the particles, no longer than sqrt(2 / tau) each.

    At a distance r from a node the gradient is 1/r. Unlimited, it throws a walker so
    far away that it would never find back, hence no such move is ever accepted and the
    walker stays there forever. C. J. Umrigar, M. P. Nightingale and K. J. Runge,
    J. Chem. Phys. 99, 2865 (1993), their average velocity with a = 1.
    """
    square = jnp.sum(gradient**2, axis=-1, keepdims=True)
    return 2 * gradient / (1 + jnp.sqrt(1 + 2 * tau * square))


def log_green_ratio(xi: Array, xi_back: Array) -> Array:
    """Log of G(x' -> x) / G(x -> x'), from the noise of the move and of its reverse."""
    return jnp.sum(xi**2 - xi_back**2) / 2

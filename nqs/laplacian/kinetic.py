"""Kinetic energy of particles: -1/2 (laplacian psi) / psi, from log psi.

With f = log psi = logabs + i angle,

    -1/2 (nabla^2 psi) / psi = -1/2 (nabla^2 f + (nabla f) . (nabla f)),

which holds for real psi of either sign, where f = logabs alone is differentiated.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.checks import one_of
from nqs.laplacian.rules import flush
from nqs.types import Ansatz, Params

# Jacobians with at most this many entries an element stay sparse in folx; where that
# is all coordinates they are dense, which compiles up to 3 times faster
SPARSITY_THRESHOLD = 6


def kinetic_energy(
    ansatz: Ansatz, params: Params, x: Array, *, laplacian: str = "forward"
) -> Array:
    """Local kinetic energy (), in units where hbar = mass = 1.

    Args:
      ansatz: the wave function.
      params: its parameters.
      x: (n, d) positions.
      laplacian: "forward" propagates value, gradient and Laplacian together (R. Li et
        al., Nature Machine Intelligence 6, 209 (2024); folx); "loop" evaluates one
        Hessian-vector product a coordinate.

    Returns:
      () real for real psi, complex for complex psi.

    Raises:
      ValueError: if `laplacian` is neither of the two.
    """
    one_of("laplacian", laplacian, LAPLACIANS)

    def log_psi(y):  # (2,) logabs and angle, or (1,) logabs
        return ansatz.apply(params, y.reshape(x.shape)).parts

    gradient, lap = LAPLACIANS[laplacian](log_psi, x.reshape(-1))
    if lap.size == 2:
        gradient = jax.lax.complex(gradient[:, 0], gradient[:, 1])
        lap = jax.lax.complex(lap[0], lap[1])
    else:
        gradient, lap = gradient[:, 0], lap[0]
    return -(lap + jnp.sum(gradient * gradient)) / 2


class RealDerivatives(NamedTuple):
    """A real psi and the derivatives of log|psi| at x (n, d)."""

    sign: Array  # ()
    logabs: Array  # ()
    gradient: Array  # (n, d)
    laplacian: Array  # ()

    @property
    def kinetic_energy(self) -> Array:
        """Local kinetic energy (), as `kinetic_energy` returns."""
        return -(self.laplacian + jnp.sum(self.gradient**2)) / 2


def real_derivatives(ansatz: Ansatz, params: Params, x: Array) -> RealDerivatives:
    """Value, gradient and Laplacian of a real psi at x (n, d), in one forward pass."""

    def psi(y):
        sign, logabs = ansatz.apply(params, y.reshape(x.shape))
        return logabs, sign

    logabs, sign = _propagated(psi, x.reshape(-1))
    gradient = logabs.jacobian.dense_array.reshape(x.shape)
    sign = getattr(sign, "x", sign)  # a sign that depends on x has a derivative, zero
    return RealDerivatives(sign, logabs.x, gradient, logabs.laplacian)


def _propagated(f: Callable, y: Array) -> Any:
    """The outputs of f at y (n d,), with derivatives by folx."""
    import folx  # here, because it takes longer to import than everything else

    flush()
    threshold = SPARSITY_THRESHOLD if y.size > SPARSITY_THRESHOLD else 0
    # folx relies on rank promotion; its sparsity pattern must not pass through jit.
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        return folx.forward_laplacian(f, threshold, disable_jit=True)(y)


def _forward(f: Callable, y: Array) -> tuple[Array, Array]:
    """Gradient (n d, k) and Laplacian (k,) of f: (n d,) -> (k,) by folx."""
    result = _propagated(f, y)
    return result.jacobian.dense_array, result.laplacian


def _loop(f: Callable, y: Array) -> tuple[Array, Array]:
    """The same by Hessian-vector products."""
    jacobian, hessian_vector = jax.linearize(jax.jacrev(f), y)  # (k, n d)

    def add(lap, direction):
        return lap + hessian_vector(direction) @ direction, None

    directions = jnp.eye(y.size, dtype=y.dtype)
    lap, _ = jax.lax.scan(add, jnp.zeros_like(jacobian[:, 0]), directions)
    return jacobian.T, lap


LAPLACIANS = {"forward": _forward, "loop": _loop}

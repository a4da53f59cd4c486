"""Regularized equations of motion of an analytic psi, in complex numbers.

With z = v_re + i v_im for pairs of real parameters, and complex rows O = d log psi /
d theta_re, one a walker, half as many equations of half the size remain:

    O^+ O z = O^+ g,   or z = O^+ a with O O^+ a = g.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from nqs.capabilities import Holomorphic
from nqs.optimizers.derivatives import CenteredDerivatives
from nqs.types import Function, Params

ITERATIONS = 3  # of the regularization


def is_holomorphic(derivatives: CenteredDerivatives) -> bool:
    """Whether psi is analytic, and half of its derivatives fits the memory."""
    if not isinstance(derivatives.ansatz, Holomorphic) or derivatives.n_parts == 1:
        return False
    w, leaves = derivatives.weights.shape[0], jax.tree.leaves(derivatives.params)
    size = w * sum(leaf.size for leaf in leaves) * derivatives.weights.dtype.itemsize
    return size <= derivatives.memory


def holomorphic_solution(
    derivatives: CenteredDerivatives, goal: Array, cut: float
) -> tuple[Params, Array]:
    """The velocity v, like the parameters, and O v (rows,) nearest to goal (rows,)."""
    ansatz = derivatives.ansatz
    assert isinstance(ansatz, Holomorphic)
    real, imaginary = ansatz.pairs(derivatives.params)

    def psi(real, x):
        return ansatz.apply(ansatz.from_pairs(real, imaginary), x)

    given = derivatives.walkers, derivatives.weights, derivatives.chunk_size
    of_real = CenteredDerivatives(Function(psi), real, *given, derivatives.memory)
    rows = of_real.columns()  # real and imaginary part of every walker
    re, im = rows[0::2], rows[1::2]
    both = jnp.concatenate([re, im])  # products of real matrices are fast
    g = jax.lax.complex(goal[0::2], goal[1::2])
    if re.shape[1] <= re.shape[0]:
        cross = re.T @ im
        matrix = jax.lax.complex(both.T @ both, cross - cross.T)
        z = tikhonov(matrix, adjoint(re, im, g), cut)
    else:
        cross = im @ re.T
        beside = jnp.concatenate([re, im], axis=1)
        matrix = jax.lax.complex(beside @ beside.T, cross - cross.T)
        z = adjoint(re, im, tikhonov(matrix, g, cut))
    change = jax.lax.complex(re @ z.real - im @ z.imag, re @ z.imag + im @ z.real)
    unravel = ravel_pytree(real)[1]
    velocity = ansatz.from_pairs(unravel(z.real), unravel(z.imag))
    return velocity, jnp.stack([change.real, change.imag], axis=1).reshape(-1)


def adjoint(re: Array, im: Array, g: Array) -> Array:
    """O^+ g (p,) for O = re + i im (w, p)."""
    return jax.lax.complex(re.T @ g.real + im.T @ g.imag, re.T @ g.imag - im.T @ g.real)


def tikhonov(matrix: Array, vector: Array, cut: float) -> Array:
    """Regularized solution x (m,) of matrix x = vector.

    Args:
      matrix: (m, m) positive semidefinite, real or complex.
      vector: (m,).
      cut: part of the trace below which eigenvalues are left out.
    """
    shift = cut * jnp.trace(matrix).real
    damped = matrix + shift * jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    factor = jax.scipy.linalg.cho_factor(damped, lower=True)
    found = jnp.zeros_like(vector)
    for _ in range(ITERATIONS):
        remaining = vector - matrix @ found
        found = found + jax.scipy.linalg.cho_solve(factor, remaining)
    return found

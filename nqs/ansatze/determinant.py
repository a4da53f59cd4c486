"""Sign and logarithm of determinants, with a gradient that costs little on a CPU."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import solve_triangular


@jax.custom_jvp
def _slogdet(matrices: Array) -> tuple[Array, Array]:
    sign, logabs = jnp.linalg.slogdet(matrices)
    return sign, logabs


@_slogdet.defjvp
def _slogdet_jvp(primals, tangents):
    """D log det A = tr(A^-1 dA), with A^-1 = R^-1 Q^H.

    A solution by LU would need its permutation, which takes a loop over the pivots.
    """
    (a,), (da,) = primals, tangents
    sign, logabs = _slogdet(a)
    q, r = jnp.linalg.qr(a)
    inverse = solve_triangular(r, jnp.conj(jnp.swapaxes(q, -1, -2)))
    trace = jnp.sum(jnp.swapaxes(inverse, -1, -2) * da, axis=(-1, -2))
    if jnp.iscomplexobj(a):
        turn = jax.lax.complex(jnp.zeros_like(trace.imag), trace.imag)
        return (sign, logabs), (sign * turn, trace.real)
    return (sign, logabs), (jnp.zeros_like(sign), trace)


@jax.jit
def slogdet(matrices: Array) -> tuple[Array, Array]:
    """Sign and log|det| (...) of matrices (..., m, m), real or complex.

    As `numpy.linalg.slogdet`. The name is known to folx, which has a rule for it.
    """
    return _slogdet(matrices)

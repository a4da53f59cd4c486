"""The forward Laplacian of operations on arrays that depend on all coordinates.

For y = sum_l a_l b_l, elementwise or over the inner axis of two matrices,

    grad y = sum_l a_l grad b_l + b_l grad a_l,
    lap y = sum_l a_l lap b_l + b_l lap a_l + 2 grad a_l . grad b_l.

The rules of folx move the axis of the coordinates to the end for these sums, and XLA
computes such transposes together with what they are of, several times and element by
element. Here the coordinates remain the first axis of all arrays. For y = f(a),

    grad y = f'(a) grad a,    lap y = f'(a) lap a + f''(a) |grad a|^2.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.laplacian.rules import refine

apart = jax.lax.optimization_barrier
TOGETHER = 7  # terms that one loop adds


def added(terms: Iterable[Array], total: Array | float = 0.0) -> Array:
    """The total plus all terms, a few of them in one loop.

    On a CPU one loop for all terms, a sum over an axis, or a product of matrices for
    each channel takes two to three times as long.
    """
    for number, term in enumerate(terms, 1):
        total = total + term
        if number % TOGETHER == 0:
            total = apart(total)
    return jnp.asarray(apart(total))


def overlaps(da: Array, db: Array) -> Array:
    """Sums over k of da_kiw db_kjw, (n, n, w), for da and db (k, n, w)."""
    return added(a[:, None] * b for a, b in zip(da, db, strict=True))


def product(arguments: Any, kwargs: Any) -> Any:
    """The forward Laplacian of the product of two arrays, elementwise."""
    from folx.api import FwdJacobian, FwdLaplArray

    if not dense(arguments) or np.ndim(arguments[0]) != np.ndim(arguments[1]):
        return None
    (a, da, lap_a), (b, db, lap_b) = map(parts, arguments)
    crossed = added(k * other for k, other in zip(da, db, strict=True))
    laplacian = a * lap_b + b * lap_a + 2 * crossed
    return FwdLaplArray(a * b, FwdJacobian(a * db + b * da), laplacian)


def matrix_product(arguments: Any, kwargs: Any) -> Any:
    """The forward Laplacian of the product of two matrices or vectors."""
    from folx.api import FwdJacobian, FwdLaplArray

    (of_one, of_other), batch = kwargs["dimension_numbers"]
    kind = kwargs["preferred_element_type"]
    if any(batch) or len(of_one) != 1 or not dense(arguments):
        return None
    one, other = arguments
    if max(one.ndim, other.ndim) > 2 or kind not in (None, one.dtype):
        return None

    def matrix(v, axis):  # the inner axis is the last one, before the first transpose
        return jnp.moveaxis(v, axis, -1).reshape(-1, v.shape[axis])

    def matrices(v, axis):
        found = apart(jax.vmap(lambda v: matrix(v, axis))(v.jacobian.data))
        return matrix(v.x, axis), found, matrix(v.laplacian, axis)

    a, da, lap_a = matrices(one, *of_one)
    b, db, lap_b = (v.swapaxes(-1, -2) for v in matrices(other, *of_other))
    k, m, inner = da.shape
    first = (da.reshape(k * m, inner) @ b).reshape(k, m, -1)
    gradient = added((a[:, j, None] * db[:, None, j] for j in range(inner)), first)
    crossed = jnp.tensordot(da, db, ((0, 2), (0, 1)))
    laplacian = a @ lap_b + lap_a @ b + 2 * crossed
    shape = [size for v, axes in ((one, of_one), (other, of_other))
             for axis, size in enumerate(v.shape) if axis not in axes]  # fmt: skip
    jacobian = FwdJacobian(gradient.reshape(k, *shape))
    return FwdLaplArray((a @ b).reshape(shape), jacobian, laplacian.reshape(shape))


def total(arguments: Any, kwargs: Any) -> Any:
    """The forward Laplacian of a sum over axes."""
    from folx.api import FwdJacobian, FwdLaplArray

    if not dense(arguments):
        return None
    y, dy, lap = parts(*arguments)
    axes = tuple(kwargs["axes"])
    gradient = jnp.sum(apart(dy), axis=tuple(1 + axis for axis in axes))
    return FwdLaplArray(jnp.sum(y, axes), FwdJacobian(gradient), jnp.sum(lap, axes))


def elementwise(f: Callable) -> Callable:
    """The rule of a function f(y, **keywords) of each element alone."""

    def rule(arguments: Any, kwargs: Any) -> Any:
        from folx.api import FwdJacobian, FwdLaplArray

        if not dense(arguments):
            return None
        y, dy, lap = parts(*arguments)

        def first(y):
            return jax.jvp(lambda y: f(y, **kwargs), (y,), (jnp.ones_like(y),))

        (value, slope), (_, curvature) = jax.jvp(first, (y,), (jnp.ones_like(y),))
        value, slope, curvature = apart((value, slope, curvature))
        laplacian = slope * lap + curvature * added(k * k for k in dy)
        return FwdLaplArray(value, FwdJacobian(slope * dy), laplacian)

    return rule


def dense(arguments: Any) -> bool:
    """Whether all gradients have one entry for each of the same coordinates."""
    from folx.api import FwdLaplArray

    if not all(isinstance(v, FwdLaplArray) and not v.jacobian.weak for v in arguments):
        return False
    return len({len(v.jacobian.data) for v in arguments}) == 1  # or of the first few


def parts(v: Any) -> tuple[Array, Array, Array]:
    """Value (...), gradient (k, ...) and Laplacian (...)."""
    return v.x, v.jacobian.data, v.laplacian


for known in (jax.lax.exp_p, jax.lax.integer_pow_p, jax.lax.log_p, jax.lax.sqrt_p,
              jax.lax.square_p, jax.lax.tanh_p):  # fmt: skip
    refine(known, elementwise(known.bind))
refine(jax.lax.mul_p, product)
refine(jax.lax.dot_general_p, matrix_product)
refine(jax.lax.reduce_sum_p, total)

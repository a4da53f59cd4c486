"""The forward Laplacian of operations on arrays that depend on all coordinates.

For y = sum_l a_l b_l, elementwise or over the inner axis of two matrices,

    grad y = sum_l a_l grad b_l + b_l grad a_l,
    lap y = sum_l a_l lap b_l + b_l lap a_l + 2 grad a_l . grad b_l.

The rules of folx move the axis of the coordinates to the end for these sums, and XLA
computes such transposes together with what they are of, several times and element by
element. Here the coordinates remain the first axis of all arrays. For y = f(a),

    grad y = f'(a) grad a,    lap y = f'(a) lap a + f''(a) |grad a|^2.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.laplacian.rules import refine

apart = jax.lax.optimization_barrier
TOGETHER = 7  # terms that one loop adds
MANY = 64  # terms, beyond which the program would grow large


def added(term: Callable[[Any], Array], count: int, total: Any = 0.0) -> Array:
    """The total plus the terms of numbers 0 to count - 1, a few of them in one loop.

    On a CPU one loop for all terms, a sum over an axis, or a product of matrices for
    each channel takes two to three times as long.
    """
    blocks = 0 if count <= MANY else (count - 1) // TOGETHER
    first = count - TOGETHER * blocks
    for number in range(first):
        total = total + term(number)
        if (number + 1) % TOGETHER == 0:
            total = apart(total)

    def block(number: Array, total: Array) -> Array:
        for place in range(TOGETHER):
            total = total + term(first + TOGETHER * number + place)
        return total

    total = jnp.asarray(apart(total))
    return jax.lax.fori_loop(0, blocks, block, total) if blocks else total


def at(a: Array, number: Any, axis: int = 0) -> Array:
    """The part of an array at one place of an axis, for `added`."""
    index = jax.lax.dynamic_index_in_dim
    if isinstance(number, int):
        index = jax.lax.index_in_dim  # which compiles faster
    return index(a, number, axis, keepdims=False)


def overlaps(da: Array, db: Array) -> Array:
    """Sums over k of da_kiw db_kjw, (n, n, w), for da and db (k, n, w)."""
    return added(lambda k: at(da, k)[:, None] * at(db, k)[None], len(da))


def product(arguments: Any, kwargs: Any) -> Any:
    """The forward Laplacian of the product of two arrays, elementwise."""
    from folx.api import FwdJacobian, FwdLaplArray

    if not dense(arguments) or np.ndim(arguments[0]) != np.ndim(arguments[1]):
        return None
    (a, da, lap_a), (b, db, lap_b) = map(parts, arguments)
    crossed = added(lambda k: at(da, k) * at(db, k), len(da))
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
    gradient = added(
        lambda j: at(a, j, 1)[None, :, None] * at(db, j, 1)[:, None], inner, first
    )
    crossed = jnp.tensordot(da, db, ((0, 2), (0, 1)))
    laplacian = a @ lap_b + lap_a @ b + 2 * crossed
    shape = [size for v, axes in ((one, of_one), (other, of_other))
             for axis, size in enumerate(v.shape) if axis not in axes]  # fmt: skip
    jacobian = FwdJacobian(gradient.reshape(k, *shape))
    return FwdLaplArray((a @ b).reshape(shape), jacobian, laplacian.reshape(shape))


def axis_sum(arguments: Any, kwargs: Any) -> Any:
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
        laplacian = slope * lap + curvature * added(lambda k: at(dy, k) ** 2, len(dy))
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
refine(jax.lax.reduce_sum_p, axis_sum)

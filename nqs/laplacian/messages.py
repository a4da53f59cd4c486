"""The forward Laplacian of a sum of pair messages, without a Jacobian of any pair.

For u_ij = a_i + b_j + c_ij, where c_ij depends on the particles i and j alone, and

    y_i = 1/n sum_{j != i} f(u_ij),

the gradient and the Laplacian with respect to all coordinates are

    grad y_i = 1/n sum_j f'(u_ij) grad u_ij,
    lap y_i  = 1/n sum_j f'(u_ij) lap u_ij + f''(u_ij) |grad u_ij|^2.

Instead of grad u_ij, n^2 numbers per coordinate and channel, the parts of a_i and b_j
are sums of products with (n d, n, w) gradients, and grad c_ij has 2 d entries, d of
them independent where c_ij depends on x_i - x_j alone. Sums are those of `added`; the
optimization barriers keep XLA from computing their terms again for each of them.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.laplacian.dense import added, at, overlaps
from nqs.laplacian.pairs import restored
from nqs.laplacian.rules import named

apart = jax.lax.optimization_barrier


class Forward(NamedTuple):
    """a and b (n, w), c (n, n, w), or their derivatives."""

    a: Any
    b: Any
    c: Any


@functools.lru_cache(maxsize=64)
def message_sum(f: Callable[[Array], Array], relative: bool = False) -> Callable:
    """The function 1/n sum_{j != i} f(a_i + b_j + c_ij) of a, b (n, w) and c (n, n, w).

    Args:
      f: elementwise and smooth.
      relative: c_ij is a function of x_i - x_j, which makes a forward Laplacian
        cheaper; the Laplacian is wrong if it is not.
    """

    def of_all(a: Array, b: Array, c: Array) -> Array:
        messages = others(a) * f(a[:, None, :] + b[None, :, :] + c)
        return jnp.sum(apart(messages), axis=1)

    return named(of_all, "message_sum", rule(f, relative), f, relative)


def others(a: Array) -> Array:
    """1/n for pairs of different particles, else 0, (n, n, 1), for a (n, w)."""
    n = a.shape[0]
    return jnp.asarray((1 - np.eye(n)) / n, a.dtype)[:, :, None]


def rule(f: Callable[[Array], Array], relative: bool = False) -> Callable:
    """The forward Laplacian of `message_sum` of f."""

    def plain(a, b, c):
        return jnp.sum(others(a) * f(a[:, None, :] + b[None, :, :] + c), axis=1)

    def forward(arguments: Any, kwargs: Any, sparsity_threshold: int) -> Any:
        import folx
        from folx.api import FwdJacobian, FwdLaplArray

        arguments = Forward(*map(restored, arguments))
        gradients = gradients_of(arguments, relative)
        if gradients is None:
            laplacian = folx.forward_laplacian(plain, sparsity_threshold, True)
            return laplacian(*arguments)
        values, laplacians = values_and_laplacians(arguments)
        y, gradient, laplacian = propagate(f, values, gradients, laplacians)
        return FwdLaplArray(y, FwdJacobian(gradient), laplacian)

    return forward


def propagate(
    f: Callable[[Array], Array], values: Forward, gradients: Forward, lap: Forward
) -> tuple[Array, Array, Array]:
    """Value (n, w), gradient (n d, n, w) and Laplacian (n, w) of the sum.

    From gradients of a and b (n d, n, w), or None where both are constant, and of c_ij
    by x_i and by x_j (d, n, n, w).
    """
    n, w = values.a.shape
    dc_i, dc_j = gradients.c
    d = dc_i.shape[0]
    u = apart(values.a[:, None, :] + values.b[None, :, :] + values.c)

    def first(u):
        return jax.jvp(f, (u,), (jnp.ones_like(u),))

    (f0, f1), (_, f2) = jax.jvp(first, (u,), (jnp.ones_like(u),))
    weights = others(values.a)
    f0, f1, f2 = apart((weights * f0, weights * f1, weights * f2))

    # The derivative of c_ij by x_i is summed over j; that by x_j is not.
    by_i = added(lambda j: at(f1, j, 1)[None] * at(dc_i, j, 2), n)  # (d, i, w)
    by_j = jnp.transpose(f1[None] * dc_j, (2, 0, 1, 3))  # (j, d, i, w)
    from_c = by_j + jnp.eye(n, dtype=u.dtype)[:, None, :, None] * by_i[None]
    gradient = from_c.reshape(n * d, n, w)
    if gradients.a is None:
        gradient = apart(gradient)
        squared = sum(dc_i[axis] ** 2 + dc_j[axis] ** 2 for axis in range(d))
    else:
        of_a = added(lambda j: at(f1, j, 1), n)[None] * gradients.a
        gradient = added(
            lambda j: at(f1, j, 1)[None] * at(gradients.b, j, 1)[:, None],
            n,
            of_a + gradient,
        )
        squared = _squared_gradient(gradients)
    lap_u = lap.a[:, None, :] + lap.b[None, :, :] + lap.c
    lap_f = apart(f1 * lap_u + f2 * squared)
    y = added(lambda j: at(f0, j, 1), n)
    return y, gradient, added(lambda j: at(lap_f, j, 1), n)


def _squared_gradient(gradients: Forward) -> Array:
    """|grad u_ij|^2 (n, n, w)."""
    da, db, (dc_i, dc_j) = gradients
    size, n, w = da.shape
    d = size // n
    overlap = overlaps(da, db)

    # grad (a_i + b_j) by x_i and by x_j, (d, i, j, w), where grad c_ij is not zero
    split_a, split_b = da.reshape(n, d, n, w), db.reshape(n, d, n, w)
    own_a, own_b = (
        jnp.transpose(split[np.arange(n), :, np.arange(n)], (1, 0, 2))
        for split in (split_a, split_b)
    )
    ab_i = own_a[:, :, None, :] + jnp.transpose(split_b, (1, 0, 2, 3))
    ab_j = jnp.transpose(split_a, (1, 2, 0, 3)) + own_b[:, None, :, :]
    of_a, of_b = apart((jnp.sum(da * da, axis=0), jnp.sum(db * db, axis=0)))
    squared = of_a[:, None, :] + of_b[None, :, :] + 2 * overlap
    for axis in range(d):
        for dc, ab in ((dc_i[axis], ab_i[axis]), (dc_j[axis], ab_j[axis])):
            squared = squared + dc * (dc + 2 * ab)
    return squared


def values_and_laplacians(arguments: Any) -> tuple[Forward, Forward]:
    """Values and Laplacians of a, b and c; zero Laplacians of constants."""
    from folx.api import FwdLaplArray

    pairs = [
        (v.x, v.laplacian) if isinstance(v, FwdLaplArray) else (v, jnp.zeros_like(v))
        for v in arguments
    ]
    values, laplacians = zip(*pairs, strict=True)
    return Forward(*values), Forward(*laplacians)


def gradients_of(arguments: Forward, relative: bool) -> Forward | None:
    """Gradients for `propagate`; None if c_ij depends on a third particle."""
    from folx.api import FwdLaplArray

    a, b, c = arguments
    if not (isinstance(c, FwdLaplArray) and c.jacobian.weak):
        return None
    n, w = a.shape
    known = [v.jacobian for v in arguments if isinstance(v, FwdLaplArray)]
    size = max(int(j.max_n) + int(j.weak) for j in known)
    d = size // n
    mask = c.jacobian.mask[..., 0]  # (k, i, j): the coordinate that entry k is of
    if size % n or np.any(c.jacobian.mask != mask[..., None]):
        return None
    i, j = np.arange(n)[:, None], np.arange(n)[None, :]
    if np.any((mask >= 0) & (mask // d != i) & (mask // d != j)):
        return None
    by_i = _by_particle(c, mask, d, i)
    by_j = -by_i if relative else _by_particle(c, mask, d, j)
    if not any(isinstance(v, FwdLaplArray) for v in (a, b)):
        return Forward(None, None, (by_i, by_j))

    def dense(v):
        if not isinstance(v, FwdLaplArray):
            return jnp.zeros((size, n, w), v.dtype)
        found = v.jacobian.dense_array
        return jnp.pad(found, ((0, size - found.shape[0]), (0, 0), (0, 0)))

    return Forward(dense(a), dense(b), (by_i, by_j))


def _by_particle(c: Any, mask: np.ndarray, d: int, particle: np.ndarray) -> Array:
    """Derivatives (d, i, j, w) of c_ij by the coordinates of one particle."""
    other = ~np.eye(len(mask[0]), dtype=bool)  # i = j does not count
    columns = []
    for axis in range(d):
        column = jnp.zeros_like(c.x)
        own = mask == particle * d + axis
        for k in np.flatnonzero(np.any(own & other, axis=(1, 2))):
            entry = c.jacobian.data[k]
            if not np.all(own[k] | ~other):
                entry = jnp.where(own[k][:, :, None], entry, 0)
            column = column + entry
        columns.append(column)
    return jnp.stack(columns)

"""The forward Laplacian of a sum of pair messages, without a Jacobian of any pair.

For u_ij = a_i + b_j + c_ij, where c_ij depends on the particles i and j alone, and

    y_i = 1/n sum_{j != i} f(u_ij),

the gradient and the Laplacian with respect to all coordinates are

    grad y_i = 1/n sum_j f'(u_ij) grad u_ij,
    lap y_i  = 1/n sum_j f'(u_ij) lap u_ij + f''(u_ij) |grad u_ij|^2.

To propagate grad u_ij takes n^2 numbers a coordinate and channel, of which a CPU does
little but wait for the memory. The parts of a_i and b_j, however, are products of
(n, n) with (n, n d) matrices, one a channel, and grad c_ij has 2 d entries, of which d
tell the others where c_ij is known to depend on x_i - x_j alone.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.laplacian.rules import named


class Forward(NamedTuple):
    """a and b (n, w), c (n, n, w), or what belongs to them."""

    a: Any
    b: Any
    c: Any


@functools.lru_cache(maxsize=64)
def message_sum(f: Callable[[Array], Array], relative: bool = False) -> Callable:
    """The function that sums messages, 1/n sum_{j != i} f(a_i + b_j + c_ij).

    It takes a, b (n, w) and c (n, n, w) to (n, w).

    Args:
      f: elementwise and smooth.
      relative: promises that c_ij is a function of x_i - x_j, which makes a forward
        Laplacian cheaper, and wrong if it is not so.
    """

    def of_all(a: Array, b: Array, c: Array) -> Array:
        messages = weighted_messages(f, a, b, c)
        # XLA fuses a sum with all that leads to it, which then runs three times slower.
        return jnp.sum(jax.lax.optimization_barrier(messages), axis=1)

    return named(of_all, "message_sum", rule(f, relative), f, relative)


def weighted_messages(
    f: Callable[[Array], Array], a: Array, b: Array, c: Array
) -> Array:
    """Messages f(a_i + b_j + c_ij) / n (n, n, w) to i from j, 0 from i itself."""
    return others(a) * f(a[:, None, :] + b[None, :, :] + c)


def others(a: Array) -> Array:
    """1/n for pairs of different particles, else 0, (n, n, 1), for a (n, w)."""
    n = a.shape[0]
    return jnp.asarray((1 - np.eye(n)) / n, a.dtype)[:, :, None]


def rule(f: Callable[[Array], Array], relative: bool = False) -> Callable:
    """The forward Laplacian of `message_sum` of f.

    Args:
      f: elementwise and smooth.
      relative: whether c_ij depends on x_i - x_j alone.
    """

    def forward(arguments: Any, kwargs: Any, sparsity_threshold: int) -> Any:
        import folx
        from folx.api import FwdJacobian, FwdLaplArray

        gradients = _gradients(Forward(*arguments), relative)
        if gradients is None:
            plain = folx.forward_laplacian(
                lambda a, b, c: jnp.sum(weighted_messages(f, a, b, c), axis=1),
                sparsity_threshold,
                True,
            )
            return plain(*arguments)
        known = [isinstance(argument, FwdLaplArray) for argument in arguments]
        pairs = list(zip(arguments, known, strict=True))
        values = Forward(*(v.x if k else v for v, k in pairs))
        laplacians = Forward(
            *(v.laplacian if k else jnp.zeros_like(v) for v, k in pairs)
        )
        y, gradient, laplacian = propagate(f, values, gradients, laplacians)
        return FwdLaplArray(y, FwdJacobian(gradient), laplacian)

    return forward


def propagate(
    f: Callable[[Array], Array], values: Forward, gradients: Forward, lap: Forward
) -> tuple[Array, Array, Array]:
    """Value (n, w), gradient (n d, n, w) and Laplacian (n, w) of the sum.

    Args:
      f: elementwise and smooth.
      values: of a, b and c.
      gradients: of a and b (n d, n, w), or None for both where they are constant, and
        of c_ij by x_i and by x_j (d, n, n, w).
      lap: Laplacians of a, b and c.
    """
    n, w = values.a.shape
    da, db, (dc_i, dc_j) = gradients
    d = dc_i.shape[0]
    # XLA fuses a sum with all that leads to it, which then runs three times slower.
    apart = jax.lax.optimization_barrier
    u = apart(values.a[:, None, :] + values.b[None, :, :] + values.c)

    def first(u):
        return jax.jvp(f, (u,), (jnp.ones_like(u),))

    (f0, f1), (_, f2) = jax.jvp(first, (u,), (jnp.ones_like(u),))
    weights = others(values.a)
    f0, f1, f2 = apart((weights * f0, weights * f1, weights * f2))

    # By x_i what c_ij gives is summed over j; by x_j it stands alone.
    by_i = apart(jnp.sum(apart(f1[None] * dc_i), axis=2))  # (d, i, w)
    by_j = jnp.transpose(f1[None] * dc_j, (2, 0, 1, 3))  # (j, d, i, w)
    from_c = by_j + jnp.eye(n, dtype=u.dtype)[:, None, :, None] * by_i[None]
    gradient = from_c.reshape(n * d, n, w)
    if da is None:
        gradient = apart(gradient)
        squared = sum(dc_i[axis] ** 2 + dc_j[axis] ** 2 for axis in range(d))
    else:
        # Matrices of each channel: a_k and b_k (w, n, n d), f1_k (w, n, n).
        a_k, b_k = jnp.transpose(da, (2, 1, 0)), jnp.transpose(db, (2, 1, 0))
        f1_k = jnp.transpose(f1, (2, 0, 1))
        from_b = jnp.transpose(f1_k @ b_k, (2, 1, 0))
        overlap = jnp.transpose(a_k @ jnp.swapaxes(b_k, 1, 2), (1, 2, 0))
        from_a = apart(jnp.sum(f1, axis=1))[None] * da
        gradient = apart(from_a + from_b + gradient)

        # grad (a_i + b_j) by x_i and by x_j, (d, i, j, w), which meets grad c_ij.
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
    lap_u = lap.a[:, None, :] + lap.b[None, :, :] + lap.c
    laplacian = jnp.sum(apart(f1 * lap_u + f2 * squared), axis=1)
    y, laplacian = apart((jnp.sum(f0, axis=1), laplacian))
    return y, gradient, laplacian


def _gradients(arguments: Forward, relative: bool) -> Forward | None:
    """Gradients as `propagate` takes them; None if c_ij knows of a third particle."""
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
    i, j = (np.arange(n)[:, None], np.arange(n)[None, :])
    if np.any((mask >= 0) & (mask // d != i) & (mask // d != j)):
        return None

    def dense(v):
        if constant:
            return None
        if not isinstance(v, FwdLaplArray):
            return jnp.zeros((size, n, w), v.dtype)
        found = v.jacobian.dense_array
        return jnp.pad(found, ((0, size - found.shape[0]), (0, 0), (0, 0)))

    def by(particle):  # (d, i, j, w) from the entries of that particle's coordinates
        columns = []
        for axis in range(d):
            column = jnp.zeros_like(c.x)
            for k in np.flatnonzero(np.any(mask == particle * d + axis, axis=(1, 2))):
                there = (mask[k] == particle * d + axis)[:, :, None]
                column = column + jnp.where(there, c.jacobian.data[k], 0)
            columns.append(column)
        return jnp.stack(columns)

    def by_either(axis):  # the one that entry k is of tells that of the other
        own, other = mask == i * d + axis, mask == j * d + axis
        same = np.eye(n, dtype=bool)  # i = j does not count
        whole = np.all(own | other | same, axis=(1, 2))
        once = np.all((own.sum(axis=0) == 1) & (other.sum(axis=0) == 1) | same)
        if not (np.any(whole) and once):
            return None
        k = np.argmax(whole)
        if np.all(own[k] | same):
            return c.jacobian.data[k]
        sign = jnp.asarray(1.0 * own[k] - 1.0 * other[k], c.x.dtype)[:, :, None]
        return sign * c.jacobian.data[k]

    constant = not any(isinstance(v, FwdLaplArray) for v in (a, b))
    columns = [by_either(axis) for axis in range(d)] if relative else []
    found = [column for column in columns if column is not None]
    if len(found) < d:
        return Forward(dense(a), dense(b), (by(i), by(j)))
    by_one = jnp.stack(found)
    return Forward(dense(a), dense(b), (by_one, -by_one))

"""Features of pairs that depend on differences alone, and their forward Laplacian.

For e_ij = f(v_i, v_j), where v_i depends on particle i and e_ij on x_i - x_j,

    d e_ij / d x_i = f'(v_i, v_j) [d v_i / d x_i, 0] = -d e_ij / d x_j,

which d tangents give for all pairs at once, and the Laplacian by all coordinates is
twice that by x_i. Functions of e_ij alone need no derivatives by x_j before they meet
functions of other particles: `by_one` leaves them out, and `by_both` restores them.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.laplacian.rules import named, register


def relative_features(
    function: Callable[[Array, Array], Array],
) -> Callable[[Array], Array]:
    """The function v (n, k) -> e (n, n, m) with e_ij = function(v_i, v_j).

    Call it once and keep the result, because each call compiles anew.

    Args:
      function: of one (n, 1, k) and the other (1, n, k), elementwise in the first two
        axes. Its value at v(x_i) and v(x_j) must depend on x_i - x_j alone, or else the
        forward Laplacian is wrong.
    """

    def of_pairs(v: Array) -> Array:
        return function(v[:, None, :], v[None, :, :])

    return named(of_pairs, "relative_features", rule(function), function)


def rule(f: Callable[[Array, Array], Array]) -> Callable:
    """The forward Laplacian of `relative_features` of f."""

    def plain(v):
        return f(v[:, None, :], v[None, :, :])

    def forward(arguments: Any, kwargs: Any, sparsity_threshold: int) -> Any:
        import folx
        from folx.api import FwdJacobian, FwdLaplArray

        (v,) = arguments
        tangents = _tangents(v)
        if tangents is None:
            return folx.forward_laplacian(plain, sparsity_threshold, True)(v)
        e, by_one, laplacian = differentiated(f, v.x, tangents, v.laplacian)
        mask = np.concatenate(coordinates(*by_one.shape))
        jacobian = FwdJacobian(jnp.concatenate([by_one, -by_one]), mask)
        return FwdLaplArray(e, jacobian, laplacian)

    return forward


def coordinates(d: int, n: int, _: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (d, n, n, m) of particles i and of j, -1 where they are the same."""
    of_particle = np.arange(n * d).reshape(n, d).T
    found = []
    for of_one in (of_particle[:, :, None], of_particle[:, None, :]):
        masked = np.where(np.eye(n, dtype=bool), -1, of_one)[..., None]
        found.append(np.broadcast_to(masked, (d, n, n, m)))
    return found[0], found[1]


def nqs_by_one(e: Array) -> Array:
    """The same e_ij (n, n, m), whose derivatives by x_j are left out from here on."""
    return e


def nqs_by_both(e: Array) -> Array:
    """The same e_ij (n, n, m), with derivatives by x_j, after `by_one`."""
    return e


by_one, by_both = jax.jit(nqs_by_one), jax.jit(nqs_by_both)


def forward_by_one(arguments: Any, kwargs: Any, sparsity_threshold: int) -> Any:
    """The forward Laplacian by x_i alone, of functions of x_i - x_j."""
    from folx.api import FwdJacobian, FwdLaplArray

    (e,) = arguments
    if e.ndim != 3 or not isinstance(e, FwdLaplArray) or not e.jacobian.weak:
        return e
    data, mask = e.jacobian.data, e.jacobian.mask
    d = len(mask) // 2
    both = coordinates(d, *e.shape)
    if len(mask) != 2 * d or not np.array_equal(mask, np.concatenate(both)):
        return e
    return FwdLaplArray(e.x, FwdJacobian(data[:d], both[0]), e.laplacian / 2)


def forward_by_both(arguments: Any, kwargs: Any, sparsity_threshold: int) -> Any:
    """The forward Laplacian by x_i and x_j."""
    return restored(*arguments)


def restored(e: Any) -> Any:
    """An array of the forward Laplacian, with the derivatives `by_one` left out."""
    from folx.api import FwdJacobian, FwdLaplArray

    if not isinstance(e, FwdLaplArray) or not e.jacobian.weak or e.ndim != 3:
        return e
    data, mask = e.jacobian.data, e.jacobian.mask
    both = coordinates(*data.shape)
    if not np.array_equal(mask, both[0]):
        return e
    jacobian = FwdJacobian(jnp.concatenate([data, -data]), np.concatenate(both))
    return FwdLaplArray(e.x, jacobian, 2 * e.laplacian)


register("nqs_by_one", forward_by_one)
register("nqs_by_both", forward_by_both)


def differentiated(
    f: Callable[[Array, Array], Array], v: Array, tangents: Array, laplacian: Array
) -> tuple[Array, Array, Array]:
    """Features e (n, n, m), their gradient by x_i (d, n, n, m) and Laplacian (n, n, m).

    From v (n, k), its derivatives (d, n, k) by x_i and its Laplacian (n, k).
    """
    apart = jnp.asarray(1 - np.eye(len(v)), v.dtype)[:, :, None]
    one = (v[:, None, :],)

    def of_one(one):
        return f(one, v[None, :, :])

    e, total = jax.jvp(of_one, one, (laplacian[:, None, :],))
    gradient = []
    for tangent in tangents[:, :, None, :]:

        def along(one, tangent=tangent):
            return jax.jvp(of_one, (one,), (tangent,))[1]

        slope, curvature = jax.jvp(along, one, (tangent,))
        gradient.append(apart * slope)
        total = total + curvature
    return e, jnp.stack(gradient), 2 * apart * total


def _tangents(v: Any) -> Array | None:
    """Derivatives (d, n, k) of v_i by x_i; None if there are others."""
    if not v.jacobian.weak:
        return None
    n = v.x.shape[0]
    mask = v.jacobian.mask  # coordinates (entries, n, k)
    size = int(np.max(mask)) + 1
    d = size // n
    own = np.arange(n)[:, None]
    if size % n or np.any((mask >= 0) & (mask // d != own)):
        return None
    tangents = []
    for axis in range(d):
        there = mask == own * d + axis
        if not np.all(np.any(there, axis=(0, 2))):
            return None  # d is ambiguous
        there = jnp.asarray(there, v.x.dtype)
        tangents.append(jnp.sum(there * v.jacobian.data, axis=0))
    return jnp.stack(tangents)

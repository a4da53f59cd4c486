"""Features of pairs that depend on differences alone, and their forward Laplacian.

For e_ij = f(v_i, v_j), where v_i depends on particle i and e_ij on x_i - x_j,

    d e_ij / d x_i = f'(v_i, v_j) [d v_i / d x_i, 0] = -d e_ij / d x_j,

which d tangents give for all pairs at once, and the Laplacian by all coordinates is
twice that by x_i.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.laplacian.rules import named


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
        d, n = by_one.shape[:2]
        coordinates = np.arange(n * d).reshape(n, d).T
        by_i, by_j = coordinates[:, :, None], coordinates[:, None, :]  # (d, n, n)
        both = np.concatenate(
            [np.broadcast_to(indices, (d, n, n)) for indices in (by_i, by_j)]
        )
        both = np.where(np.eye(n, dtype=bool), -1, both)
        mask = np.broadcast_to(both[..., None], (*both.shape, e.shape[-1]))
        jacobian = FwdJacobian(jnp.concatenate([by_one, -by_one]), mask)
        return FwdLaplArray(e, jacobian, laplacian)

    return forward


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

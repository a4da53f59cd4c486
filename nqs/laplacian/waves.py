"""The forward Laplacian of sin and cos together, which are each other's derivatives.

    grad sin u = cos u grad u,     lap sin u = cos u lap u - sin u |grad u|^2,
    grad cos u = -sin u grad u,    lap cos u = -sin u lap u - cos u |grad u|^2.

Without the rule XLA evaluates both again for every entry of the Jacobian.
"""

import itertools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.laplacian.rules import register
from nqs.space.box import Box


def nqs_sin_and_cos(phases: Array) -> tuple[Array, Array]:
    """Sin and cos of phases (...)."""
    return jnp.sin(phases), jnp.cos(phases)


sin_and_cos = jax.jit(nqs_sin_and_cos)


def forward(args: Any, kwargs: Any, sparsity_threshold: int) -> Any:
    """The forward Laplacian of `sin_and_cos`."""
    from folx.api import FwdJacobian, FwdLaplArray

    (u,) = args
    sin, cos = jax.lax.optimization_barrier((jnp.sin(u.x), jnp.cos(u.x)))
    data, index = u.jacobian
    if index is not None:
        ordered = np.sort(index, axis=0)
        if np.any((ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0)):
            data, index = u.jacobian.dense_array, None  # parts of one entry are apart
    squared = jnp.sum(data * data, axis=0)

    def with_derivatives(value, slope):
        laplacian = slope * u.laplacian - value * squared
        return FwdLaplArray(value, FwdJacobian(slope[None] * data, index), laplacian)

    return [with_derivatives(sin, cos), with_derivatives(cos, -sin)]


register("nqs_sin_and_cos", forward)


class Waves(NamedTuple):
    """Sin and cos (..., d) of half the phases, b_a . x / 2.

    A lattice vector changes the signs of both, and no product of two of them.
    """

    sin: Array
    cos: Array


def pair_waves(one: Array, other: Array) -> Waves:
    """Waves of the difference of two positions from theirs, sin and cos in (..., 2 d).

    The barriers keep gradients plain sums over pairs, ten times faster on a CPU.
    """
    apart = jax.lax.optimization_barrier
    u, v = (Waves(*apart(jnp.split(both, 2, -1))) for both in (one, other))
    return Waves(u.sin * v.cos - u.cos * v.sin, u.cos * v.cos + u.sin * v.sin)


def waves(box: Box, x: Array) -> Waves:
    """Waves at positions x (..., d), with b_a of the shortest lattice vectors."""
    halves = x @ jnp.asarray(math.pi * np.linalg.inv(box.shortest), x.dtype)
    return Waves(*sin_and_cos(halves))


def squared_distance(box: Box, waves: Waves) -> Array:
    """A smooth periodic square (...) of the distance with these waves.

    With the phases u_a of a difference r,

        sum_ab (a_a . a_b) / 4 pi^2 [sin u_a sin u_b + (1 - cos u_a)(1 - cos u_b)]

    is |r|^2 up to the fourth order in r, so that a cusp in its root is one in |r|, and
    positive away from lattice points. G. Cassella et al., Phys. Rev. Lett. 130, 036401
    (2023), here for any cell and in half phases, where a = b leaves one term.
    """
    metric = box.shortest @ box.shortest.T / math.pi**2
    sin, cos = waves
    terms = []
    for a, b in itertools.combinations_with_replacement(range(box.d), 2):
        if abs(metric[a, b]) < 1e-14 * np.max(metric):
            continue
        term = float(metric[a, b]) * sin[..., a] * sin[..., b]
        if a != b:
            overlap = cos[..., a] * cos[..., b] + sin[..., a] * sin[..., b]
            term = 2 * term * overlap
        terms.append(term)
    return sum(terms[1:], terms[0])

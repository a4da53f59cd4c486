"""The forward Laplacian of the sum of all entries of an array.

The derivatives of a sum over pairs depend on every coordinate, those of one pair on a
few. folx finds this out by about forty operations that compile one by one.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.laplacian.rules import register


def nqs_total(values: Array) -> Array:
    """The sum () of values (...)."""
    return jnp.sum(values)


total = jax.jit(nqs_total)


def forward(arguments: Any, kwargs: Any, sparsity_threshold: int) -> Any:
    """The forward Laplacian of `total`."""
    from folx.api import FwdJacobian, FwdLaplArray

    (u,) = arguments
    data, index = u.jacobian
    if index is None:
        gradient = jnp.sum(data, axis=tuple(range(1, data.ndim)))
    else:
        gradient = sum_by_coordinate(data, index)
    return FwdLaplArray(jnp.sum(u.x), FwdJacobian(gradient), jnp.sum(u.laplacian))


def sum_by_coordinate(data: Array, index: np.ndarray) -> Array:
    """Sums of data (k, ...) with equal index (k, ...), a coordinate, or -1 for none.

    Axes along which the index is constant are added first, such as that of the other
    particle of a pair.
    """
    sums, coordinates = [], []
    for entries, of_entry in zip(data, index, strict=True):
        every = range(of_entry.ndim)
        same = tuple(a for a in every if not np.any(np.diff(of_entry, axis=a)))
        first = tuple(0 if a in same else slice(None) for a in every)
        sums.append(jnp.sum(entries, axis=same).reshape(-1))
        coordinates.append(of_entry[first].reshape(-1))
    found = np.concatenate(coordinates)[:, None] == np.arange(index.max() + 1)
    return jnp.concatenate(sums) @ jnp.asarray(found, data.dtype)


register("nqs_total", forward)

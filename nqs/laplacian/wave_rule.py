"""The forward Laplacian of sin and cos together, which are each other's derivatives.

    grad sin u = cos u grad u,     lap sin u = cos u lap u - sin u |grad u|^2,
    grad cos u = -sin u grad u,    lap cos u = -sin u lap u - cos u |grad u|^2.

Left to itself XLA evaluates them once more for every entry of the Jacobian.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

NAME = "nqs_sin_and_cos"  # of the function in `nqs.space.box`


def register() -> None:
    """Tell folx the rule."""
    import folx

    folx.register_function(NAME, forward)


def forward(args: Any, kwargs: Any, sparsity_threshold: int) -> Any:
    """What folx is to call in place of `sin_and_cos`."""
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

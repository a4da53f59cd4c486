"""The forward Laplacian of sums over channels of a pair times factors of its particles.

For y_ij = sum_m g_ijm h_im h_jm, where g_ij is a function of x_i - x_j,

    grad y_ij = sum_m g_ijm (h_jm grad h_im + h_im grad h_jm) + h_im h_jm grad g_ijm,
    lap y_ij  = sum_m g_ijm (h_jm lap h_im + h_im lap h_jm + 2 grad h_im . grad h_jm)
                + h_im h_jm lap g_ijm + 2 grad g_ijm . grad (h_im h_jm).

The sums over channels are products of matrices and those over coordinates `overlaps`,
instead of n^2 numbers per coordinate and channel; grad g_ij has 2 d entries, d of them
independent.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.laplacian.dense import overlaps
from nqs.laplacian.messages import Forward, gradients_of, values_and_laplacians
from nqs.laplacian.pairs import restored
from nqs.laplacian.rules import register

apart = jax.lax.optimization_barrier


def nqs_pair_products(h: Array, g: Array) -> Array:
    """sum_m g_ijm h_im h_jm (n, n) of h (n, m) and g (n, n, m).

    The Laplacian is wrong if g_ij is no function of x_i - x_j.
    """
    return jnp.sum(g * h[:, None, :] * h[None, :, :], axis=-1)


pair_products = jax.jit(nqs_pair_products)


def forward(arguments: Any, kwargs: Any, sparsity_threshold: int) -> Any:
    """The forward Laplacian of `pair_products`."""
    import folx
    from folx.api import FwdJacobian, FwdLaplArray

    h, g = arguments[0], restored(arguments[1])
    gradients = gradients_of(Forward(h, h, g), relative=True)
    if gradients is None or gradients.a is None:
        plain = folx.forward_laplacian(nqs_pair_products, sparsity_threshold, True)
        return plain(h, g)
    values, laplacians = values_and_laplacians((h, h, g))
    y, gradient, laplacian = propagate(values, gradients, laplacians)
    return FwdLaplArray(y, FwdJacobian(gradient), laplacian)


def propagate(
    values: Forward, gradients: Forward, lap: Forward
) -> tuple[Array, Array, Array]:
    """Value (n, n), gradient (n d, n, n) and Laplacian (n, n) of the sum.

    From the gradients of h (n d, n, m) and of g_ij by x_i (d, n, n, m).
    """
    h, _, g = values
    dh, _, (dg, _) = gradients
    size, n, m = dh.shape
    d = size // n
    of_i, of_j = g * h[None, :, :], g * h[:, None, :]  # factors of grad h_i and h_j
    both = apart(of_i * h[:, None, :])
    by_particle = jnp.transpose(dh, (1, 2, 0))  # (n, m, n d)
    along_i = jnp.transpose(of_i @ by_particle, (2, 0, 1))  # batches of i
    along_j = jnp.transpose(jnp.swapaxes(of_j, 0, 1) @ by_particle, (2, 1, 0))
    of_g = apart(jnp.sum(apart(dg * (h[:, None, :] * h[None, :, :])), axis=-1))
    eye = jnp.eye(n, dtype=h.dtype)
    of_g = eye[:, None, :, None] * of_g - eye[:, None, None, :] * of_g  # (k, d, i, j)
    gradient = apart(along_i + along_j + of_g.reshape(size, n, n))

    overlap = overlaps(dh, dh)
    split, every = dh.reshape(n, d, n, m), np.arange(n)
    own = jnp.transpose(split[every, :, every], (1, 0, 2))  # (d, i, m) of h_i by x_i
    others = jnp.transpose(split, (1, 0, 2, 3))  # (d, j, i, m) of h_i by x_j
    change_i = own[:, :, None, :] - jnp.swapaxes(others, 1, 2)
    change_j = others - own[:, None, :, :]
    crossed = dg * (change_i * h[None, :, :] + change_j * h[:, None, :])
    terms = of_i * lap.a[:, None, :] + of_j * lap.a[None, :, :] + 2 * g * overlap
    terms = terms + h[:, None, :] * h[None, :, :] * lap.c + 2 * jnp.sum(crossed, axis=0)
    y, laplacian = jnp.sum(both, axis=-1), jnp.sum(apart(terms), axis=-1)
    return y, gradient, laplacian


register("nqs_pair_products", forward)

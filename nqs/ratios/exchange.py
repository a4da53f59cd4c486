"""Ratios of psi under exchanges of two particles, for any ansatz.

Where forces act on spins, H psi needs psi with two spins exchanged. For a psi that is
antisymmetric and whose first n_up particles have spin up, that is minus psi with the
two positions exchanged.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.capabilities import ExchangeRatios
from nqs.types import Ansatz, Params


def exchange_ratios(ansatz: Ansatz, params: Params, x: Array, n_up: int) -> Array:
    """psi(x') / psi(x) (n_up, n_down), positions of i up and j down exchanged in x'.

    From the ansatz where it has `ExchangeRatios`, else from n_up n_down values of psi.

    Args:
      ansatz: the wave function.
      params: its parameters.
      x: (n, d) positions.
      n_up: the first n_up particles have spin up.
    """
    if isinstance(ansatz, ExchangeRatios):
        return ansatz.exchange_ratios(params, x)
    n_down = x.shape[0] - n_up
    here = ansatz.apply(params, x)

    def ratio(i, j):
        both = jnp.stack([i, j])
        there = ansatz.apply(params, x.at[both].set(x[both[::-1]]))
        size = jnp.exp(there.logabs - here.logabs)
        return there.sign * jnp.conj(here.sign) * size

    def row(i):
        return jax.vmap(lambda j: ratio(i, j))(n_up + jnp.arange(n_down))

    if min(n_up, n_down) == 0:
        return jnp.zeros((n_up, n_down), here.sign.dtype)
    return jax.lax.map(row, jnp.arange(n_up))


def total_spin(ratios: Array) -> Array:
    """S^2 psi / psi () from the ratios (n_up, n_down) of exchanges.

    With sigma_i . sigma_j = 2 P_ij - 1 and P_ij the exchange of two spins, S^2 = n -
    n^2 / 4 + sum_{i<j} P_ij, where P_ij is 1 for equal spins and minus the ratio for
    others.
    """
    n_up, n_down = ratios.shape
    n = n_up + n_down
    equal = (n_up * (n_up - 1) + n_down * (n_down - 1)) // 2
    return n - n**2 / 4 + equal - jnp.sum(ratios)


def opposite_pairs(n: int, n_up: int) -> tuple[np.ndarray, np.ndarray]:
    """Particles i up and j down (n_up, n_down) of all such pairs."""
    i, j = np.meshgrid(np.arange(n_up), np.arange(n_up, n), indexing="ij")
    return i, j

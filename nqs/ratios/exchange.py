"""Ratios of psi under exchanges of two particles, for any ansatz.

Where forces act on spins, H psi needs psi with two spins exchanged. For a psi that is
antisymmetric and whose first particles have spin up, that is minus psi with the
two positions exchanged.
"""

import jax
import jax.numpy as jnp
from jax import Array

from nqs.capabilities import ExchangeRatios
from nqs.space.spins import Spins, check_spins
from nqs.types import Ansatz, Params


def exchange_ratios(ansatz: Ansatz, params: Params, x: Array, spins: Spins) -> Array:
    """psi(x') / psi(x) (up, down), positions of i up and j down exchanged in x'.

    From the ansatz where it has `ExchangeRatios`, else from up * down values of psi at
    positions (n, d).
    """
    if isinstance(ansatz, ExchangeRatios):
        return ansatz.exchange_ratios(params, x)
    check_spins(spins, len(x))
    here = ansatz.apply(params, x)

    def ratio(i, j):
        both = jnp.stack([i, j])
        there = ansatz.apply(params, x.at[both].set(x[both[::-1]]))
        size = jnp.exp(there.logabs - here.logabs)
        return there.sign * jnp.conj(here.sign) * size

    if min(spins.up, spins.down) == 0:
        return jnp.zeros((spins.up, spins.down), here.sign.dtype)
    i, j = jnp.arange(spins.up), jnp.arange(spins.up, spins.n)
    return jax.lax.map(lambda i: jax.vmap(lambda j: ratio(i, j))(j), i)


def total_spin(ratios: Array) -> Array:
    """S^2 psi / psi () from the ratios (up, down) of exchanges.

    With sigma_i . sigma_j = 2 P_ij - 1 and P_ij the exchange of two spins, S^2 = n -
    n^2 / 4 + sum_{i<j} P_ij, where P_ij is 1 for equal spins and minus the ratio for
    others.
    """
    up, down = ratios.shape
    n = up + down
    equal = (up * (up - 1) + down * (down - 1)) // 2
    return n - n**2 / 4 + equal - jnp.sum(ratios)

"""Ratios of psi under exchanges of two particles, for any ansatz.

Where forces act on spins, H psi needs psi with two spins exchanged. For a psi that is
antisymmetric and whose first particles have spin up, that is minus psi with the
two positions exchanged.
"""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.capabilities import ExchangeRatios
from nqs.space.spins import Spins, check_spins
from nqs.types import Ansatz, Params


@runtime_checkable
class ExchangeForces(Protocol):
    """A Hamiltonian with forces that exchange the spins of two particles."""

    exchange: str  # name of the term that holds them

    @property
    def spins(self) -> Spins:
        """Numbers of each spin."""
        ...

    def exchange_elements(self, x: Array) -> Array:
        """<x|H|x'> (up, down), positions of i up and j down exchanged in x'."""
        ...


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
        return ansatz.apply(params, exchanged(x, i, j)).over(here)

    if min(spins.up, spins.down) == 0:
        return jnp.zeros((spins.up, spins.down), here.sign.dtype)
    i, j = jnp.arange(spins.up), jnp.arange(spins.up, spins.n)
    return jax.lax.map(lambda i: jax.vmap(lambda j: ratio(i, j))(j), i)


def label_ratios(
    ansatz: Ansatz, params: Params, x: Any, names: tuple[str, ...]
) -> Array:
    """psi(x') / psi(x) of all pairs i < j, (n (n - 1) / 2,), labels exchanged in x'.

    Args:
      ansatz: of configurations that are named tuples with `positions`.
      params: its parameters.
      x: one configuration of n particles.
      names: fields (n,) whose values at i and j are exchanged, such as "spins".
    """
    here = ansatz.apply(params, x)

    def ratio(i, j):
        there = {name: exchanged(getattr(x, name), i, j) for name in names}
        return ansatz.apply(params, x._replace(**there)).over(here)

    i, j = np.triu_indices(len(x.positions), 1)
    return jax.vmap(ratio)(jnp.asarray(i), jnp.asarray(j))


def exchanged(values: Array, i: Array, j: Array) -> Array:
    """Values (n, ...) with those at i and j exchanged."""
    both = jnp.stack([i, j])
    return values.at[both].set(values[both[::-1]])


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

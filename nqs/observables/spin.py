"""Observables of spins in labeled configurations, from exchanges of positions.

For an antisymmetric psi the exchange of two opposite spins is minus that of their
positions, and that of equal spins is 1: see `nqs.ratios.exchange`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.capabilities import ExchangeRatios
from nqs.observables.periodic import PairsInBox
from nqs.ratios.exchange import exchange_ratios, total_spin
from nqs.space.spins import Spins, check_spins
from nqs.types import Ansatz, Params


@dataclasses.dataclass(frozen=True)
class SpinSquared:
    """<S^2>, 0 for a singlet and S (S + 1) for spin S, in units of hbar^2.

    S^2 = S_z (S_z + 1) + n_down - sum_{i up, j down} P_ij, where P_ij exchanges the
    positions of i and j. psi is odd within each spin, so that every j contributes
    equally:

        S_z (S_z + 1) + n_down (1 - sum_{i up} psi(P_i1 x) / psi(x)).

    For n_down > n_up the two change roles. The bracket vanishes everywhere in a state
    with S = S_z, the cyclic condition of V. Fock.

    Attributes:
      spins: of the particles.
    """

    spins: Spins

    name = "spin_squared"
    grid = None

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Local value (), the real part where psi is complex, for x (n, d).

        Evaluates max(n_up, n_down) wave functions, or the ansatz's `ExchangeRatios`.
        """
        check_spins(self.spins, len(x))
        if isinstance(ansatz, ExchangeRatios):
            return total_spin(ansatz.exchange_ratios(params, x)).real
        minority, majority = sorted((self.spins.up, self.spins.down))
        s_z = (majority - minority) / 2
        if minority == 0:
            return jnp.full((), s_z * (s_z + 1), x.dtype)
        here = ansatz.apply(params, x)

        ratios = jax.lax.map(
            lambda order: ansatz.apply(params, x[order]).over(here).real,
            jnp.asarray(_exchanges(self.spins)),
        )
        return s_z * (s_z + 1) + minority * (1 - jnp.sum(ratios))


def _exchanges(spins: Spins) -> np.ndarray:
    """Orders (m, n) of n particles, one of the minority exchanged with each other."""
    up, down = np.arange(spins.up), np.arange(spins.up, spins.n)
    if len(up) < len(down):
        up, down = down, up
    orders = np.tile(np.arange(spins.n), (len(up), 1))
    orders[np.arange(len(up)), up] = down[0]
    orders[:, down[0]] = up
    return orders


@dataclasses.dataclass(frozen=True)
class SpinPairDistribution(PairsInBox):
    """Pair distribution g(r) of pairs in a singlet and in a triplet.

    g_S(r) = V / n^2 <sum_{i != j} delta(r - r_ij) Q_S>, averaged over directions, with
    the projectors Q_0 = (1 - P_ij) / 2 on singlets and Q_1 = (1 + P_ij) / 2 on
    triplets, P_ij the exchange of both spins. Their sum is that of all pairs.

    Attributes and errors are those of `PairsInBox`.
    """

    name = "spin_pair_distribution"
    curves = ("singlet", "triplet")

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values (2, k) for x (n, d)."""
        i, j, r = self.distances(x)
        ratios = exchange_ratios(ansatz, params, x, self.spins).real
        opposite = np.flatnonzero(~self.spins.equal[i, j])
        singlet = jnp.zeros_like(r)
        if opposite.size:
            found = ratios[i[opposite], j[opposite] - self.spins.up]
            singlet = singlet.at[opposite].set((1 + found) / 2)
        norm = len(x) ** 2
        return jnp.stack([self.g(r, norm, singlet), self.g(r, norm, 1 - singlet)])

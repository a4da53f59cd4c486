"""Observables of spins in labeled configurations, from exchanges of positions.

The first n_up particles have spin up. For an antisymmetric psi the exchange of two
opposite spins is minus that of their positions, and that of equal spins is 1: see
`nqs.ratios.exchange`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.observables.trap import _centers, _check_bins, _per_shell
from nqs.ratios.exchange import exchange_ratios, total_spin
from nqs.space.box import Box
from nqs.types import Ansatz, Params


@dataclasses.dataclass(frozen=True)
class TotalSpin:
    """<S^2>, 0 for a singlet and S (S + 1) for spin S, in units of hbar^2.

    Attributes:
      n_up: particles of spin up, the first ones.
    """

    n_up: int

    @property
    def name(self) -> str:
        """The key in the results."""
        return "total_spin"

    @property
    def grid(self) -> None:
        """A scalar."""
        return None

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """S^2 psi / psi () at x (n, d)."""
        return total_spin(exchange_ratios(ansatz, params, x, self.n_up)).real


@dataclasses.dataclass(frozen=True)
class SpinPairDistribution:
    """Pair distribution g(r) of pairs in a singlet and in a triplet.

    g_S(r) = V / n^2 <sum_{i != j} delta(r - r_ij) Q_S>, averaged over directions, with
    the projectors Q_0 = (1 - P_ij) / 2 on singlets and Q_1 = (1 + P_ij) / 2 on
    triplets, P_ij the exchange of both spins. Their sum is that of all pairs.

    Attributes:
      box: the periodic cell.
      n_up: particles of spin up, the first ones.
      n_bins: equal bins from 0 to the radius of the largest sphere in the cell.

    Raises:
      ValueError: if n_bins is not positive.
    """

    box: Box
    n_up: int
    n_bins: int = 50

    axes = ("separation r ({length})",)
    label = "pair distribution g(r)"
    curves = ("singlet", "triplet")

    def __post_init__(self):
        _check_bins("box.inradius", self.box.inradius, self.n_bins)

    @property
    def name(self) -> str:
        """The key in the results."""
        return "spin_pair_distribution"

    @property
    def grid(self) -> np.ndarray:
        """Bin centers (k,)."""
        return _centers(self.box.inradius, self.n_bins)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values (2, k) for x (n, d)."""
        n = len(x)
        i, j = np.triu_indices(n, 1)
        r = jnp.linalg.norm(jax.vmap(self.box.nearest_image)(x[i] - x[j]), axis=-1)
        ratios = exchange_ratios(ansatz, params, x, self.n_up).real
        opposite = np.flatnonzero((i < self.n_up) & (j >= self.n_up))
        singlet = jnp.zeros_like(r)
        if opposite.size:
            found = ratios[i[opposite], j[opposite] - self.n_up]
            singlet = singlet.at[opposite].set((1 + found) / 2)

        def g(weights):
            counts = _per_shell(r, self.box.inradius, self.n_bins, self.box.d, weights)
            return 2 * self.box.volume / n**2 * counts

        return jnp.stack([g(singlet), g(1 - singlet)])

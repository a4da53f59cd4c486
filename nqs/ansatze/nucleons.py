"""Wave functions of light nuclei, with operators on pairs of spin 0.

    psi = exp(J) (1 + sum_{i<j} u_ij Q_ij) Phi,    Q_ij = (1 - P_ij) / 2,

where Phi is the antisymmetric state of spins and isospins of up to four nucleons in
different states, P_ij exchanges two spins and Q_ij projects on spin 0. J and u_ij are
functions of all distances, which message passing makes symmetric and equivariant. So
psi is antisymmetric, and has the total spin and isospin of Phi, no orbital angular
momentum and even parity, as the ground states of central forces. Q_ij mixes the spatial
symmetries: without it, spins would be independent of positions, as in a Slater
determinant with a Jastrow factor. Parts of psi that are antisymmetric in the positions
of three nucleons, or that mix isospins as Coulomb forces do, are left out.

Operators between nucleons: R. B. Wiringa, Phys. Rev. C 43, 1585 (1991); message
passing: G. Pescia et al., Phys. Rev. B 110, 035108 (2024).
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.backflow import check_backflow, message_passing
from nqs.ansatze.jastrow import once, squared_length
from nqs.ansatze.layers import different_factors, named_activation, zero_dense
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.checks import positive
from nqs.laplacian.pairs import by_one, relative_features
from nqs.laplacian.products import pair_products
from nqs.laplacian.sums import total
from nqs.space.nucleons import Nucleons
from nqs.types import LogPsi


class CorrelatedNucleons(LayerwiseDerivatives, nn.Module):
    """Up to four nucleons with message-passing correlations of space and spin.

    Attributes:
      layers: rounds of messages.
      width: of particle features and messages.
      channels: functions of a pair in J and u.
      ranges: of Gaussians among the features of a pair, fm.
      decay: of psi with the distance of a pair, at first, 1/fm; positive throughout, so
        that psi is bound.
      activation: name of a smooth function of `jax.nn`, or a callable.

    Raises:
      ValueError: unless sizes are positive integers, ranges and decay are positive.
    """

    layers: int = 2
    width: int = 24
    channels: int = 8
    ranges: tuple[float, ...] = (1.0, 1.6, 2.4, 4.0)
    decay: float = 0.25
    activation: str | Callable = "silu"

    def __post_init__(self):
        super().__post_init__()
        check_backflow(self, channels=1)
        positive("decay", self.decay)

    @nn.compact
    def __call__(self, x: Nucleons) -> LogPsi:
        """Log psi of one configuration."""
        r = x.positions
        n = r.shape[0]
        pairs = distance_features(self.ranges)(r)
        h = message_passing(self)(jnp.ones((n, 1), r.dtype), pairs)
        pairs = by_one(pairs)
        hidden = nn.Dense(self.width, param_dtype=r.dtype)(pairs)
        hidden = named_activation(self.activation)(hidden)
        hidden = jnp.concatenate([hidden, pairs], axis=-1)
        factor, mixing = (self._of_pairs(h, hidden) for _ in range(2))
        each = jnp.asarray(once(n), r.dtype)
        logabs = jnp.sum(zero_dense(1, r)(h)) + total(each * (factor + self._tail(r)))
        state, exchanged = spin_isospin_state(x)
        amplitude = state + total(each * mixing * (state - exchanged) / 2)
        return LogPsi(jnp.sign(amplitude), logabs + jnp.log(jnp.abs(amplitude)))

    def _tail(self, r: Array) -> Array:
        """-decay sqrt(1 + r^2) + power log(1 + r^2) (n, n) of all distances r."""
        start = nn.initializers.constant(np.log(self.decay))
        log_decay = self.param("log_decay", start, (), r.dtype)
        power = self.param("power", nn.initializers.zeros, (), r.dtype)
        root, log = jnp.moveaxis(_far(r), -1, 0)
        return power * log - jnp.exp(log_decay) * root

    def _of_pairs(self, h: Array, hidden: Array) -> Array:
        """A symmetric function (n, n) of pairs, initially zero."""
        near = different_factors(self.channels, h)
        return pair_products(near, zero_dense(self.channels, h)(hidden))


def spin_isospin_state(x: Nucleons) -> tuple[Array, Array]:
    """Phi () and P_ij Phi (n, n): signs of permutations of the states, or 0.

    Phi is prod_{i<j} sign(c_j - c_i) with the numbers c = 0 to 3 of the states.
    """
    n, dtype = len(x.spins), x.positions.dtype

    def phi(spins):
        c = 2 * x.isospins + spins
        i, j = np.triu_indices(n, 1)
        return jnp.prod(jnp.sign(c[j] - c[i])).astype(dtype)

    orders = np.tile(np.arange(n), (n, n, 1))
    for i, j in np.ndindex(n, n):
        orders[i, j, [i, j]] = j, i
    return phi(x.spins), jax.vmap(jax.vmap(phi))(jnp.asarray(x.spins)[orders])


@functools.cache
def distance_features(ranges: tuple[float, ...]) -> Callable[[Array], Array]:
    """Bounded features (n, n, m) of the distances of positions (n, 3).

    exp(-r^2 / range^2) and 1 / (1 + r^2 / 4 range^2), so that psi decays far away as
    its tail does.
    """

    def of_pairs(one: Array, other: Array) -> Array:
        square = squared_length(one - other)[..., None]
        near = [jnp.exp(-square / length**2) for length in ranges]
        middle = [1 / (1 + square / (4 * length**2)) for length in ranges]
        return jnp.concatenate([*near, *middle], axis=-1)

    return relative_features(of_pairs)


def _far_of_pairs(one: Array, other: Array) -> Array:
    square = 1 + squared_length(one - other)[..., None]
    return jnp.concatenate([jnp.sqrt(square), jnp.log(square)], axis=-1)


_far = relative_features(_far_of_pairs)

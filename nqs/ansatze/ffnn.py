"""Feed-forward networks for log psi, plain and symmetric under exchange."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nqs.ansatze import layers
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.site_features import site_features
from nqs.types import LogPsi


class FeedForward(LayerwiseDerivatives, nn.Module):
    """log psi(x) = network(x) + log envelope(x), a multilayer perceptron of all of x.

    Positions enter in oscillator lengths, sqrt(omega) x. The levels of a lattice enter
    as spins, or one unit a level where there are more than two, without an envelope.

    Attributes:
      hidden: widths of the hidden layers.
      activation: name of a smooth function of `jax.nn` or `jax.numpy`, or a callable.
      kernel_init: a key of `INITIALIZERS` (Glorot, He, normal ...), or an initializer.
      residual: h + f(h) wherever a layer keeps the width.
      omega: trap frequency of the envelope, one number or one per axis, hartree.
      phase: a second output is the phase of psi, which is then complex.
      levels: q of the sites of a lattice.
      bosons: levels are numbers of bosons, with the units and the first psi of
        `BinaryRBM`.

    Raises:
      ValueError: unless widths are positive integers and names are known.
    """

    hidden: tuple[int, ...] = (32, 32)
    activation: str | Callable = "tanh"
    kernel_init: str | Callable = "glorot_normal"
    residual: bool = False
    omega: float | tuple[float, ...] = 1.0
    phase: bool = False
    levels: int = 2
    bosons: bool = False

    def __post_init__(self):
        super().__post_init__()
        layers.check_network(self)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x, positions (n, d) or levels (s,)."""
        perceptron = layers.network(self, (*self.hidden, 1 + self.phase), True)
        if jnp.issubdtype(x.dtype, jnp.integer):
            features = site_features(x, self.levels, self.bosons)
            log_free = -jnp.sum(features[:, 1]) / 2 if self.bosons else 0.0
            return layers.log_psi(perceptron(features.reshape(-1)), log_free)
        q = layers.oscillator_lengths(x, self.omega)
        outputs = perceptron(q.reshape(-1))
        return layers.log_psi(outputs, layers.Envelope(self.omega)(x))


class DeepSets(LayerwiseDerivatives, nn.Module):
    """log psi(x) = rho(mean_i phi(x_i)) + log envelope(x), symmetric under exchange.

    Any continuous symmetric function has this form. For bosons, or two opposite spins.

    Attributes:
      features: widths of the layers of phi, shared by all particles.
      hidden: widths of the hidden layers of rho.
      activation: this and all others as in `FeedForward`.

    Raises:
      ValueError: unless widths are positive integers and names are known.

    Reference: M. Zaheer et al., Deep sets, NeurIPS 30 (2017).
    """

    features: tuple[int, ...] = (32, 32)
    hidden: tuple[int, ...] = (32,)
    activation: str | Callable = "tanh"
    kernel_init: str | Callable = "glorot_normal"
    residual: bool = False
    omega: float | tuple[float, ...] = 1.0
    phase: bool = False

    def __post_init__(self):
        super().__post_init__()
        layers.check_network(self)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        q = layers.oscillator_lengths(x, self.omega)
        pooled = jnp.mean(layers.network(self, self.features, False)(q), axis=0)
        outputs = layers.network(self, (*self.hidden, 1 + self.phase), True)(pooled)
        return layers.log_psi(outputs, layers.Envelope(self.omega)(x))

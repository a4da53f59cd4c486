"""Feed-forward networks for log psi, plain and symmetric under exchange."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nqs.ansatze.layers import (
    Envelope,
    check_network,
    log_psi,
    network,
    oscillator_lengths,
)
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

    def __post_init__(self):
        super().__post_init__()
        check_network(self)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x, positions (n, d) or levels (s,)."""
        perceptron = network(self, (*self.hidden, 1 + self.phase), True)
        if jnp.issubdtype(x.dtype, jnp.integer):
            outputs = perceptron(site_features(x, self.levels).reshape(-1))
            return log_psi(outputs, jnp.zeros((), outputs.dtype))
        outputs = perceptron(oscillator_lengths(x, self.omega).reshape(-1))
        return log_psi(outputs, Envelope(self.omega)(x))


class DeepSets(LayerwiseDerivatives, nn.Module):
    """log psi(x) = rho(mean_i phi(x_i)) + log envelope(x), symmetric under exchange.

    M. Zaheer et al., Deep sets, NeurIPS 30 (2017): any continuous symmetric function
    has this form. For bosons, or two opposite spins.

    Attributes:
      features: widths of the layers of phi, shared by all particles.
      hidden: widths of the hidden layers of rho.
      activation: as in `FeedForward`.
      kernel_init: as in `FeedForward`.
      residual: as in `FeedForward`.
      omega: as in `FeedForward`.
      phase: as in `FeedForward`.

    Raises:
      ValueError: unless widths are positive integers and names are known.
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
        check_network(self)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        particles = oscillator_lengths(x, self.omega)
        pooled = jnp.mean(network(self, self.features, False)(particles), axis=0)
        outputs = network(self, (*self.hidden, 1 + self.phase), True)(pooled)
        return log_psi(outputs, Envelope(self.omega)(x))

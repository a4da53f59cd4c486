"""Convolutional networks on a torus, invariant under translations."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze import layers
from nqs.ansatze.site_features import site_features
from nqs.space.lattice import Lattice
from nqs.types import LogPsi


class LatticeConv(nn.Module):
    """log psi(x) = sum over sites of the last of several circular convolutions.

    Attributes:
      lattice: periodic.
      features: channels of each layer.
      kernel: sites along each axis that enter a convolution.
      activation: as in `FeedForward`.
      kernel_init: as in `FeedForward`.
      levels: q of each site.
      phase: a second output is the phase of psi, which is then complex.

    Raises:
      ValueError: for a lattice with open ends, or a number out of range.
    """

    lattice: Lattice
    features: tuple[int, ...] = (8, 8)
    kernel: int = 3
    activation: str | Callable = "gelu"
    kernel_init: str | Callable = "lecun_normal"
    levels: int = 2
    phase: bool = False

    def __post_init__(self):
        super().__post_init__()
        layers.check_network(self)
        if not getattr(self.lattice, "periodic", False):
            raise ValueError(f"lattice must be a periodic Lattice, got {self.lattice}")
        layers.check_integers(self, kernel=2, levels=2)

    def invariances(self) -> np.ndarray:
        """All translations."""
        return self.lattice.translations

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of levels x (s,)."""
        activation = layers.named_activation(self.activation)
        extent = self.lattice.extent
        h = site_features(x, self.levels).reshape(*extent, -1)
        for layer, width in enumerate((*self.features, 1 + self.phase)):
            h = h if layer == 0 else activation(h)
            h = nn.Conv(
                width,
                (self.kernel,) * len(extent),
                padding="CIRCULAR",
                kernel_init=layers.named_initializer(self.kernel_init),
                param_dtype=h.dtype,
            )(h)
        return layers.log_psi(jnp.sum(h.reshape(self.lattice.n, -1), axis=0))

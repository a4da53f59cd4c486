"""The oscillator envelope that keeps a network's wave function normalizable."""

import flax.linen as nn
import jax.numpy as jnp
from jax import Array


class Envelope(nn.Module):
    """log exp(-alpha sum_i sum_a omega_a x_ia^2 / 2), with alpha > 0 learned.

    Attributes:
      omega: trap frequency, one number or one per axis, hartree; alpha starts at 1,
        the oscillator's own width.
    """

    omega: float | tuple[float, ...] = 1.0

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Log envelope () at x (n, d)."""
        log_alpha = self.param("log_alpha", nn.initializers.zeros, (), x.dtype)
        omega = jnp.asarray(self.omega, x.dtype)
        squares = jnp.sum(x * x, axis=0)  # (d,)
        return -jnp.exp(log_alpha) * jnp.sum(omega * squares) / 2

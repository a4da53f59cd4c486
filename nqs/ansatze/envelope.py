"""The oscillator envelope that keeps a network's wave function normalizable."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
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
        q = oscillator_lengths(x, self.omega)
        return -jnp.exp(log_alpha) * jnp.sum(q * q) / 2


def oscillator_lengths(x: Array, omega: float | tuple[float, ...]) -> Array:
    """Positions (n, d) in units of each axis's oscillator length, 1/sqrt(omega_a).

    Raises:
      ValueError: if omega is not positive, or neither one number nor one per axis.
    """
    d = x.shape[-1]
    if np.shape(omega) not in ((), (d,)) or not np.all(np.asarray(omega) > 0):
        raise ValueError(
            f"omega must be one positive number or d={d} of them, got {omega!r}"
        )
    omegas = jnp.asarray(np.broadcast_to(omega, (1, d)), x.dtype)
    return jnp.sqrt(omegas) * x

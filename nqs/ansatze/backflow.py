"""Message-passing backflow: particles that tell each other where to be.

h_i <- h_i + f(W h_i + V sum_j f(W_i h_i + W_j h_j + W_e e_ij) / n)

carries what particle i knows of all others; e_ij are features of the pair. From the
last h_i come a backflow displacement, factors of the orbitals and a Jastrow term, all
of which start at zero, so that the first wave function is the Slater determinant. G.
Pescia et al., Phys. Rev. B 110, 035108 (2024); D. Luo and B. K. Clark, Phys. Rev. Lett.
122, 226401 (2019).
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.ffnn import named_activation
from nqs.ansatze.jastrow import squared_length
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.slater import hermite_orbitals, lowest_orbitals
from nqs.types import LogPsi


class MessagePassing(nn.Module):
    """Particle features that have heard of all other particles.

    Attributes:
      layers: rounds of messages.
      width: of particle features and messages.
      activation: name of a smooth function of `jax.nn`, or a callable.
    """

    layers: int = 2
    width: int = 32
    activation: str | Callable = "silu"

    @nn.compact
    def __call__(self, particles: Array, pairs: Array) -> Array:
        """Features (n, width) from those of particles (n, k) and of pairs (n, n, m).

        W_i, W_j and W_e act apart, which costs n rather than n^2 products for the first
        two, and equals one matrix on the concatenated features.
        """
        dtype = particles.dtype
        f = named_activation(self.activation)

        def dense(bias: bool = False) -> nn.Dense:
            return nn.Dense(self.width, use_bias=bias, param_dtype=dtype)

        h = dense()(particles)
        for _ in range(self.layers):
            heard = dense(bias=True)(h), dense()(h), dense()(pairs)
            gathered = message_sum(self.activation)(*heard)
            h = h + f(dense(bias=True)(h) + dense()(gathered))
        return h


@functools.cache
def message_sum(activation: str | Callable) -> Callable:
    """The function that sums messages, 1/n sum_{j != i} f(a_i + b_j + c_ij).

    It takes a, b (n, w) and c (n, n, w) to (n, w), and carries its name into the
    program, where `hamiltonians.kinetic` knows how to differentiate `message_sum_silu`
    twice without a Jacobian of every pair.
    """
    f = named_activation(activation)

    def sum_of_messages(a: Array, b: Array, c: Array) -> Array:
        n = a.shape[0]
        others = jnp.asarray((1 - np.eye(n)) / n, a.dtype)[:, :, None]
        messages = f(a[:, None, :] + b[None, :, :] + c)
        return jnp.sum(others * messages, axis=1)

    if isinstance(activation, str):
        sum_of_messages.__name__ = f"message_sum_{activation}"
    return jax.jit(sum_of_messages)  # for its name alone


class Backflow(LayerwiseDerivatives, nn.Module):
    """Slater determinants of oscillator orbitals at backflow coordinates.

    psi = exp(sum_i J(h_i)) sum_k prod_spin det[(1 + F_k(h_i)) phi(x_i + D(h_i))], with
    h from `MessagePassing`. Its features are smooth where particles meet, so that a
    cusp comes from a Jastrow factor alone. Bosons have the envelope of the oscillator
    in place of the determinants.

    Attributes:
      n_up: the first n_up particles have spin up, the others down; None for bosons.
      omega: trap frequency, one number or one per axis, hartree.
      layers: rounds of messages.
      width: of particle features and messages.
      determinants: terms of the sum over k.
      activation: name of a smooth function of `jax.nn`, or a callable.
    """

    n_up: int | None = None
    omega: float | tuple[float, ...] = 1.0
    layers: int = 2
    width: int = 32
    determinants: int = 1
    activation: str | Callable = "silu"

    def __post_init__(self):
        super().__post_init__()
        for field in ("layers", "width", "determinants"):
            value = getattr(self, field)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{field} must be a positive integer, got {value!r}")
        named_activation(self.activation)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        n, d = x.shape
        omegas = np.broadcast_to(np.asarray(self.omega, float), (d,))
        roots = jnp.asarray(np.sqrt(omegas), x.dtype)[None, :]
        h = MessagePassing(self.layers, self.width, self.activation)(
            *features(roots * x, self.n_up)
        )

        def from_zero(k: int, bias: bool = False) -> nn.Dense:
            return nn.Dense(
                k, use_bias=bias, kernel_init=nn.initializers.zeros, param_dtype=x.dtype
            )

        log_alpha = self.param("log_alpha", nn.initializers.zeros, (), x.dtype)
        q = jnp.exp(log_alpha / 2) * (roots * x + from_zero(d)(h))
        logabs = jnp.sum(from_zero(1)(h)) - jnp.sum(q * q) / 2
        if self.n_up is None:
            return LogPsi(jnp.ones_like(logabs), logabs)
        n_orbitals = max(self.n_up, n - self.n_up)
        factors = from_zero(self.determinants * n_orbitals, bias=True)(h)
        factors = 1 + factors.reshape(n, self.determinants, n_orbitals)
        return log_determinants(q, factors, self.n_up, omegas, logabs)


def features(q: Array, n_up: int | None) -> tuple[Array, Array]:
    """Smooth features of particles (n, d + 1) and pairs (n, n, d + 2).

    Displacements in oscillator lengths, the distance sqrt(1 + r^2) - 1, which is smooth
    at r = 0, and the product of the spins.
    """
    n = q.shape[0]
    spins = np.ones(n) if n_up is None else np.where(np.arange(n) < n_up, 1.0, -1.0)
    product = jnp.asarray(np.outer(spins, spins), q.dtype)[:, :, None]
    difference = q[:, None, :] - q[None, :, :]

    def smooth_length(v):
        return jnp.sqrt(1 + squared_length(v)[..., None]) - 1

    particles = jnp.concatenate([q, smooth_length(q)], axis=-1)
    pairs = jnp.concatenate([difference, smooth_length(difference), product], axis=-1)
    return particles, pairs


def log_determinants(
    q: Array, factors: Array, n_up: int, omegas: np.ndarray, logabs: Array
) -> LogPsi:
    """Log of exp(logabs) sum_k det_up,k det_down,k of orbitals at q (n, d).

    Args:
      q: backflow coordinates in oscillator lengths.
      factors: (n, k, orbitals) of each orbital in each determinant.
      n_up: the first n_up particles have spin up.
      omegas: (d,) frequencies, which order the orbitals.
      logabs: () what is common to all determinants.
    """
    n, n_determinants, _ = factors.shape
    signs, logs = jnp.ones(n_determinants, q.dtype), jnp.zeros(n_determinants, q.dtype)
    for spin in (slice(0, n_up), slice(n_up, n)):
        m = q[spin].shape[0]
        if m:
            orbitals = hermite_orbitals(q[spin], lowest_orbitals(m, omegas))  # (m, m)
            weighted = jnp.swapaxes(factors[spin, :, :m], 0, 1) * orbitals[None]
            sign, log = jnp.linalg.slogdet(weighted)
            signs, logs = signs * sign, logs + log
    if n_determinants == 1:
        return LogPsi(signs[0], logabs + logs[0])
    largest = jax.lax.stop_gradient(jnp.max(logs))
    total = jnp.sum(signs * jnp.exp(logs - largest))
    return LogPsi(jnp.sign(total), logabs + largest + jnp.log(jnp.abs(total)))

"""Slater determinants of oscillator orbitals, bare and with a Jastrow factor."""

import math
from collections.abc import Callable
from functools import partial, reduce

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.jastrow import PadeJastrow, Product
from nqs.ansatze.layers import log_sum, oscillator_lengths
from nqs.checks import positives
from nqs.space.oscillator import oscillator_levels
from nqs.space.spins import Spins, check_spins
from nqs.types import LogPsi


class Slater(nn.Module):
    """det[phi_k(x_i), i up] det[phi_k(x_i), i down] of oscillator orbitals.

    phi_k(x) = prod_a h_{k_a}(sqrt(alpha omega_a) x_a) exp(-alpha omega_a x_a^2 / 2),
    orthonormal Hermite functions filled in the order of their energy sum_a k_a omega_a.
    alpha > 0 is learned and starts at 1, where psi is the non-interacting ground state.

    Attributes:
      spins: of the particles.
      omega: trap frequency, one number or one per axis, hartree.
    """

    spins: Spins
    omega: float | tuple[float, ...] = 1.0

    def __post_init__(self):
        super().__post_init__()
        positives("omega", self.omega)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        log_alpha = self.param("log_alpha", nn.initializers.zeros, (), x.dtype)
        q = jnp.exp(log_alpha / 2) * oscillator_lengths(x, self.omega)
        omegas = np.broadcast_to(np.asarray(self.omega, float), x.shape[-1:])
        orbitals = partial(oscillator_orbitals, omegas=omegas)
        return log_determinants(orbitals, q, self.spins, -jnp.sum(q * q) / 2)


def SlaterJastrow(  # noqa: N802 - reads as the ansatz that it is
    spins: Spins,
    omega: float | tuple[float, ...] = 1.0,
    strength: float = 1.0,
    beta: float = 1.0,
) -> Product:
    """The product of `Slater` and `PadeJastrow`; beta = sqrt(omega) suits a trap."""
    return Product((Slater(spins, omega), PadeJastrow(spins, strength, beta)))


def log_determinants(
    orbitals: Callable[[Array, Array | None], Array],
    q: Array,
    spins: Spins,
    logabs: Array,
    factors: Array | None = None,
) -> LogPsi:
    """Log of exp(logabs) sum_k det_up,k det_down,k of orbitals at q (n, d).

    Args:
      orbitals: function of positions (m, d) of one spin and factors (k, m, m) or None
        to matrices (k, m, m) or (1, m, m), rows are particles.
      q: positions, or backflow coordinates.
      spins: of the particles.
      logabs: () common to all determinants.
      factors: (n, k, orbitals) of each determinant; None for one without factors.

    Raises:
      ValueError: unless the spins add up to n.
    """
    check_spins(spins, q.shape[0])
    signs, logs = jnp.ones(1, q.dtype), jnp.zeros(1, q.dtype)
    for spin in (slice(0, spins.up), slice(spins.up, spins.n)):
        m = len(q[spin])
        if m == 0:
            continue
        own = None if factors is None else jnp.swapaxes(factors[spin, :, :m], 0, 1)
        sign, log = jnp.linalg.slogdet(orbitals(q[spin], own))
        signs, logs = signs * sign, logs + log
    if factors is None or factors.shape[1] == 1:
        return LogPsi(signs[0], logabs + logs[0])
    total = log_sum(signs, logs)
    return LogPsi(total.sign, logabs + total.logabs)


def oscillator_orbitals(q: Array, factors: Array | None, omegas: np.ndarray) -> Array:
    """The m lowest oscillator orbitals (k, m, m) at m scaled positions q (m, d)."""
    levels = np.asarray(oscillator_levels(q.shape[0], omegas.tolist()))
    orbitals = hermite_orbitals(q, levels)[None]
    return orbitals if factors is None else factors * orbitals


def hermite_orbitals(q: Array, levels: np.ndarray) -> Array:
    """Orthonormal Hermite polynomials (n, k) of scaled positions q (n, d).

    h_{m+1}(q) = sqrt(2/(m+1)) q h_m(q) - sqrt(m/(m+1)) h_{m-1}(q), without Gaussian.
    """
    polynomials = [jnp.ones_like(q)]
    for m in range(levels.max()):
        new = math.sqrt(2 / (m + 1)) * q * polynomials[m]
        if m:
            new = new - math.sqrt(m / (m + 1)) * polynomials[m - 1]
        polynomials.append(new)
    table = jnp.stack(polynomials)  # (m, n, d)
    axes = (table[levels[:, a], :, a] for a in range(levels.shape[1]))  # (k, n) each
    return reduce(jnp.multiply, axes).T

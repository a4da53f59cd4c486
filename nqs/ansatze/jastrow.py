"""Jastrow factors: what an interaction does to psi where two particles meet."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.box import Box, Waves
from nqs.types import LogPsi


class PadeJastrow(nn.Module):
    """exp(sum_{i<j} a r_ij / (1 + beta r_ij)) with the exact Coulomb cusp a.

    For a repulsion c/r in d dimensions the local energy stays finite at r = 0 if
    a = c/(d - 1) for pairs that may meet (opposite spins, bosons) and a = c/(d + 1) for
    equal spins, whose determinant vanishes there. T. Kato, Commun. Pure Appl. Math. 10,
    151 (1957); R. T. Pack and W. Byers Brown, J. Chem. Phys. 45, 556 (1966).

    Attributes:
      n_up: the first n_up particles have spin up, the others down; None for bosons.
      strength: c, hartree bohr.
      beta: initial beta of both kinds of pairs, 1/bohr; positive throughout.
      box: where r is the smooth periodic distance of a cell; None for open space.

    Raises:
      ValueError: if beta is not positive, or in one dimension.
    """

    n_up: int | None = None
    strength: float = 1.0
    beta: float = 1.0
    box: Box | None = None

    def __post_init__(self):
        super().__post_init__()
        if not 0 < self.beta < float("inf"):
            raise ValueError(f"beta must be positive, got {self.beta!r}")

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log of the factor at x (n, d), d > 1."""
        n, d = x.shape
        if d == 1:
            raise ValueError("the Coulomb cusp diverges in one dimension")
        same, r = equal_spins(n, self.n_up), pair_distances(x, self.box)
        total = jnp.zeros((), x.dtype)
        for name, pairs, cusp in (
            ("same", same, self.strength / (d + 1)),
            ("opposite", ~same, self.strength / (d - 1)),
        ):
            if pairs.any():
                log_beta = nn.initializers.constant(np.log(self.beta))
                beta = jnp.exp(self.param(f"log_beta_{name}", log_beta, (), x.dtype))
                r_pairs = r[np.flatnonzero(pairs)]
                total += jnp.full_like(r_pairs, cusp) @ (r_pairs / (1 + beta * r_pairs))
        return LogPsi(jnp.ones_like(total), total)


class PowerJastrow(nn.Module):
    """prod_{i<j} |x_i - x_j|^exponent, what a repulsion lam(lam-1)/r^2 asks for.

    With exponent = lam the inverse-square repulsion in one dimension is cancelled
    where two particles meet. F. Calogero, J. Math. Phys. 12, 419 (1971).

    Attributes:
      exponent: lam.
      n_up: None for bosons; else equal spins get exponent - 1, since their determinant
        brings one power of its own.
    """

    exponent: float
    n_up: int | None = None

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log of the factor at x (n, d)."""
        powers = self.exponent - equal_spins(x.shape[0], self.n_up).astype(float)
        total = jnp.sum(jnp.asarray(powers, x.dtype) * jnp.log(pair_distances(x)))
        return LogPsi(jnp.ones_like(total), total)


class GaussianJastrow(nn.Module):
    """exp(-c sum_{i<j} r_ij^2 / 2), c learned from zero: no cusp, for smooth forces.

    Times an oscillator envelope it is the exact ground state of harmonic pairs.
    """

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log of the factor at x (n, d)."""
        c = self.param("c", nn.initializers.zeros, (), x.dtype)
        total = -c * jnp.sum(pair_distances(x) ** 2) / 2
        return LogPsi(jnp.ones_like(total), total)


class Product(LayerwiseDerivatives, nn.Module):
    """The product of several wave functions, a network and a Jastrow factor say.

    Attributes:
      factors: ansätze; psi is the product of theirs.
    """

    factors: tuple[nn.Module, ...]

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        first, *others = (factor(x) for factor in self.factors)
        sign, logabs = first
        for other in others:
            sign, logabs = sign * other.sign, logabs + other.logabs
        return LogPsi(sign, logabs)


def pair_distances(x: Array, box: Box | None = None) -> Array:
    """Distances (n (n-1) / 2,) of the pairs i < j of x (n, d), periodic in a box."""
    i, j = np.triu_indices(x.shape[0], 1)  # NumPy: folx needs static indices
    if box is not None:
        waves = box.waves(x)
        one, other = (Waves(*(v[index] for v in waves)) for index in (i, j))
        return jnp.sqrt(box.squared_distance(one.minus(other)))
    difference = x[i] - x[j]
    return jnp.sqrt(squared_length(difference))


def squared_length(v: Array) -> Array:
    """The square (...) of the length of v (..., d).

    Added up one axis at a time: the rule of folx for a sum of sparse arrays compiles
    for more than a second whenever it meets a new shape.
    """
    return sum((v[..., k] * v[..., k] for k in range(1, v.shape[-1])), v[..., 0] ** 2)


def equal_spins(n: int, n_up: int | None) -> np.ndarray:
    """Which pairs i < j of n particles have equal spin; none of them for bosons."""
    if n_up is None:
        return np.zeros(n * (n - 1) // 2, bool)
    i, j = np.triu_indices(n, 1)
    return (i < n_up) == (j < n_up)

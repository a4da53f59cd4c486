"""Jastrow factors: the behavior of psi where two particles meet."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.checks import check_ansatz, finite, positive
from nqs.laplacian.pairs import relative_features
from nqs.laplacian.sums import total
from nqs.laplacian.waves import pair_waves, squared_distance, waves
from nqs.space.box import Box
from nqs.space.spins import Spins, check_spins
from nqs.types import LogPsi


class PadeJastrow(nn.Module):
    """exp(sum_{i<j} a r_ij / (1 + beta r_ij)) with the exact Coulomb cusp a.

    For a repulsion c/r in d dimensions the local energy stays finite at r = 0 if
    a = c/(d - 1) for pairs that may meet (opposite spins, bosons) and a = c/(d + 1) for
    equal spins, whose determinant vanishes there. T. Kato, Commun. Pure Appl. Math. 10,
    151 (1957); R. T. Pack and W. Byers Brown, J. Chem. Phys. 45, 556 (1966).

    Attributes:
      spins: of the particles; None for bosons.
      strength: c, hartree bohr.
      beta: initial beta of both kinds of pairs, 1/bohr; positive throughout.
      box: where r is the smooth periodic distance of a cell; None for open space.

    Raises:
      ValueError: if beta is not positive, or in one dimension.
    """

    spins: Spins | None = None
    strength: float = 1.0
    beta: float = 1.0
    box: Box | None = None

    def __post_init__(self):
        super().__post_init__()
        positive("beta", self.beta)
        finite("strength", self.strength)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log of the factor at x (n, d), d > 1."""
        n, d = x.shape
        if d == 1:
            raise ValueError("d must be 2 or 3 for a Coulomb cusp, got d=1")
        same, beta = equal_spins(n, self.spins), jnp.zeros((n, n), x.dtype)
        cusp = np.where(same, self.strength / (d + 1), self.strength / (d - 1))
        opposite, start = ~same & ~np.eye(n, dtype=bool), np.log(self.beta)
        for name, pairs in {"same": same, "opposite": opposite}.items():
            if pairs.any():
                log_beta = nn.initializers.constant(start)
                log_beta = self.param(f"log_beta_{name}", log_beta, (), x.dtype)
                beta += jnp.exp(log_beta) * jnp.asarray(pairs, x.dtype)
        r = pair_distances(x, self.box)
        logabs = total(jnp.asarray(once(n) * cusp, x.dtype) * (r / (1 + beta * r)))
        return LogPsi(jnp.ones_like(logabs), logabs)


class PowerJastrow(nn.Module):
    """prod_{i<j} |x_i - x_j|^exponent, for a repulsion lam(lam-1)/r^2.

    It cancels the repulsion in one dimension where two particles meet. F. Calogero, J.
    Math. Phys. 12, 419 (1971).

    Attributes:
      exponent: lam.
      spins: None for bosons; else equal spins get exponent - 1, because their
        determinant contributes one power.
    """

    exponent: float
    spins: Spins | None = None

    def __post_init__(self):
        super().__post_init__()
        finite("exponent", self.exponent)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log of the factor at x (n, d)."""
        n = x.shape[0]
        powers = once(n) * (self.exponent - equal_spins(n, self.spins))
        logabs = total(jnp.asarray(powers, x.dtype) * jnp.log(pair_distances(x)))
        return LogPsi(jnp.ones_like(logabs), logabs)


class GaussianJastrow(nn.Module):
    """exp(-c sum_{i<j} r_ij^2 / 2), c initially zero; exact for harmonic pairs."""

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log of the factor at x (n, d)."""
        c = self.param("c", nn.initializers.zeros, (), x.dtype)
        pairs = jnp.asarray(once(x.shape[0]), x.dtype)
        logabs = -c * total(pairs * pair_distances(x) ** 2) / 2
        return LogPsi(jnp.ones_like(logabs), logabs)


class Product(LayerwiseDerivatives, nn.Module):
    """The product of several wave functions, such as a network and a Jastrow factor.

    Attributes:
      factors: ansätze, such as Flax modules and a `nqs.Function`.

    Raises:
      ValueError: for a factor without `init` and `apply`.
    """

    factors: tuple[Any, ...]

    def __post_init__(self):
        super().__post_init__()
        for factor in self.factors:
            check_ansatz(factor)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        values = [self._value(k, x) for k in range(len(self.factors))]
        sign, logabs = values[0]
        for other in values[1:]:
            sign, logabs = sign * other.sign, logabs + other.logabs
        return LogPsi(sign, logabs)

    def _value(self, k: int, x: Array) -> LogPsi:
        """Log psi of factor k, with its parameters among those of the product."""
        factor = self.factors[k]
        if isinstance(factor, nn.Module):
            return factor(x)
        return factor.apply(self.param(f"factors_{k}", factor.init, x), x)


def pair_distances(x: Array, box: Box | None = None) -> Array:
    """Distances (n, n) at positions x (n, d), periodic in a box; 1 if i = j."""
    v = x if box is None else joined_waves(box, x)
    return _distances(x.shape[0], box)(v)[..., 0]


def joined_waves(box: Box, x: Array) -> Array:
    """Sin and cos (n, 2 d) of half the phases of x (n, d), as `pair_waves` takes."""
    return jnp.concatenate(waves(box, x), axis=-1)


@functools.cache
def _distances(n: int, box: Box | None) -> Callable[[Array], Array]:
    def of_pairs(one: Array, other: Array) -> Array:
        if box is None:
            square = squared_length(one - other)
        else:
            square = squared_distance(box, pair_waves(one, other))
        # The root of zero has no derivative.
        return jnp.sqrt(square + jnp.eye(n, dtype=one.dtype))[..., None]

    return relative_features(of_pairs)


def once(n: int) -> np.ndarray:
    """Weights (n, n) that count every pair of n particles once, in two halves."""
    return (1 - np.eye(n)) / 2


def squared_length(v: Array) -> Array:
    """The square (...) of v (..., d), because folx compiles `jnp.sum` slowly."""
    return sum((v[..., k] * v[..., k] for k in range(1, v.shape[-1])), v[..., 0] ** 2)


def equal_spins(n: int, spins: Spins | None) -> np.ndarray:
    """Whether two particles have equal spin (n, n); False for bosons and i with i."""
    if spins is None:
        return np.zeros((n, n), bool)
    check_spins(spins, n)
    return spins.equal & ~np.eye(n, dtype=bool)

"""Pair potentials: the energy V(r) of two particles a distance r apart.

A pair potential is any function from distances of any shape, bohr, to energies of the
same shape, hartree. `degree` is k where V(s r) = s^k V(r), for the virial theorem. The
potentials here raise a ValueError for a parameter that is not finite.
"""

import dataclasses
import math

import jax.numpy as jnp
from jax import Array

from nqs.checks import finite, positive, require


@dataclasses.dataclass(frozen=True)
class Coulomb:
    """V(r) = strength / r.

    Attributes:
      strength: hartree bohr; 1 between electrons, negative for attraction.
    """

    strength: float = 1.0

    degree = -1

    def __post_init__(self):
        require(self, finite, "strength")

    def __call__(self, r: Array) -> Array:
        """Energies (...) at distances r (...)."""
        return self.strength / r


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """V(r) = strength / (sqrt(2 pi) width) exp(-r^2 / (2 width^2)).

    Its integral over a line is `strength`, so that in one dimension it becomes the
    contact interaction strength * delta(x) as the width goes to zero.

    Attributes:
      strength: hartree bohr; negative for attraction.
      width: standard deviation, bohr, positive.

    Reference: J. W. T. Keeble et al., arXiv:2304.04725, their V_0 and sigma_0.
    """

    strength: float
    width: float

    def __post_init__(self):
        require(self, finite, "strength")
        require(self, positive, "width")

    def __call__(self, r: Array) -> Array:
        """Energies (...) at distances r (...)."""
        height = self.strength / (math.sqrt(2 * math.pi) * self.width)
        return height * jnp.exp(-((r / self.width) ** 2) / 2)


@dataclasses.dataclass(frozen=True)
class InverseSquare:
    """V(r) = lam (lam - 1) / r^2 on a line, the model of Calogero.

    psi ~ r^lam where two particles meet, for any statistics.

    Attributes:
      exponent: lam, at least 1. Below 1 the potential attracts and bosons collapse; at
        1 it vanishes.

    Reference: F. Calogero, J. Math. Phys. 12, 419 (1971).
    """

    exponent: float

    degree = -2

    def __post_init__(self):
        require(self, finite, "exponent")
        if self.exponent < 1:
            raise ValueError(
                "exponent must be at least 1, where psi ~ r^exponent is the ground "
                f"state, got {self.exponent!r}"
            )

    def __call__(self, r: Array) -> Array:
        """Energies (...) at distances r (...)."""
        return self.exponent * (self.exponent - 1) / r**2


@dataclasses.dataclass(frozen=True)
class HarmonicPairs:
    """V(r) = kappa r^2 / 2, springs between all pairs: exactly solvable for any n.

    Attributes:
      kappa: spring constant, hartree / bohr^2; n particles in a trap omega are bound
        while omega^2 + n kappa > 0.

    Reference: N. F. Johnson and M. C. Payne, Phys. Rev. Lett. 67, 1157 (1991).
    """

    kappa: float

    degree = 2

    def __post_init__(self):
        require(self, finite, "kappa")

    def __call__(self, r: Array) -> Array:
        """Energies (...) at distances r (...)."""
        return self.kappa * r**2 / 2

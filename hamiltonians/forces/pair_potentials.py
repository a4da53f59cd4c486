"""Pair potentials: the energy V(r) of two particles a distance r apart.

Each is called with distances of any shape, in bohr, and gives energies of that shape,
in hartree. A pair potential of one's own is any function that does the same. `degree`
is k where V(s r) = s^k V(r), for the virial theorem.
"""

import dataclasses
import math
import numbers

import jax.numpy as jnp
from jax import Array


def _require_finite(name: str, value: float) -> None:
    if not (isinstance(value, numbers.Real) and math.isfinite(value)):
        raise ValueError(f"{name} must be a finite number, got {value!r}")


@dataclasses.dataclass(frozen=True)
class Coulomb:
    """V(r) = strength / r, between equal charges; attraction if negative.

    Attributes:
      strength: in hartree bohr; 1 between electrons in atomic units.

    Raises:
      ValueError: if strength is not finite.
    """

    strength: float = 1.0

    degree = -1

    def __post_init__(self):
        _require_finite("strength", self.strength)

    def __call__(self, r: Array) -> Array:
        """Energies in hartree of pairs at distances r in bohr, of the same shape."""
        return self.strength / r


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """V(r) = strength / (sqrt(2 pi) width) exp(-r^2 / (2 width^2)).

    Its integral over a line is `strength`, so that in one dimension it becomes the
    contact interaction strength * delta(x) as the width goes to zero.

    Attributes:
      strength: in hartree bohr; negative attracts.
      width: standard deviation, bohr.

    Raises:
      ValueError: if strength is not finite, or width not finite and positive.

    Reference: J. W. T. Keeble et al., arXiv:2304.04725, their V_0 and sigma_0.
    """

    strength: float
    width: float

    def __post_init__(self):
        _require_finite("strength", self.strength)
        _require_finite("width", self.width)
        if self.width <= 0:
            raise ValueError(f"width must be positive, got {self.width!r}")

    def __call__(self, r: Array) -> Array:
        """Energies in hartree of pairs at distances r in bohr, of the same shape."""
        height = self.strength / (math.sqrt(2 * math.pi) * self.width)
        return height * jnp.exp(-((r / self.width) ** 2) / 2)


@dataclasses.dataclass(frozen=True)
class InverseSquare:
    """V(r) = lam (lam - 1) / r^2 on a line, the model of Calogero.

    Two particles that meet feel psi ~ r^lam, whatever their statistics.

    Attributes:
      exponent: lam, at least 1. Below 1 the potential attracts, and bosons fall into
        it; at 1 it vanishes.

    Raises:
      ValueError: if the exponent is not finite or below 1.

    Reference: F. Calogero, J. Math. Phys. 12, 419 (1971).
    """

    exponent: float

    degree = -2

    def __post_init__(self):
        _require_finite("exponent", self.exponent)
        if self.exponent < 1:
            raise ValueError(
                "exponent must be at least 1, because psi ~ r^exponent is the ground "
                f"state only there, got {self.exponent!r}"
            )

    def __call__(self, r: Array) -> Array:
        """Energies in hartree of pairs at distances r in bohr, of the same shape."""
        return self.exponent * (self.exponent - 1) / r**2


@dataclasses.dataclass(frozen=True)
class HarmonicPairs:
    """V(r) = kappa r^2 / 2, springs between all pairs: exactly solvable for any n.

    Attributes:
      kappa: spring constant, hartree / bohr^2. A negative one repels; n particles in a
        trap omega stay together while omega^2 + n kappa > 0.

    Raises:
      ValueError: if kappa is not finite.

    Reference: N. F. Johnson and M. C. Payne, Phys. Rev. Lett. 67, 1157 (1991).
    """

    kappa: float

    degree = 2

    def __post_init__(self):
        _require_finite("kappa", self.kappa)

    def __call__(self, r: Array) -> Array:
        """Energies in hartree of pairs at distances r in bohr, of the same shape."""
        return self.kappa * r**2 / 2

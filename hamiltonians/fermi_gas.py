"""The unitary Fermi gas: opposite spins with an infinite scattering length.

    H = -1/2 sum_i nabla_i^2 - sum_{i up, j down} 2 mu^2 / cosh^2(mu r_ij)

in a periodic cube, hbar = mass = 1, lengths in 1/k_F with k_F^3 = 3 pi^2 n / L^3. The
modified Poeschl-Teller potential has the solution tanh(mu r) / r at zero energy, hence
an infinite scattering length, and the effective range r_e = 2 / mu. J. Carlson et al.,
Phys. Rev. Lett. 91, 050401 (2003); S. Gandolfi, K. E. Schmidt and J. Carlson, Phys.
Rev. A 83, 041601 (2011), arXiv:1012.4417.

Energies are in units of E_FG = n (3/5) k_F^2 / 2, that of a free gas without a box and
with as many spins up as down, whatever n_up is.
"""

import dataclasses
import functools
import itertools
import math
import numbers
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.references import two_in_a_cube
from nqs.checks import simplify
from nqs.laplacian.kinetic import kinetic_energy
from nqs.ratios.exchange import opposite_pairs
from nqs.space.box import Box, spread_out
from nqs.types import Ansatz, Hamiltonian, Params, Reference

# 1 / cosh^2 beyond this argument counts as zero, 1e-8.
NEGLIGIBLE = 9.9

# Two particles at short range, by k_F r_e: energy in E_FG, from more plane waves than a
# run can wait for.
TWO = {0.4: -0.43902639}

# Energy over that of free particles in the same cube, zero range: value, error, source.
PUBLISHED = {
    4: (0.211, 0.002, "lattice, zero range, arXiv:1104.2102"),
    14: (0.407, 0.002, "fixed-node DMC, zero range, arXiv:1105.1748"),
    38: (0.409, 0.003, "fixed-node DMC, zero range, arXiv:1105.1748"),
    66: (0.398, 0.003, "fixed-node DMC, zero range, arXiv:1105.1748"),
}


@dataclasses.dataclass(frozen=True)
class PoeschlTeller:
    """-2 mu^2 / cosh^2(mu r), summed over all images in a cube.

    Attributes:
      mu: inverse range, two over the effective range.
      length: edge of the cube.
    """

    mu: float
    length: float

    def __call__(self, difference: Array) -> Array:
        """Values (...) at differences (..., 3)."""
        n = math.ceil(NEGLIGIBLE / (self.mu * self.length) - 0.5)
        nearest = difference - self.length * jnp.round(difference / self.length)
        shifts = list(itertools.product(range(-n, n + 1), repeat=3))
        shifts = self.length * jnp.asarray(shifts, difference.dtype)
        shifts = shifts.reshape(*(1,) * (difference.ndim - 1), -1, 3)
        r = jnp.linalg.norm(nearest[..., None, :] + shifts, axis=-1)
        return -2 * self.mu**2 * jnp.sum(1 / jnp.cosh(self.mu * r) ** 2, axis=-1)

    def transform(self, k: np.ndarray) -> np.ndarray:
        """The integral of exp(-i k . r) times it over the cube, for k (..., 3).

        -(2 pi^3 / mu) (y coth y - 1) / (y sinh y) with y = pi |k| / 2 mu, from the
        integral of cos(k r) / cosh^2(mu r) over a line.
        """
        y = math.pi * np.linalg.norm(k, axis=-1) / (2 * self.mu)
        large = np.maximum(y, 0.01)
        ratio = (large / np.tanh(large) - 1) / (large * np.sinh(large))
        ratio = np.where(y < 0.01, 1 / 3 - 7 * y**2 / 90, ratio)
        return -2 * math.pi**3 / self.mu * ratio


@dataclasses.dataclass(frozen=True)
class FermiGas(Hamiltonian):
    """Fermions of two spins at unitarity.

    Attributes:
      n_up: fermions with spin up, the first of the n.
      n_down: fermions with spin down.
      kf_re: effective range of the attraction, in 1/k_F.

    Raises:
      ValueError: if a field is out of range.
    """

    n_up: int
    n_down: int
    kf_re: float = 0.4

    energy_unit = "E_FG"
    length_unit = "1/k_F"

    def __post_init__(self):
        simplify(self, "n_up", "n_down", "kf_re")
        for name, value in (("n_up", self.n_up), ("n_down", self.n_down)):
            if not (isinstance(value, numbers.Integral) and value >= 0):
                raise ValueError(
                    f"{name} must be a number of fermions >= 0, got {value!r}"
                )
        if self.n < 1:
            raise ValueError("n_up + n_down must be at least one fermion, got 0")
        real = isinstance(self.kf_re, numbers.Real)
        if not (real and 0 < self.kf_re <= self.length_scale / 2):
            raise ValueError(
                "kf_re must be positive and at most half an edge of the cube, "
                f"{self.length_scale / 2:.3g}, got {self.kf_re!r}"
            )

    @property
    def n(self) -> int:
        """Fermions."""
        return self.n_up + self.n_down

    @property
    def length_scale(self) -> float:
        """Edge of the cube, 1/k_F."""
        return (3 * math.pi**2 * self.n) ** (1 / 3)

    @cached_property
    def box(self) -> Box:
        """The cube."""
        return Box.shaped("cubic", self.length_scale**3, 3)

    @cached_property
    def pair(self) -> PoeschlTeller:
        """The potential of opposite spins, in k_F^2."""
        return PoeschlTeller(2 / self.kf_re, self.length_scale)

    @property
    def unit(self) -> float:
        """E_FG in k_F^2, with hbar = mass = 1."""
        return 0.3 * self.n

    def terms(self, ansatz: Ansatz, params: Params, x: Array) -> dict[str, Array]:
        """Kinetic and potential energy (), E_FG, at x (n, 3), 1/k_F."""
        i, j = opposite_pairs(self.n, self.n_up)
        return {
            "kinetic": kinetic_energy(ansatz, params, x) / self.unit,
            "potential": jnp.sum(self.pair(x[i] - x[j])) / self.unit,
        }

    def initial_walkers(self, key: Array, n_walkers: int) -> Array:
        """Uniform positions (w, n, 3) in the cube, no two fermions close, 1/k_F.

        Raises:
          ValueError: if n_walkers is below 1.
        """
        return spread_out(self.box, key, n_walkers, self.n)

    @property
    def free_energy(self) -> float:
        """Of the same particles in the same cube without an attraction, E_FG."""
        squares = [
            np.sort(np.sum(self._wave_numbers**2, axis=1))[:n]
            for n in (self.n_up, self.n_down)
        ]
        unit = (2 * math.pi / self.length_scale) ** 2 / 2
        return unit * float(sum(np.sum(part) for part in squares)) / self.unit

    @property
    def _wave_numbers(self) -> np.ndarray:
        """More integers (m, 3) than there are fermions, the smallest among them."""
        reach = math.ceil(self.n ** (1 / 3))
        return np.indices((2 * reach + 1,) * 3).reshape(3, -1).T - reach

    def references(self) -> tuple[Reference, ...]:
        """Exact for two; the free gas, a bound; published energies at zero range."""
        found = []
        energy = _energy_of_two(self) if self.n_up == self.n_down == 1 else None
        if energy is not None:
            source = "plane waves of the relative coordinate"
            found.append(Reference(energy, 3e-8, "exact", source))
        free = self.free_energy
        found.append(Reference(free, 0.0, "upper_bound", "free particles in this cube"))
        if self.n_up == self.n_down and self.n in PUBLISHED:
            ratio, error, source = PUBLISHED[self.n]
            found.append(Reference(ratio * free, error * free, "estimate", source))
        return tuple(found)


@functools.cache
def _energy_of_two(gas: FermiGas) -> float | None:
    """In E_FG; None for a range that requires too many plane waves."""
    for kf_re, energy in TWO.items():
        if math.isclose(kf_re, gas.kf_re):
            return energy
    largest = math.ceil(9.6 / gas.kf_re)  # to 1e-8: exp(-pi k / 2 mu), squared
    if largest > two_in_a_cube.LARGEST:
        return None
    energy = two_in_a_cube.ground_state(
        gas.pair.transform, gas.length_scale, 1.0, largest
    )
    return energy / gas.unit

"""The unitary Fermi gas: opposite spins with an infinite scattering length.

    H = -1/2 sum_i nabla_i^2 - sum_{i up, j down} 2 mu^2 / cosh^2(mu r_ij)

in a periodic cube, hbar = mass = 1, lengths in 1/k_F with k_F^3 = 3 pi^2 n / L^3. The
modified Poeschl-Teller potential has the zero-energy solution tanh(mu r) / r, hence an
infinite scattering length, and the effective range r_e = 2 / mu. J. Carlson et al.,
Phys. Rev. Lett. 91, 050401 (2003); S. Gandolfi, K. E. Schmidt and J. Carlson, Phys.
Rev. A 83, 041601 (2011), arXiv:1012.4417.

Energies are in units of E_FG = n (3/5) k_F^2 / 2, that of an infinite free gas with as
many spins up as down.
"""

import dataclasses
import math
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.forces.image_sums import PoeschlTeller
from hamiltonians.periodic_fermions import PeriodicFermions
from hamiltonians.references.two_in_a_cube import LARGEST, SOURCE, energy_of_two
from nqs.checks import positive, require
from nqs.laplacian.kinetic import kinetic_energy
from nqs.space.box import Box
from nqs.space.spins import Spins
from nqs.types import Ansatz, Params, Reference

# Two particles at short range, by k_F r_e: energy in E_FG, from |m| <= 24 plane waves.
TWO = {0.4: -0.43902639}

# Energy over that of free particles in the same cube, zero range: value, error, source.
PUBLISHED = {
    4: (0.211, 0.002, "lattice, zero range, arXiv:1104.2102"),
    14: (0.407, 0.002, "fixed-node DMC, zero range, arXiv:1105.1748"),
    38: (0.409, 0.003, "fixed-node DMC, zero range, arXiv:1105.1748"),
    66: (0.398, 0.003, "fixed-node DMC, zero range, arXiv:1105.1748"),
}


@dataclasses.dataclass(frozen=True)
class FermiGas(PeriodicFermions):
    """Fermions of two spins at unitarity.

    Attributes:
      spins: numbers of fermions of each spin.
      kf_re: effective range of the attraction, in 1/k_F.

    Raises:
      ValueError: if kf_re is not positive, or larger than half the edge of the cube.
    """

    kf_re: float = 0.4

    energy_unit = "E_FG"
    length_unit = "1/k_F"

    def __post_init__(self):
        super().__post_init__()
        require(self, positive, "kf_re")
        if self.kf_re > self.length_scale / 2:
            raise ValueError(
                "kf_re must be at most half an edge of the cube, "
                f"{self.length_scale / 2:.3g}, got {self.kf_re!r}"
            )

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
        i, j = self.spins.opposite_pairs
        return {
            "kinetic": kinetic_energy(ansatz, params, x) / self.unit,
            "potential": jnp.sum(self.pair(x[i] - x[j])) / self.unit,
        }

    @property
    def diffusion(self) -> float:
        """1/2 in units of E_FG."""
        return 1 / (2 * self.unit)

    @property
    def free_energy(self) -> float:
        """Energy of free particles in the same cube, E_FG."""
        reach = math.ceil(self.n ** (1 / 3))
        waves = np.indices((2 * reach + 1,) * 3).reshape(3, -1) - reach
        squares = np.sort(np.sum(waves**2, axis=0))
        total = np.sum(squares[: self.spins.up]) + np.sum(squares[: self.spins.down])
        return float((2 * math.pi / self.length_scale) ** 2 / 2 * total) / self.unit

    def references(self) -> tuple[Reference, ...]:
        """Exact for two; the free gas, a bound; published energies at zero range."""
        found = []
        energy = self._energy_of_two() if self.spins == Spins(1, 1) else None
        if energy is not None:
            found.append(Reference(energy, 3e-8, "exact", SOURCE))
        free = self.free_energy
        found.append(Reference(free, 0.0, "upper_bound", "free particles in this cube"))
        if self.spins.up == self.spins.down and self.n in PUBLISHED:
            ratio, error, source = PUBLISHED[self.n]
            found.append(Reference(ratio * free, error * free, "estimate", source))
        return tuple(found)

    def _energy_of_two(self) -> float | None:
        for kf_re, energy in TWO.items():
            if math.isclose(kf_re, self.kf_re):
                return energy
        largest = math.ceil(9.6 / self.kf_re)  # to 1e-8: exp(-pi k / 2 mu), squared
        if largest > LARGEST:
            return None
        return energy_of_two(self.pair, 1.0, largest) / self.unit

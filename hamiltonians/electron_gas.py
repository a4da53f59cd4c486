"""The homogeneous electron gas in a periodic box with a neutralizing background.

Lengths are in units of rs bohr, the radius of a sphere (a disc in two dimensions) that
holds one electron, so that the box does not depend on rs. With energies in hartree

    H = -(1 / 2 rs^2) sum_i nabla_i^2 + (1 / rs) (sum_{i<j} psi(x_i - x_j) + n xi / 2)

with the Ewald potential psi and the Madelung constant xi (`hamiltonians.forces`).
"""

import dataclasses
import math
from functools import cached_property
from typing import Any

import numpy as np
from jax import Array

from hamiltonians.forces.ewald import Ewald
from hamiltonians.periodic_fermions import PeriodicFermions
from hamiltonians.references.gas import cubic_gas_references
from nqs.checks import positive, require, whole
from nqs.laplacian.kinetic import kinetic_energy
from nqs.space.box import Box, reduced
from nqs.types import Ansatz, Params, Reference

DEFAULT_CELL = {2: "square", 3: "cubic"}


@dataclasses.dataclass(frozen=True)
class ElectronGas(PeriodicFermions):
    """Electrons of two spins at the density of one in a sphere or disc of radius rs.

    Attributes:
      spins: numbers of electrons of each spin, closed shells of plane waves.
      rs: density parameter, bohr.
      d: dimensions, 2 or 3.
      cell: name in `nqs.space.box.SHAPES`, or lattice vectors of any size; None for a
        square or a cube.
      twist: d fractions of reciprocal lattice vectors, added to every wave vector;
        None for zeros.

    Raises:
      ValueError: if rs is not positive, d is not 2 or 3, the cell spans no volume, the
        twist is not d numbers or a shell is open.
    """

    rs: float
    d: int = 3
    cell: str | tuple[tuple[float, ...], ...] | None = None
    twist: tuple[float, ...] | None = None

    energy_unit = "hartree"
    length_unit = "r_s"

    def __post_init__(self):
        super().__post_init__()
        require(self, positive, "rs")
        require(self, whole, "d", least=2, most=3)
        self.box.checked_twist(self.twist)
        for name in ("up", "down"):
            try:
                self.box.wave_numbers(getattr(self.spins, name), self.twist)
            except ValueError as error:
                raise ValueError(f"spins.{name}: {error}") from None

    @property
    def diffusion(self) -> float:
        """1 / (2 rs^2), hartree rs^2."""
        return 1 / (2 * self.rs**2)

    @cached_property
    def box(self) -> Box:
        """The cell, of n spheres or discs of radius 1; lengths in rs."""
        sphere = math.pi if self.d == 2 else 4 * math.pi / 3
        cell = DEFAULT_CELL[self.d] if self.cell is None else self.cell
        return Box.shaped(cell, self.n * sphere, self.d)

    @cached_property
    def ewald(self) -> Ewald:
        """The Coulomb energy in the box, lengths in rs."""
        return Ewald(self.box)

    def terms(self, ansatz: Ansatz, params: Params, x: Array) -> dict[str, Array]:
        """Kinetic and interaction energy (), hartree, at x (n, d), rs."""
        return {
            "kinetic": kinetic_energy(ansatz, params, x) / self.rs**2,
            "interaction": self.ewald.energy(x) / self.rs,
        }

    def derived(self, terms: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        """The pressure P = (2 <T> + <V>) / (d Omega), hartree / bohr^d.

        T scales as 1 / rs^2 and V as 1 / rs with the cell, so that P = -dE / dOmega in
        an eigenstate.
        """
        volume = self.box.volume * self.rs**self.d
        above = 2 * terms["kinetic"] + terms["interaction"]
        return {"pressure": (lambda mean: mean / (self.d * volume), above)}

    @cached_property
    def hartree_fock_energy(self) -> float:
        """Energy of the determinant of plane waves in this cell, hartree.

        The direct term of a uniform density is the Madelung term alone, and exchange is
        -(1 / 2 V) v(k - k') for every two wave vectors of one spin, v(k) = 4 pi / k^2
        or 2 pi / k.
        """
        kinetic = exchange = 0.0
        for size in (self.spins.up, self.spins.down):
            k = self.box.wave_vectors(size, self.twist)
            kinetic += np.sum(k**2) / 2
            i, j = np.triu_indices(size, 1)
            distances = np.linalg.norm(k[i] - k[j], axis=1)
            v = 4 * math.pi / distances**2 if self.d == 3 else 2 * math.pi / distances
            exchange -= np.sum(v)
        potential = exchange / self.box.volume + self.n * self.ewald.madelung / 2
        return float(kinetic / self.rs**2 + potential / self.rs)

    def references(self) -> tuple[Reference, ...]:
        """The best known energy of a cube, then the Hartree-Fock energy."""
        known = ()
        if self.d == 3 and _is_cubic(self.box) and not np.any(self.twist or 0.0):
            known = cubic_gas_references(self.spins, self.rs)
        source = "plane-wave Hartree-Fock of this cell"
        upper = Reference(self.hartree_fock_energy, 0.0, "upper_bound", source)
        return (*known, upper)


def _is_cubic(box: Box) -> bool:
    gram = reduced(box.vectors) @ reduced(box.vectors).T
    return np.allclose(gram, gram[0, 0] * np.eye(3), rtol=1e-9)

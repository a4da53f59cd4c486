"""Classical spin models at a temperature: free energies by variation, or sampling.

With psi = sqrt(p) and sum_x p = 1 the free energy F = <E + T log p> is an expectation
over |psi|^2, never below -T log Z, and E + T log p is the local energy: its mean falls
along the very gradient of variational Monte Carlo, and its variance vanishes at
Boltzmann's p. D. Wu, L. Wang and P. Zhang, Phys. Rev. Lett. 122, 080602 (2019).
"""

import abc
import dataclasses
import operator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_model import OnLattice, check_finite
from hamiltonians.references.classical import Thermal, kaufman, transfer_matrix
from nqs.capabilities import DirectSampling
from nqs.space.lattice import Lattice, Sites
from nqs.types import Ansatz, Params, Reference


class ClassicalModel(OnLattice):
    """An energy of levels x (s,) at a temperature.

    Attributes:
      temperature: T, in units of J with k_B = 1.
      j: J of a bond.
      sampled: leave out T log p: the energy is <E> and psi = exp(-E / 2 T) is given.
    """

    temperature: float
    j: float = 1.0
    sampled: bool = False

    @property
    @abc.abstractmethod
    def bond(self) -> np.ndarray:
        """The energy (q, q) of the levels at the ends of a bond."""

    def __post_init__(self):
        check_finite(self, "j", "temperature")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be positive, got {self.temperature!r}")

    def energy(self, x: Array) -> Array:
        """E () of levels x (s,)."""
        i, k = self.lattice.edges.T
        return jnp.sum(jnp.asarray(self.bond, jnp.result_type(float))[x[i], x[k]])

    def terms(self, ansatz: Ansatz, params: Params, x: Array) -> dict[str, Array]:
        """The energy E and, unless it is only sampled, T log p.

        Raises:
          ValueError: if psi is not normalized, which the free energy needs.
        """
        if self.sampled:
            return {"energy": self.energy(x)}
        if not isinstance(ansatz, DirectSampling):
            raise ValueError(
                "a free energy needs a normalized ansatz, such as RecurrentGRU; "
                f"{type(ansatz).__name__} is none"
            )
        log_p = 2 * ansatz.apply(params, x).logabs
        return {"energy": self.energy(x), "T log p": self.temperature * log_p}

    def derived(self, terms: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        """Entropy; energy and free energy with the weights exp(-E / T) / p.

        The heat capacity d<E>/dT where Boltzmann's density itself is sampled.
        """
        energy, t = terms["energy"], self.temperature
        if self.sampled:
            square = (energy - np.mean(energy)) ** 2
            return {"heat_capacity": (lambda mean: mean / t**2, square)}
        local = energy + terms["T log p"]
        least = float(np.min(local))
        weights = np.exp(-(local - least) / t)
        return {
            "entropy": (lambda mean: -mean / t, terms["T log p"]),
            "free_energy_reweighted": (lambda w: least - t * jnp.log(w), weights),
            "energy_reweighted": (operator.truediv, weights * energy, weights),
        }

    def thermal(self) -> Thermal | None:
        """Exact free energy and energy where they are known."""
        return transfer_matrix(self.lattice, self.bond, self.temperature)

    def references(self) -> tuple[Reference, ...]:
        """Exact free energy, or energy where it is sampled, where they are known."""
        found = self.thermal()
        if found is None:
            return ()
        value = found.energy if self.sampled else found.free_energy
        return (Reference(value, 0.0, "exact", found.source),)


@dataclasses.dataclass(frozen=True)
class ClassicalIsing(ClassicalModel):
    """E = -J sum_<ij> s_i s_j of spins s = +-1.

    Attributes:
      lattice: sites and bonds.
      temperature: T, k_B = 1.
      j: J, ferromagnetic where positive.
      sampled: see `ClassicalModel`.

    Raises:
      ValueError: for a number out of range.
    """

    lattice: Sites
    temperature: float = 2.269185
    j: float = 1.0
    sampled: bool = False

    @property
    def bond(self) -> np.ndarray:
        """-J s s' (2, 2)."""
        return -self.j * np.array([[1.0, -1.0], [-1.0, 1.0]])

    def thermal(self) -> Thermal | None:
        """Also of a ferromagnetic torus of any size."""
        lattice, found = self.lattice, super().thermal()
        if found is not None or not isinstance(lattice, Lattice) or self.j <= 0:
            return found
        if lattice.kind != "square" or not lattice.periodic:
            return None
        rows, columns = lattice.extent
        return kaufman(rows, columns, self.temperature, self.j)


@dataclasses.dataclass(frozen=True)
class ClassicalPotts(ClassicalModel):
    """E = -J sum_<ij> delta(x_i, x_j) of q levels.

    Attributes:
      lattice: sites and bonds.
      temperature: T, k_B = 1.
      levels: q.
      j: J, ferromagnetic where positive.
      sampled: see `ClassicalModel`.

    Raises:
      ValueError: for a number out of range.
    """

    lattice: Sites
    temperature: float = 0.994973
    levels: int = 3
    j: float = 1.0
    sampled: bool = False

    def __post_init__(self):
        super().__post_init__()
        if not (isinstance(self.levels, int) and self.levels >= 2):
            raise ValueError(f"levels must be at least 2, got {self.levels!r}")

    @property
    def bond(self) -> np.ndarray:
        """-J delta (q, q)."""
        return -self.j * np.eye(self.levels)

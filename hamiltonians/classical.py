"""Classical spin models at a temperature: free energies by variation, or sampling.

With psi = sqrt(p) and sum_x p = 1 the free energy F = <E + T log p> >= -T log Z is an
expectation over |psi|^2 of the local energy E + T log p, whose variance vanishes at
Boltzmann's p. D. Wu, L. Wang and P. Zhang, Phys. Rev. Lett. 122, 080602 (2019).
"""

import abc
import dataclasses
import operator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_model import OnLattice
from hamiltonians.references.classical import Thermal, kaufman, transfer_matrix
from nqs.capabilities import DirectSampling
from nqs.checks import finite, positive, require, whole
from nqs.space.lattice import Lattice, Sites
from nqs.types import Ansatz, Params, Reference


class ClassicalModel(OnLattice):
    """An energy of levels x (s,) at a temperature.

    Attributes:
      temperature: T, in units of J with k_B = 1.
      j: J of a bond.
      sampled: leave out T log p: the energy is <E>, for the given psi = exp(-E / 2 T).

    Raises:
      ValueError: if T is not positive, j is not finite, or levels < 2.
    """

    temperature: float
    j: float = 1.0
    sampled: bool = False

    @property
    @abc.abstractmethod
    def bond(self) -> np.ndarray:
        """The energy (q, q) of the levels at the ends of a bond."""

    def __post_init__(self):
        require(self, finite, "j")
        require(self, positive, "temperature")
        require(self, whole, "levels", least=2)

    def energy(self, x: Array) -> Array:
        """E () of levels x (s,)."""
        i, k = self.lattice.edges.T
        return jnp.sum(jnp.asarray(self.bond, jnp.result_type(float))[x[i], x[k]])

    def terms(self, ansatz: Ansatz, params: Params, x: Array) -> dict[str, Array]:
        """The energy E and, unless `sampled`, T log p.

        Raises:
          ValueError: if psi is not normalized, as the free energy requires, or if it
            is `sampled` from the density of another model.
        """
        if self.sampled:
            given = getattr(ansatz, "model", None)
            if given != self:
                found = type(ansatz).__name__ if given is None else given
                raise ValueError(
                    f"ansatz must be Boltzmann of this model where it is sampled, of "
                    f"{self}, got {found}"
                )
            return {"energy": self.energy(x)}
        if not isinstance(ansatz, DirectSampling):
            raise ValueError(
                "ansatz must be normalized for a free energy, such as RecurrentGRU, "
                f"got {type(ansatz).__name__}"
            )
        log_p = 2 * ansatz.apply(params, x).logabs
        return {"energy": self.energy(x), "T log p": self.temperature * log_p}

    def derived(self, terms: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        """Entropy; energy and free energy with the weights exp(-E / T) / p.

        If `sampled`, the heat capacity d<E>/dT.
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
        """Exact free energy and energy, None if unknown."""
        return transfer_matrix(self.lattice, self.bond, self.temperature)

    def references(self) -> tuple[Reference, ...]:
        """Exact free energy, or energy if `sampled`."""
        found = self.thermal()
        if found is None:
            return ()
        value = found.energy if self.sampled else found.free_energy
        return (Reference(value, 0.0, "exact", found.source),)


@dataclasses.dataclass(frozen=True)
class ClassicalIsing(ClassicalModel):
    """E = -J sum_<ij> s_i s_j of spins s = +-1; for its fields see `ClassicalModel`."""

    lattice: Sites
    temperature: float = 2.269185
    j: float = 1.0
    sampled: bool = False

    @property
    def bond(self) -> np.ndarray:
        """Energy -J s s' (2, 2)."""
        return -self.j * np.array([[1.0, -1.0], [-1.0, 1.0]])

    def thermal(self) -> Thermal | None:
        """Exact also on a ferromagnetic torus of any size."""
        lattice, found = self.lattice, super().thermal()
        if found is not None or not isinstance(lattice, Lattice):
            return found
        if lattice.kind == "square" and lattice.periodic and self.j > 0:
            rows, columns = lattice.extent
            return kaufman(rows, columns, self.temperature, self.j)
        return None


@dataclasses.dataclass(frozen=True)
class ClassicalPotts(ClassicalModel):
    """E = -J sum_<ij> delta(x_i, x_j) of q levels; see `ClassicalModel`."""

    lattice: Sites
    temperature: float = 0.994973
    levels: int = 3
    j: float = 1.0
    sampled: bool = False

    @property
    def bond(self) -> np.ndarray:
        """Energy -J delta (q, q)."""
        return -self.j * np.eye(self.levels)

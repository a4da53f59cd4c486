"""Atoms and molecules: electrons in the field of nuclei at rest.

    H = sum_i (-nabla_i^2 / 2 - sum_I Z_I / |x_i - R_I|) + sum_{i<j} 1 / |x_i - x_j|
        + sum_{I<J} Z_I Z_J / |R_I - R_J|

in hartree and bohr. All electrons are treated, the nuclei are infinitely heavy.
"""

import dataclasses
import operator
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.references.molecules import molecule_references
from nqs.checks import whole
from nqs.laplacian.kinetic import kinetic_energy
from nqs.space.nuclei import Nuclei
from nqs.space.spins import Spins, check_spins
from nqs.types import Ansatz, Hamiltonian, Params, Reference


@dataclasses.dataclass(frozen=True)
class Molecule(Hamiltonian):
    """Electrons of two spins about nuclei at rest.

    Attributes:
      nuclei: their charges and positions.
      spins: numbers of electrons of each spin.

    Raises:
      ValueError: if nuclei or spins are of another type.
    """

    nuclei: Nuclei
    spins: Spins

    energy_unit = "hartree"
    length_unit = "bohr"
    diffusion = 0.5
    d = 3

    def __post_init__(self):
        if not isinstance(self.nuclei, Nuclei):
            raise ValueError(f"nuclei must be Nuclei, got {self.nuclei!r}")
        check_spins(self.spins)

    @classmethod
    def of(cls, atoms: str, charge: int = 0, n_up: int | None = None) -> Self:
        """The molecule of atoms "Li 0 0 0; H 0 0 3.015", positions in bohr.

        Args:
          atoms: read by `Nuclei.parse`.
          charge: of the molecule, elementary charges.
          n_up: electrons with spin up; None for (n + 1) // 2.

        Raises:
          ValueError: if no electron is left, or for an argument out of range.
        """
        nuclei = Nuclei.parse(atoms)
        most = sum(nuclei.charges) - 1
        n = sum(nuclei.charges) - whole("charge", charge, -most - 1, most)
        return cls(nuclei, Spins.of(n, n_up))

    @property
    def n(self) -> int:
        """Number of electrons."""
        return self.spins.n

    @property
    def length_scale(self) -> float:
        """Radius of the smallest shell, 1/Z of the heaviest nucleus, bohr."""
        return 1 / max(self.nuclei.charges)

    @property
    def extent(self) -> float:
        """Radius about the origin that contains nearly all electrons, bohr."""
        decay = min(row[-1] for row in self.nuclei.exponents)
        return float(np.max(np.linalg.norm(self.nuclei.positions, axis=1))) + 6 / decay

    def terms(self, ansatz: Ansatz, params: Params, x: Array) -> dict[str, Array]:
        """Kinetic and Coulomb energies (), hartree, at x (n, 3), bohr."""
        i, j = np.triu_indices(self.n, 1)
        near = jnp.linalg.norm(self.nuclei.displacements(x), axis=-1)  # (n, nuclei)
        return {
            "kinetic": kinetic_energy(ansatz, params, x),
            "attraction": -jnp.sum(self.nuclei.per_nucleus(x) / near),
            "repulsion": jnp.sum(1 / jnp.linalg.norm(x[i] - x[j], axis=-1)),
            "nuclei": jnp.full((), self.nuclei.repulsion, x.dtype),
        }

    def derived(self, terms: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        """The virial ratio -<V> / <T> of an atom, 2 in an eigenstate."""
        if len(self.nuclei.charges) > 1:
            return {}  # true of molecules only at the minimum of their energy
        potential = -terms["attraction"] - terms["repulsion"]
        return {"virial_ratio": (operator.truediv, potential, terms["kinetic"])}

    def initial_walkers(self, key: Array, n_walkers: int) -> Array:
        """Gaussian clouds (w, n, 3), bohr, each electron about a nucleus.

        In neutral molecules every nucleus has Z_I electrons, of both spins in turn; in
        ions the electrons are distributed anew for every walker.
        """
        w = whole("n_walkers", n_walkers)
        nuclei, counts = self.nuclei, (self.spins.up, self.spins.down)
        shells = [(i, 1 / a) for i, row in enumerate(nuclei.exponents) for a in row]
        *keys, key_cloud = jax.random.split(key, 3)
        drawn = []
        for key_spin, first, count in zip(keys, (0, 1), counts, strict=True):
            own = np.arange(len(shells))[first % len(shells) :: 2]
            own = jnp.asarray(np.resize(own, (w, max(count, len(own)))))
            order = jax.random.permutation(key_spin, own, axis=1, independent=True)
            drawn.append(order[:, :count])
        shell = jnp.concatenate(drawn, axis=1)  # (w, n)
        centers = jnp.asarray(np.array([nuclei.positions[i] for i, _ in shells]))
        scales = jnp.asarray(np.array([[scale] for _, scale in shells]))
        noise = jax.random.normal(key_cloud, (w, self.n, 3))
        return centers[shell] + scales[shell] * noise

    def references(self) -> tuple[Reference, ...]:
        """The exact energy of the ground state, if known."""
        return molecule_references(self.nuclei, self.spins)

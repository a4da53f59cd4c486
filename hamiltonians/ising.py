"""The Ising model in a transverse field."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_model import Connected, LatticeModel
from hamiltonians.references.chains import ising_ring
from hamiltonians.references.lanczos import diagonalized
from nqs.checks import finite, require
from nqs.space.lattice import Sites, is_ring, spins
from nqs.types import Reference


@dataclasses.dataclass(frozen=True)
class TransverseFieldIsing(LatticeModel):
    """H = -J sum_<ij> sigma^z_i sigma^z_j - h sum_i sigma^x_i, of Pauli matrices.

    Critical at h = J on a chain. A rotation of every spin by pi about z changes the
    sign of h; the basis is the one where off-diagonal elements are -|h|, so that psi
    can be positive.

    Attributes:
      lattice: sites and bonds.
      j: J, ferromagnetic where positive.
      field: h.

    Raises:
      ValueError: if j or field is not finite.
    """

    lattice: Sites
    j: float = 1.0
    field: float = 1.0

    off_diagonal = "field"

    def __post_init__(self):
        require(self, finite, "j", "field")

    def diagonal(self, x: Array) -> dict[str, Array]:
        """The coupling of neighbors."""
        s, (i, k) = spins(x), self.lattice.edges.T
        return {"coupling": -self.j * jnp.sum(s[i] * s[k])}

    def connected(self, x: Array) -> Connected:
        """All flips of one spin."""
        sites = np.arange(self.n)[:, None]
        elements = jnp.full(self.n, -abs(self.field), jnp.result_type(float))
        return Connected(jnp.asarray(sites), 1 - x[:, None], elements)

    def references(self) -> tuple[Reference, ...]:
        """Exact for a ferromagnetic ring of any length, else for few sites."""
        return self.spectrum(1)

    def spectrum(self, count: int) -> tuple[Reference, ...]:
        """The two lowest levels of a ferromagnetic ring, or all of few sites."""
        frustrated = self.j < 0 and self.n % 2 == 1
        if is_ring(self.lattice) and not frustrated and count <= 2:
            source = "free fermions, P. Pfeuty, Ann. Phys. 57, 79 (1970)"
            return tuple(
                Reference(energy, 0.0, "exact", source)
                for odd in (False, True)[:count]
                for energy in [ising_ring(self.n, abs(self.j), abs(self.field), odd)]
            )
        return diagonalized(self, count)

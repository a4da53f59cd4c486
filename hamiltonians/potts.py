"""The quantum Potts (clock) model."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_model import Connected, LatticeModel
from nqs.checks import finite, require, whole
from nqs.space.lattice import Sites


@dataclasses.dataclass(frozen=True)
class Potts(LatticeModel):
    """H = -J sum_<ij> (Z_i^+ Z_j + h.c.) - f sum_i (X_i + X_i^+), with q levels.

    Z |l> = exp(2 pi i l / q) |l> and X |l> = |l + 1 mod q>. On a chain of three levels
    critical at f = J. Two levels are the Ising model with twice the couplings.

    Attributes:
      lattice: sites and bonds.
      levels: q.
      j: J, ferromagnetic where positive.
      field: f.

    Raises:
      ValueError: if levels < 2, or j or field is not finite.
    """

    lattice: Sites
    levels: int = 3
    j: float = 1.0
    field: float = 1.0

    off_diagonal = "field"

    def __post_init__(self):
        require(self, finite, "j", "field")
        require(self, whole, "levels", least=2)

    def diagonal(self, x: Array) -> dict[str, Array]:
        """The coupling of neighbors, 2 cos(2 pi (x_i - x_j) / q) each."""
        i, k = self.lattice.edges.T
        angles = 2 * math.pi / self.levels * np.arange(self.levels)
        cosines = jnp.asarray(2 * np.cos(angles), jnp.result_type(float))
        return {"coupling": -self.j * jnp.sum(cosines[(x[i] - x[k]) % self.levels])}

    def connected(self, x: Array) -> Connected:
        """One level up and one level down at every site."""
        sites = np.repeat(np.arange(self.n), 2)[:, None]
        steps = np.tile([1, -1], self.n)[:, None]
        values = (x[sites] + steps) % self.levels
        elements = jnp.full(2 * self.n, -self.field, jnp.result_type(float))
        return Connected(jnp.asarray(sites), values, elements)

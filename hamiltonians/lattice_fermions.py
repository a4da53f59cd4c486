"""Fermions that hop on a lattice."""

import abc

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_model import Connected, LatticeModel


class LatticeFermions(LatticeModel):
    """H = -t sum over bonds of (c_i^+ c_j + h.c.) + diagonal terms.

    A configuration is the occupations (m,) of the modes, 0 or 1, and stands for the
    state c_a^+ c_b^+ ... |0> of the occupied modes a < b < ... Then

        <x| c_i^+ c_j |x'> = (-1)^(occupied modes between i and j),

    the sign of P. Jordan and E. Wigner, Z. Phys. 47, 631 (1928).

    Attributes:
      t: hopping amplitude.
    """

    t: float

    energy_unit = "t"
    off_diagonal = "hopping"

    @property
    @abc.abstractmethod
    def bonds(self) -> np.ndarray:
        """Pairs (e, 2) of modes between which fermions hop."""

    def connected(self, x: Array) -> Connected:
        """A hop over every bond, with element 0 where none is possible."""
        first, last = np.sort(self.bonds, axis=1).T
        below = jnp.cumsum(x)  # occupied modes up to each
        between = below[last] - x[last] - below[first]
        amplitudes = self.t * (2 * (between % 2) - 1).astype(jnp.result_type(float))
        elements = jnp.where(x[first] != x[last], amplitudes, 0)
        return Connected(jnp.asarray(self.bonds), x[self.bonds[:, ::-1]], elements)

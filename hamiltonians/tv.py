"""The t-V model: fermions without spin and a repulsion of neighbors."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_fermions import LatticeFermions
from nqs.checks import finite, require, settle, whole
from nqs.space.lattice import Sites


@dataclasses.dataclass(frozen=True)
class TV(LatticeFermions):
    """H = -t sum_<ij> (c_i^+ c_j + h.c.) + V sum_<ij> n_i n_j, at fixed number.

    Attributes:
      lattice: sites and bonds; the sites are the modes in their order.
      v: V, repulsive where positive.
      fermions: number of fermions; None for n // 2.
      t: hopping amplitude.

    Raises:
      ValueError: if v or t is not finite, or the fermions do not fit.
    """

    lattice: Sites
    v: float = 1.0
    fermions: int | None = None
    t: float = 1.0

    def __post_init__(self):
        require(self, finite, "v", "t")
        if self.fermions is None:
            settle(self, fermions=self.n // 2)
        require(self, whole, "fermions", most=self.n)

    @property
    def total(self) -> int:
        """The number of fermions."""
        return self.fermions  # pyright: ignore

    @property
    def bonds(self) -> np.ndarray:
        """Those of the lattice."""
        return self.lattice.edges

    def diagonal(self, x: Array) -> dict[str, Array]:
        """The repulsion of neighbors."""
        i, j = self.lattice.edges.T
        return {"interaction": self.v * jnp.sum(x[i] * x[j])}

"""The Bose-Hubbard model: bosons that hop on a lattice and repel each other."""

import dataclasses
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_model import Connected, LatticeModel
from nqs.checks import finite, require, settle, whole
from nqs.space.lattice import Sites


@dataclasses.dataclass(frozen=True)
class BoseHubbard(LatticeModel):
    """H = -t sum_<ij> (a_i^+ a_j + h.c.) + (U/2) sum_i n_i (n_i - 1), at fixed number.

    The level of a site is its number of bosons n_i. For t > 0 the ground state is
    positive. M. P. A. Fisher et al., Phys. Rev. B 40, 546 (1989).

    Attributes:
      lattice: sites and bonds.
      u: U, repulsive where positive.
      bosons: number of bosons; None for one a site.
      most: bosons that fit on one site; None for any number.
      t: hopping amplitude.

    Raises:
      ValueError: if u or t is not finite, most < 1, or the bosons do not fit.
    """

    lattice: Sites
    u: float = 1.0
    bosons: int | None = None
    most: int | None = None
    t: float = 1.0

    energy_unit = "t"
    off_diagonal = "hopping"

    def __post_init__(self):
        require(self, finite, "u", "t")
        if self.bosons is None:
            settle(self, bosons=self.n)
        if self.most is not None:
            require(self, whole, "most")
        fit = np.inf if self.most is None else self.n * self.most
        require(self, whole, "bosons", most=fit)

    @property
    def total(self) -> int:
        """The number of bosons."""
        return self.bosons  # pyright: ignore

    @property
    def levels(self) -> int:  # pyright: ignore
        """Numbers of bosons that a site can have, 0 included."""
        return 1 + min(self.total, self.total if self.most is None else self.most)

    @cached_property
    def _hops(self) -> np.ndarray:
        """Bonds (2 e, 2) in both directions, from and to."""
        edges = self.lattice.edges
        return np.concatenate([edges, edges[:, ::-1]])

    def diagonal(self, x: Array) -> dict[str, Array]:
        """The repulsion of bosons on one site."""
        n = x.astype(jnp.result_type(float))
        return {"interaction": self.u / 2 * jnp.sum(n * (n - 1))}

    def connected(self, x: Array) -> Connected:
        """A hop of one boson over every bond, with element 0 where none fits."""
        sites = jnp.asarray(self._hops)
        here, there = x[sites[:, 0]], x[sites[:, 1]]
        fits = (here > 0) & (there < self.levels - 1)
        hopped = jnp.stack([here - 1, there + 1], axis=1)
        values = jnp.where(fits[:, None], hopped, x[sites])
        square = (here * (there + 1)).astype(jnp.result_type(float))
        elements = jnp.where(fits, -self.t * jnp.sqrt(square), 0)
        return Connected(sites, values, elements)

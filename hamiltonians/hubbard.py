"""The Hubbard model: fermions of two spins that repel each other on a site."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_fermions import LatticeFermions
from nqs.checks import finite, require, settle, whole
from nqs.space.lattice import Lattice, Sites, side_by_side
from nqs.types import Reference

VARBENCH = "D. Wu et al., Science 386, 296 (2024)"


@dataclasses.dataclass(frozen=True)
class Hubbard(LatticeFermions):
    """H = -t sum_<ij>,s (c_is^+ c_js + h.c.) + U sum_i n_i,up n_i,down.

    The modes are the sites for spin up, then those for spin down; both numbers are
    fixed. J. Hubbard, Proc. R. Soc. A 276, 238 (1963).

    Attributes:
      lattice: sites and bonds.
      u: U, repulsive where positive.
      up: fermions with spin up; None for n // 2.
      down: with spin down; None for n // 2.
      t: hopping amplitude.

    Raises:
      ValueError: if u or t is not finite, or the fermions do not fit.
    """

    lattice: Sites
    u: float = 4.0
    up: int | None = None
    down: int | None = None
    t: float = 1.0

    def __post_init__(self):
        require(self, finite, "u", "t")
        for spin in ("up", "down"):
            if getattr(self, spin) is None:
                settle(self, **{spin: self.n // 2})
            require(self, whole, spin, least=0, most=self.n)
        whole("up + down", sum(self.totals))

    @property
    def size(self) -> int:
        """Two modes for each site."""
        return 2 * self.n

    @property
    def totals(self) -> tuple[int, ...]:
        """The numbers of fermions with spin up and down."""
        return self.up, self.down  # pyright: ignore

    @property
    def total(self) -> int:
        """The number of fermions."""
        return sum(self.totals)

    @property
    def bonds(self) -> np.ndarray:
        """Those of the lattice, for either spin."""
        return side_by_side(self.lattice, 2).edges

    def diagonal(self, x: Array) -> dict[str, Array]:
        """The repulsion of opposite spins on one site."""
        return {"interaction": self.u * jnp.sum(x[: self.n] * x[self.n :])}

    def references(self) -> tuple[Reference, ...]:
        """Exact for few configurations and one cluster, an estimate for another."""
        fields = self.lattice, self.u, self.totals, abs(self.t)
        if fields == (Lattice((4, 4), "square"), 4, (5, 5), 1):
            source = f"exact diagonalization, {VARBENCH}"
            return (Reference(-19.580937525419, 1e-12, "exact", source),)
        if fields == (Lattice((8, 8), "square"), 8, (32, 32), 1):
            source = f"auxiliary-field quantum Monte Carlo, {VARBENCH}"
            return (Reference(-33.642, 0.005, "estimate", source),)
        return super().references()

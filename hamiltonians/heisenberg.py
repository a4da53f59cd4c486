"""Antiferromagnets of spins 1/2: the Heisenberg and the J1-J2 model."""

import dataclasses
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_model import Connected, LatticeModel
from hamiltonians.references.chains import heisenberg_ring
from nqs.checks import finite, require, settle, whole
from nqs.space.lattice import Lattice, Sites, is_ring, spins, sublattices
from nqs.types import Reference

SQUARE = {0.0: -24.4393974, 0.5: -18.13714754}  # 6 x 6 sites, J, by J2 / J
LARGE = -49.76921  # 10 x 10 sites, J, J2 = J / 2
NETWORK = "a deep network, A. Chen and M. Heyl, Nat. Phys. 20, 1476 (2024)"
SOURCE = "exact diagonalization, D. Wu et al., Science 386, 296 (2024), VarBench"


@dataclasses.dataclass(frozen=True)
class Heisenberg(LatticeModel):
    """H = J sum_<ij> S_i . S_j of spins 1/2, at fixed magnetization.

    S_i . S_j = sigma^z_i sigma^z_j / 4 + (S^+_i S^-_j + S^-_i S^+_j) / 2.

    Attributes:
      lattice: sites and bonds.
      j: J, antiferromagnetic where positive.
      marshall: turn the spins of one sublattice by pi about z, which makes exchanges
        between sublattices negative and the ground state positive (W. Marshall, Proc.
        R. Soc. A 232, 48 (1955)). None stands for whether the lattice is bipartite.
      n_down: spins down; None for n // 2.

    Raises:
      ValueError: if j is not finite, n_down is not 0 to n, or marshall=True on a
        lattice that is not bipartite.
    """

    lattice: Sites
    j: float = 1.0
    marshall: bool | None = None
    n_down: int | None = None

    off_diagonal = "exchange"

    def __post_init__(self):
        require(self, finite, "j")
        if self.n_down is not None:
            require(self, whole, "n_down", least=0, most=self.n)
        bipartite = sublattices(self.n, self.lattice.edges) is not None
        if self.marshall is None:
            settle(self, marshall=bipartite)
        if self.marshall and not bipartite:
            raise ValueError("marshall=True requires a bipartite lattice")

    @property
    def total(self) -> int:
        """The number of spins down."""
        return self.n // 2 if self.n_down is None else self.n_down

    @property
    def couplings(self) -> tuple[tuple[np.ndarray, float], ...]:
        """Bonds (e, 2) and their common J, for each kind."""
        return ((self.lattice.edges, self.j),)

    @cached_property
    def _bonds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All bonds (e, 2), their couplings (e,) and signs of exchange (e,)."""
        bonds = np.concatenate([edges for edges, _ in self.couplings])
        j = np.concatenate([np.full(len(e), j, float) for e, j in self.couplings])
        signs = np.ones(len(bonds))
        if self.marshall:
            side = sublattices(self.n, self.lattice.edges)
            assert side is not None
            signs = side[bonds[:, 0]] * side[bonds[:, 1]]
        return bonds, j, signs

    def diagonal(self, x: Array) -> dict[str, Array]:
        """The coupling of the z components."""
        bonds, j, _ = self._bonds
        s = spins(x)
        pairs = s[bonds[:, 0]] * s[bonds[:, 1]]
        return {"coupling": jnp.sum(jnp.asarray(j, s.dtype) * pairs) / 4}

    def connected(self, x: Array) -> Connected:
        """An exchange over every bond, with element 0 where the spins are equal."""
        bonds, j, signs = self._bonds
        values = x[bonds[:, ::-1]]
        elements = jnp.asarray(j * signs / 2, jnp.result_type(float))
        elements = jnp.where(values[:, 0] != values[:, 1], elements, 0)
        return Connected(jnp.asarray(bonds), values, elements)

    def references(self) -> tuple[Reference, ...]:
        """Exact for even rings, few sites and 6 x 6 sites; a bound for 10 x 10."""
        lattice, (_, *others) = self.lattice, self.couplings
        if 2 * self.total == self.n and self.j > 0:
            if is_ring(lattice) and not others:
                source = "Bethe ansatz, H. Bethe, Z. Phys. 71, 205 (1931)"
                energy = self.j * heisenberg_ring(lattice.n)
                return (Reference(energy, 0.0, "exact", source),)
            ratio = sum(coupling for _, coupling in others) / self.j
            if lattice == Lattice((6, 6), "square") and ratio in SQUARE:
                energy, error = self.j * SQUARE[ratio], self.j * 1e-8
                return (Reference(energy, error, "exact", SOURCE),)
            if lattice == Lattice((10, 10), "square") and ratio == 0.5:
                return (Reference(self.j * LARGE, 0.0, "upper_bound", NETWORK),)
        return super().references()


@dataclasses.dataclass(frozen=True)
class J1J2(Heisenberg):
    """H = J sum_<ij> S_i . S_j + J2 sum_<<ij>> S_i . S_j, with second neighbors.

    Attributes:
      j2: coupling of second neighbors.
    """

    j2: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        require(self, finite, "j2")

    @property
    def couplings(self) -> tuple[tuple[np.ndarray, float], ...]:
        """Those of first and of second neighbors."""
        second = (self.lattice.second_edges, self.j2)
        return (*super().couplings, second)

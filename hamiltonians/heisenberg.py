"""Antiferromagnets of spins 1/2: the Heisenberg model and its frustrated relative."""

import dataclasses
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.lattice_model import Connected, LatticeModel, check_finite
from hamiltonians.references.chains import heisenberg_ring
from hamiltonians.references.lanczos import diagonalized
from nqs.checks import settle
from nqs.space.lattice import Lattice, Sites, spins, sublattices
from nqs.types import Reference


@dataclasses.dataclass(frozen=True)
class Heisenberg(LatticeModel):
    """H = J sum_<ij> S_i . S_j of spins 1/2, at fixed magnetization.

    S_i . S_j = sigma^z_i sigma^z_j / 4 + (S^+_i S^-_j + S^-_i S^+_j) / 2.

    Attributes:
      lattice: sites and bonds.
      j: J, antiferromagnetic where positive.
      marshall: turn the spins of one sublattice by pi about z, which makes exchanges
        between sublattices negative and the ground state positive (W. Marshall, Proc.
        R. Soc. A 232, 48 (1955)). None turns them where the lattice is bipartite; the
        field then holds which it is.
      n_down: spins down; None for half of them, or one less than half.

    Raises:
      ValueError: for a number out of range, or a lattice without two sublattices where
        one is to be turned.
    """

    lattice: Sites
    j: float = 1.0
    marshall: bool | None = None
    n_down: int | None = None

    off_diagonal = "exchange"

    def __post_init__(self):
        check_finite(self, "j")
        if self.n_down is not None and not 0 <= self.n_down <= self.n:
            raise ValueError(f"n_down must be 0 to {self.n}, got {self.n_down!r}")
        bipartite = sublattices(self.n, self.lattice.edges) is not None
        if self.marshall is None:
            settle(self, marshall=bipartite)
        if self.marshall and not bipartite:
            raise ValueError(
                "marshall=True requires a bipartite lattice; leave it out, or use "
                "marshall=False"
            )

    @property
    def total(self) -> int:
        """The number of spins down."""
        return self.n // 2 if self.n_down is None else self.n_down

    @property
    def couplings(self) -> tuple[tuple[np.ndarray, float], ...]:
        """Bonds (e, 2) and the J of them all."""
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
        return Connected(
            jnp.asarray(bonds),
            values,
            jnp.where(values[:, 0] != values[:, 1], elements, 0),
        )

    def references(self) -> tuple[Reference, ...]:
        """Exact for a chain of any even length, else for few sites."""
        lattice, balanced = self.lattice, 2 * self.total == self.n
        if (
            isinstance(lattice, Lattice)
            and lattice.kind == "chain"
            and lattice.periodic
            and balanced
            and len(self.couplings) == 1
            and self.j > 0
        ):
            source = "Bethe ansatz, H. Bethe, Z. Phys. 71, 205 (1931)"
            energy = self.j * heisenberg_ring(lattice.n)
            return (Reference(energy, 0.0, "exact", source),)
        return diagonalized(self) or self._published()

    def _published(self) -> tuple[Reference, ...]:
        square = self.lattice == Lattice((6, 6), "square")
        antiferromagnet = self.j > 0 and 2 * self.total == self.n
        if not (square and antiferromagnet and len(self.couplings) == 1):
            return ()
        source = "exact diagonalization, H. J. Schulz et al., J. Phys. I 6, 675 (1996)"
        per_site = -0.678872
        return (Reference(36 * per_site * self.j, 36 * 5e-7, "exact", source),)


@dataclasses.dataclass(frozen=True)
class J1J2(Heisenberg):
    """H = J sum_<ij> S_i . S_j + J2 sum_<<ij>> S_i . S_j, with second neighbors.

    Attributes:
      j2: coupling of second neighbors.
    """

    j2: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        check_finite(self, "j2")

    @property
    def couplings(self) -> tuple[tuple[np.ndarray, float], ...]:
        """Bonds (e, 2) and the J of them all."""
        second = (self.lattice.second_edges, self.j2)
        return (*super().couplings, second)

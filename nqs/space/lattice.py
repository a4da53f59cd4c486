"""Lattices as values: sites, bonds and symmetries, in NumPy.

A configuration is an array (s,) of integer levels 0 to q - 1, one for each site. With
q = 2 level 0 is spin up: sigma^z = 1 - 2 x.
"""

import dataclasses
import itertools
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array

# Half of the vectors to nearest and to second neighbors, in units of the lattice
# vectors; those of the triangular lattice stand at 60 degrees to each other.
NEIGHBORS = {
    "chain": [(1,)],
    "square": [(1, 0), (0, 1)],
    "triangular": [(1, 0), (0, 1), (1, -1)],
}
SECOND = {
    "chain": [(2,)],
    "square": [(1, 1), (1, -1)],
    "triangular": [(1, 1), (2, -1), (1, -2)],
}


@dataclasses.dataclass(frozen=True)
class Lattice:
    """A chain, or a square or triangular lattice, open or periodic.

    A sum over bonds is one over all sites and half of the vectors to neighbors, so
    that around a periodic axis of two sites every bond counts twice.

    Attributes:
      extent: sites along each axis.
      kind: "chain", "square" or "triangular".
      periodic: whether the last site of an axis neighbors the first.

    Raises:
      ValueError: for an unknown kind, or an extent that is not two or more sites along
        each of its axes.
    """

    extent: tuple[int, ...]
    kind: str = "chain"
    periodic: bool = True

    def __post_init__(self):
        if self.kind not in NEIGHBORS:
            raise ValueError(
                f"kind must be one of {', '.join(NEIGHBORS)}, got {self.kind!r}"
            )
        d = len(NEIGHBORS[self.kind][0])
        if not (
            isinstance(self.extent, tuple)
            and len(self.extent) == d
            and all(isinstance(length, int) and length >= 2 for length in self.extent)
        ):
            raise ValueError(
                f"extent of a {self.kind} lattice must be a tuple of {d} numbers of "
                f"sites >= 2, got {self.extent!r}"
            )

    @property
    def n(self) -> int:
        """Number of sites."""
        return int(np.prod(self.extent))

    @cached_property
    def coordinates(self) -> np.ndarray:
        """Integers (s, d): where each site is, in lattice vectors; the last runs."""
        return np.indices(self.extent).reshape(len(self.extent), -1).T

    @cached_property
    def edges(self) -> np.ndarray:
        """Pairs (e, 2) of nearest neighbors."""
        return self._bonds(NEIGHBORS[self.kind])

    @cached_property
    def second_edges(self) -> np.ndarray:
        """Pairs (e, 2) of second neighbors."""
        return self._bonds(SECOND[self.kind])

    @cached_property
    def translations(self) -> np.ndarray:
        """Permutations (t, s): all shifts around the torus, the identity first.

        Those of a lattice with open ends are the identity alone.
        """
        if not self.periodic:
            return np.arange(self.n)[None]
        return np.stack([self._sites(self.coordinates + v) for v in self.coordinates])

    @cached_property
    def point_group(self) -> np.ndarray:
        """Permutations (g, s): rotations and reflections.

        They are the integer matrices that map neighbors to neighbors, and the lattice
        to itself; with open ends together with the shift that this takes.
        """
        vectors = NEIGHBORS[self.kind]
        star = {tuple(s * np.array(v)) for v in vectors for s in (1, -1)}
        d, found = len(self.extent), {}
        for entries in itertools.product((1, 0, -1), repeat=d * d):
            matrix = np.reshape(entries, (d, d))
            if {tuple(matrix @ v) for v in star} != star:
                continue
            image = self.coordinates @ matrix.T
            if self.periodic:  # a turn of the cell must give the same torus
                turned = matrix * np.array(self.extent)[None, :]
                if np.any(turned % np.array(self.extent)[:, None]):
                    continue
            else:
                image = image - image.min(axis=0)
                if np.any(image.max(axis=0) != np.array(self.extent) - 1):
                    continue
            sites = self._sites(image)
            if len(set(sites.tolist())) == self.n:
                found.setdefault(tuple(sites.tolist()))
        return np.array(list(found))

    @cached_property
    def symmetries(self) -> np.ndarray:
        """Permutations (g, s): every element of the point group, then translated."""
        products = (
            tuple(turn[shift].tolist())
            for shift in self.translations
            for turn in self.point_group
        )
        return np.array(list(dict.fromkeys(products)))

    def _bonds(self, vectors: list[tuple[int, ...]]) -> np.ndarray:
        pairs = []
        for vector in vectors:
            there = self.coordinates + np.array(vector)
            inside = np.all((there >= 0) & (there < self.extent), axis=1)
            kept = np.full(self.n, True) if self.periodic else inside
            pairs.append(np.stack([np.arange(self.n), self._sites(there)], 1)[kept])
        return np.concatenate(pairs)

    def _sites(self, coordinates: np.ndarray) -> np.ndarray:
        """The sites at coordinates (..., d), around the torus."""
        wrapped = np.moveaxis(coordinates % np.array(self.extent), -1, 0)
        return np.asarray(np.ravel_multi_index(tuple(wrapped), self.extent))


@dataclasses.dataclass(frozen=True)
class Graph:
    """Any sites and bonds.

    Attributes:
      n: number of sites.
      pairs: the bonds, pairs of different sites.
      second_pairs: bonds of second neighbors, where a model has them.

    Raises:
      ValueError: for a bond that does not join two of the sites.
    """

    n: int
    pairs: tuple[tuple[int, int], ...]
    second_pairs: tuple[tuple[int, int], ...] = ()

    def __post_init__(self):
        if not (isinstance(self.n, int) and self.n >= 1):
            raise ValueError(f"n must be a number of sites >= 1, got {self.n!r}")
        for i, j in (*self.pairs, *self.second_pairs):
            if i == j or not (0 <= i < self.n and 0 <= j < self.n):
                raise ValueError(
                    f"a bond joins two different sites 0 to {self.n - 1}, got {(i, j)}"
                )

    @property
    def edges(self) -> np.ndarray:
        """Pairs (e, 2) of neighbors."""
        return np.array(self.pairs, int).reshape(-1, 2)

    @property
    def second_edges(self) -> np.ndarray:
        """Pairs (e, 2) of second neighbors."""
        return np.array(self.second_pairs, int).reshape(-1, 2)

    @property
    def symmetries(self) -> np.ndarray:
        """Permutations (1, s): the identity, as no other is known."""
        return np.arange(self.n)[None]


Sites = Lattice | Graph  # what a lattice Hamiltonian lives on


def sublattices(n: int, edges: np.ndarray) -> np.ndarray | None:
    """Signs (n,), opposite at the ends of every bond; None if that cannot be."""
    neighbors: list[list[int]] = [[] for _ in range(n)]
    for i, j in edges.tolist():
        neighbors[i].append(j)
        neighbors[j].append(i)
    signs = np.zeros(n, int)
    for start in range(n):
        if signs[start]:
            continue
        signs[start], stack = 1, [start]
        while stack:
            i = stack.pop()
            for j in neighbors[i]:
                if signs[j] == signs[i]:
                    return None
                if not signs[j]:
                    signs[j] = -signs[i]
                    stack.append(j)
    return signs


def spins(x: Array) -> Array:
    """sigma^z = 1 - 2 x of levels 0 and 1, in the default floating-point type."""
    return 1 - 2 * x.astype(jnp.result_type(float))

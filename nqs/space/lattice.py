"""Lattices as values: sites, bonds and symmetries, in NumPy.

A configuration is an array (s,) of integer levels 0 to q - 1, one for each site. With
q = 2 level 0 is spin up: sigma^z = 1 - 2 x.
"""

import dataclasses
import itertools
from functools import cached_property
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from nqs.checks import one_of, require, settle, whole

# Half of the vectors to nearest and to second neighbors, in lattice vectors, which are
# at 60 degrees in the triangular lattice.
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

    Bonds run over all sites and half of the vectors to neighbors: around a periodic
    axis of two sites every bond counts twice.

    Attributes:
      extent: sites along each axis, at least 2.
      kind: shape.
      periodic: whether the last site of an axis neighbors the first.

    Raises:
      ValueError: for an unknown kind, or an extent that does not fit it.
    """

    extent: tuple[int, ...]
    kind: Literal["chain", "square", "triangular"] = "chain"
    periodic: bool = True

    def __post_init__(self):
        one_of("kind", self.kind, NEIGHBORS)
        d = len(NEIGHBORS[self.kind][0])
        if not (isinstance(self.extent, tuple) and len(self.extent) == d):
            raise ValueError(
                f"extent must be a tuple of {d} numbers of sites for a {self.kind} "
                f"lattice, got {self.extent!r}"
            )
        settle(self, extent=tuple(whole("extent", m, 2) for m in self.extent))

    @property
    def n(self) -> int:
        """Number of sites."""
        return int(np.prod(self.extent))

    @cached_property
    def coordinates(self) -> np.ndarray:
        """Positions (s, d) of the sites in lattice vectors, the last axis fastest."""
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
        """Permutations (t, s) by shifts around the torus, the identity first."""
        if not self.periodic:
            return np.arange(self.n)[None]
        return np.stack([self._sites(self.coordinates + v) for v in self.coordinates])

    @cached_property
    def turns(self) -> dict[tuple[int, ...], list[np.ndarray]]:
        """Matrices (d, d) of rotations and reflections, by their permutation (s,).

        These are the integer matrices that map neighbors to neighbors, and the lattice
        to itself up to a shift. Around two sites a reflection does nothing.
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
                found.setdefault(tuple(sites.tolist()), []).append(matrix)
        return found

    @property
    def point_group(self) -> np.ndarray:
        """Permutations (g, s) by rotations and reflections."""
        return np.array(list(self.turns))

    @cached_property
    def symmetries(self) -> np.ndarray:
        """Permutations (g, s) by the point group, then by translations."""
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
        found = np.concatenate(pairs)
        # around an axis of two sites a second neighbor is the site itself
        return found[found[:, 0] != found[:, 1]]

    def _sites(self, coordinates: np.ndarray) -> np.ndarray:
        """The sites at coordinates (..., d), around the torus."""
        wrapped = np.moveaxis(coordinates % np.array(self.extent), -1, 0)
        return np.asarray(np.ravel_multi_index(tuple(wrapped), self.extent))


@dataclasses.dataclass(frozen=True)
class Graph:
    """Any sites and bonds, pairs of different sites.

    Raises:
      ValueError: if n < 1, or a bond does not join two of the sites.
    """

    n: int
    pairs: tuple[tuple[int, int], ...]
    second_pairs: tuple[tuple[int, int], ...] = ()

    def __post_init__(self):
        require(self, whole, "n")
        for i, j in (*self.pairs, *self.second_pairs):
            if i == j or not (0 <= i < self.n and 0 <= j < self.n):
                raise ValueError(
                    f"pairs must be of two different sites 0 to {self.n - 1}, got "
                    f"{(i, j)}"
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
        """Permutations (1, s): the identity."""
        return np.arange(self.n)[None]


Sites = Lattice | Graph


def side_by_side(lattice: Sites, count: int) -> Graph:
    """Copies of a lattice without bonds between them, one after the other."""

    def copies(edges):
        shifts = lattice.n * np.arange(count)[:, None, None]
        return tuple((i, j) for i, j in (edges + shifts).reshape(-1, 2).tolist())

    return Graph(count * lattice.n, copies(lattice.edges), copies(lattice.second_edges))


def is_ring(lattice: Sites) -> bool:
    """Whether the lattice is a periodic chain."""
    return isinstance(lattice, Lattice) and lattice.kind == "chain" and lattice.periodic


def sublattices(n: int, edges: np.ndarray) -> np.ndarray | None:
    """Signs (n,), opposite at the ends of every bond; None if not bipartite."""
    # of two copies of the sites, joined by every bond from one to the other, a part
    # contains one sublattice here and the other one there
    bonds = np.concatenate([edges, edges[:, ::-1]]) + np.array([0, n])
    graph = coo_array((np.ones(len(bonds)), tuple(bonds.T)), shape=(2 * n, 2 * n))
    _, part = connected_components(graph, directed=False)
    here, there = part[:n], part[n:]
    return None if np.any(here == there) else np.where(here < there, 1, -1)


def spins(x: Array) -> Array:
    """sigma^z = 1 - 2 x of levels 0 and 1, in the default floating-point type."""
    return 1 - 2 * x.astype(jnp.result_type(float))

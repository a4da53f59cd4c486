"""Lattices: bonds, sublattices, and symmetries that map bonds to bonds."""

import itertools

import numpy as np
import pytest

from hamiltonians import TransverseFieldIsing
from nqs.ansatze import LatticeConv, Symmetrized
from nqs.ansatze.spin_jastrow import SpinJastrow
from nqs.contracts import check_fields
from nqs.space.lattice import Graph, Lattice, sublattices

LATTICES = [
    Lattice((5,)),
    Lattice((6,), periodic=False),
    Lattice((4, 3), "square"),
    Lattice((3, 3), "square", periodic=False),
    Lattice((4, 4), "triangular"),
    Lattice((3, 4), "triangular", periodic=False),
]


def multiset(edges):
    return sorted(tuple(sorted(edge)) for edge in edges.tolist())


def distances(lattice):
    """Shortest distances between all sites in the plane of the lattice."""
    slanted = lattice.kind == "triangular"
    basis = np.array([[1, 0], [0.5, 0.75**0.5]]) if slanted else np.eye(2)
    d = len(lattice.extent)
    basis = basis[:d, :d]
    difference = lattice.coordinates[:, None] - lattice.coordinates[None]
    turns = (0,) if not lattice.periodic else (-1, 0, 1)
    images = [
        (difference + np.array(turn) * np.array(lattice.extent)) @ basis
        for turn in itertools.product(turns, repeat=d)
    ]
    return np.min([np.linalg.norm(image, axis=-1) for image in images], axis=0)


@pytest.mark.parametrize("lattice", LATTICES, ids=str)
def test_neighbors_are_the_sites_at_the_smallest_distances(lattice):
    r = distances(lattice)
    lengths = np.unique(np.round(r[r > 0], 9))
    second = lengths[1]
    for edges, length in ((lattice.edges, 1.0), (lattice.second_edges, second)):
        np.testing.assert_allclose(r[edges[:, 0], edges[:, 1]], length)
        pairs = np.argwhere(np.isclose(np.triu(r), length))
        assert set(multiset(edges)) == set(multiset(pairs))


def test_bonds_around_two_sites_count_twice():
    assert multiset(Lattice((2,)).edges) == [(0, 1), (0, 1)]
    assert multiset(Lattice((2,), periodic=False).edges) == [(0, 1)]


@pytest.mark.parametrize(
    "lattice, turns, all_of_them",
    [*zip(LATTICES, [2, 2, 4, 8, 12, 2], [10, 2, 48, 8, 192, 2], strict=True)],
    ids=str,
)
def test_symmetries_form_a_group_that_maps_bonds_to_bonds(lattice, turns, all_of_them):
    group = lattice.symmetries
    assert len(lattice.point_group) == turns and len(group) == all_of_them
    found = {tuple(g) for g in group.tolist()}
    assert len(found) == len(group)
    assert tuple(range(lattice.n)) in found
    for g, h in zip(group, group[::-1], strict=True):
        assert tuple(g[h].tolist()) in found
        assert tuple(np.argsort(g).tolist()) in found
    for edges in (lattice.edges, lattice.second_edges):
        for g in group:
            assert multiset(g[edges]) == multiset(edges)


def test_translations_of_a_torus_map_a_site_to_every_site():
    lattice = Lattice((4, 3), "square")
    assert sorted(lattice.translations[:, 5]) == list(range(12))
    np.testing.assert_array_equal(lattice.translations[0], np.arange(12))
    assert len(Lattice((6,), periodic=False).translations) == 1


def test_sublattices_are_opposite_across_every_bond():
    for lattice in (Lattice((6,)), Lattice((4, 4), "square"), LATTICES[3]):
        signs = sublattices(lattice.n, lattice.edges)
        assert signs is not None
        i, j = lattice.edges.T
        assert np.all(signs[i] == -signs[j]) and {*signs.tolist()} == {1, -1}
    for lattice in (Lattice((5,)), Lattice((4, 3), "square"), LATTICES[4]):
        assert sublattices(lattice.n, lattice.edges) is None


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Lattice((4,), "kagome"), "chain, square, triangular, got 'kagome'"),
        (
            lambda: Lattice((4, 4)),
            r"tuple of 1 numbers of sites for a chain lattice, got \(4, 4\)",
        ),
        (lambda: Lattice((4, 1), "square"), "extent must be an integer >= 2, got 1"),
        (lambda: Graph(0, ()), "n must be an integer >= 1, got 0"),
        (lambda: Graph(2, ((0, 2),)), r"sites 0 to 1, got \(0, 2\)"),
        (lambda: Graph(2, ((1, 1),)), "two different sites"),
    ],
)
def test_invalid_lattices_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_ansatz_of_another_lattice_is_refused():
    ring, chain = Lattice((6,)), Lattice((6,), periodic=False)
    torus = Lattice((2, 3), "square")
    edges = tuple((int(i), int(j)) for i, j in ring.edges)
    for ansatz in (LatticeConv(ring, (3,)), Symmetrized(SpinJastrow(), ring)):
        for same in (ring, Graph(6, edges)):
            check_fields(ansatz, TransverseFieldIsing(same))
        for other in (chain, torus, Graph(5, edges[:4])):
            message = (
                f"lattice of {type(ansatz).__name__} must equal that of Transverse"
            )
            with pytest.raises(ValueError, match=message):
                check_fields(ansatz, TransverseFieldIsing(other))

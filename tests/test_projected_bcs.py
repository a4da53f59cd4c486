"""Electron pairs without doubly occupied sites, alone and times other factors."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import Heisenberg
from nqs.ansatze import (
    BinaryRBM,
    LatticeProduct,
    ProjectedBCS,
    SpinJastrow,
    Symmetrized,
)
from nqs.ansatze.projected_bcs import away_from_node, off_node
from nqs.moves import where
from nqs.space.lattice import Graph, Lattice
from nqs.space.pairing import parity
from tests.cases import few, further
from tests.drawn import parameters

SIX, RING, TEN = Lattice((6,)), Lattice((8,)), Lattice((10,))
LADDER, SQUARE = Lattice((4, 2), "square"), Lattice((4, 4), "square")
CASES = {
    "ring": ProjectedBCS(RING),
    "ring of ten": ProjectedBCS(TEN),
    "ladder": ProjectedBCS(LADDER),
    "square": ProjectedBCS(SQUARE),
    "square without turned spins": ProjectedBCS(SQUARE, marshall=False),
    "pairs and a machine": LatticeProduct(
        (ProjectedBCS(LADDER), BinaryRBM(1, complex=True))
    ),
    "pairs and an average": LatticeProduct(
        (ProjectedBCS(SIX), Symmetrized(SpinJastrow(), SIX))
    ),
    "average": Symmetrized(ProjectedBCS(SQUARE), SQUARE),
    "average of a product": Symmetrized(
        LatticeProduct((ProjectedBCS(RING), BinaryRBM(1, lattice=RING))), RING
    ),
}


def lattice(ansatz):
    base = getattr(ansatz, "base", ansatz)
    return (base.factors[0] if isinstance(base, LatticeProduct) else base).lattice


def start(name, seed=0):
    """Random parameters, and as many spins up as down."""
    ansatz, n = CASES[name], lattice(CASES[name]).n
    x = np.random.default_rng(seed).permutation(np.arange(n) % 2)
    return parameters(ansatz, x, seed, scale=1.0), x


def values(ansatz, params, x):
    """Psi (c,) of configurations (c, s)."""
    psi = jax.jit(jax.vmap(ansatz.apply, (None, 0)))(params, np.asarray(x))
    return np.asarray(psi.sign) * np.exp(psi.logabs)


def exchanged(x, sites):
    """Configurations (c, s) after exchanges (c, 2) of levels x (s,)."""
    found = np.tile(x, (len(sites), 1))
    np.put_along_axis(found, sites, x[sites[:, ::-1]], axis=1)
    return found


@functools.partial(jax.jit, static_argnums=0)
def first(ansatz, x):
    """Psi (c,) of configurations (c, s), with initial parameters."""
    return jax.vmap(ansatz.apply, (None, 0))(ansatz.init(jax.random.key(0), x[0]), x)


@pytest.mark.parametrize("n", [6, *further(8, 10)])
def test_the_fermi_sea_of_a_ring_is_the_state_of_haldane_and_shastry(n):
    """psi = prod_{i<j} sin^2(pi (r_i - r_j) / n) of the spins up, of one sign.

    F. D. M. Haldane, Phys. Rev. Lett. 60, 635 (1988).
    """
    ansatz, h = ProjectedBCS(Lattice((n,)), stddev=0.0), n // 2
    up = np.array(list(itertools.combinations(range(n), h)))
    x = np.ones((len(up), n), int)
    np.put_along_axis(x, up, 0, axis=1)
    psi = jax.device_get(first(ansatz, x))
    i, j = np.triu_indices(h, 1)
    exact = 2 * np.sum(np.log(np.abs(np.sin(np.pi * (up[:, i] - up[:, j]) / n))), 1)
    np.testing.assert_array_equal(psi.sign, psi.sign[0])
    found = psi.logabs - psi.logabs[0]
    np.testing.assert_allclose(found, exact - exact[0], atol=1e-9)


@pytest.mark.parametrize("name", ["ring", "square without turned spins"])
def test_pairs_are_singlets(name):
    """All pairs of spins coupled alike: sum_{i<j} S_i . S_j = -3 n / 8 without spin."""
    sites = lattice(CASES[name])
    bonds = tuple(itertools.combinations(range(sites.n), 2))
    model = Heisenberg(Graph(sites.n, bonds), marshall=False)
    ansatz = ProjectedBCS(sites, marshall=False)
    energy = jax.jit(lambda params, x: model.local_energy(ansatz, params, x))
    for seed in range(3):
        assert energy(*start(name, seed)) == pytest.approx(-3 * sites.n / 8, rel=1e-9)


@pytest.mark.parametrize(
    "name", few(CASES, "pairs and an average", "average of a product")
)
def test_ratios_and_moves_match_values_of_psi(name):
    ansatz, n = CASES[name], lattice(CASES[name]).n
    params, x = start(name)
    sites = np.array([*itertools.combinations(range(n), 2)])
    sites = np.concatenate([sites, sites[:, ::-1]])
    order = np.random.default_rng(1).permutation(len(sites))[:12]

    @jax.jit
    def ratios(params, x):
        tables = ansatz.site_tables(params)

        def move(carry, change):
            x, cache = carry
            all_of = ansatz.site_ratios(tables, cache, x, sites, x[sites[:, ::-1]])
            new = x[change[::-1]]
            ratio, cache = ansatz.site_move(tables, cache, x, change, new)
            return (x.at[change].set(new), cache), jnp.append(all_of, ratio)

        start = x, ansatz.site_cache(tables, x)
        return jax.lax.scan(move, start, sites[order])[1]

    found, rows = ratios(params, x), []
    for change in sites[order]:
        (there,) = exchanged(x, change[None])
        rows.append(np.stack([x, *exchanged(x, sites), there]))
        x = there
    psi = values(ansatz, params, np.concatenate(rows)).reshape(len(rows), -1)
    expected = psi[:, 1:] / psi[:, :1]
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9 * scale)


def test_other_changes_than_exchanges_have_no_ratio():
    ansatz, (params, x) = CASES["ring"], start("ring")
    sites, new = np.array([[0, 1], [2, 5]]), np.zeros((2, 2), int)

    @jax.jit
    def ratios(params, x):
        tables = ansatz.site_tables(params)
        return ansatz.site_ratios(tables, ansatz.site_cache(tables, x), x, sites, new)

    found = ratios(params, x)
    equal = [np.all(x[pair] == 0) for pair in sites]
    np.testing.assert_array_equal(found, np.where(equal, 1, 0))
    assert values(ansatz, params, np.zeros((1, 8), int)) == 0
    one = sites[0, :1], new[0, :1]

    def move(params, x):
        tables = ansatz.site_tables(params)
        return ansatz.site_move(tables, ansatz.site_cache(tables, x), x, *one)

    with pytest.raises(ValueError, match="exchange two sites, got changes of 1"):
        jax.eval_shape(move, params, x)


@pytest.mark.parametrize(
    "name, count", [("ring", 16), ("ring of ten", 20), ("ladder", 16), ("square", 32)]
)
def test_symmetries_are_those_that_leave_psi_as_it_is(name, count):
    ansatz, (params, x) = CASES[name], start(name)
    sites = lattice(ansatz)
    own = {tuple(g) for g in ansatz.invariances().tolist()}
    assert len(own) == count
    found = values(ansatz, params, x[np.array([range(sites.n), *own])])
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


@pytest.mark.parametrize("extent", [(2,), (4,), (2, 2), (4, 2), (2, 6)])
def test_small_lattices_have_pairs(extent):
    sites = Lattice(extent, "chain" if len(extent) == 1 else "square")
    ansatz, n = ProjectedBCS(sites), sites.n
    x = np.array([x for x in itertools.product((0, 1), repeat=n) if 2 * sum(x) == n])
    psi = jax.device_get(first(ansatz, x))
    assert np.max(psi.logabs) > -10 and [*range(n)] in ansatz.invariances().tolist()


def test_a_turn_of_the_boundary_is_no_symmetry():
    """Two axes with different signs around the torus; the average needs both."""
    ansatz, square = ProjectedBCS(Lattice((6, 6), "square"), stddev=0.1), (6, 6)
    left = Symmetrized(ansatz, Lattice(square, "square"))._group
    assert len(ansatz.invariances()) == 72 and len(left) == 4


def test_the_product_of_factors_with_other_symmetries_has_the_common_ones():
    pairs = ProjectedBCS(RING)
    whole = LatticeProduct((pairs, BinaryRBM(1, lattice=RING)))
    assert len(pairs.invariances()) == 16 and len(whole.invariances()) == 8
    assert LatticeProduct((pairs, SpinJastrow())).invariances() is None
    x = np.random.default_rng(2).permutation(np.arange(8) % 2)
    params = parameters(whole, x)
    found = values(whole, params, np.stack([x, *x[whole.invariances()]]))
    np.testing.assert_allclose(found, found[0], rtol=1e-6)


def test_a_singular_matrix_changes_in_its_last_digits():
    singular = jnp.ones((3, 3)).at[0, 0].set(2.0)
    found = off_node(singular)
    np.testing.assert_allclose(found, singular, atol=1e-4)
    assert np.all(np.isfinite(np.linalg.inv(found)))
    regular = jnp.eye(3) + 0.1
    np.testing.assert_array_equal(off_node(regular), regular)


def test_matrices_with_several_equal_rows_become_regular():
    """Also in a batch, where the largest of numbers with a NaN may be another one."""
    random = np.random.default_rng(0).integers(-2, 3, (64, 8, 8)) / 2
    rows = np.array([[0, 1, 2, 3, 4, 5, 6, 6], [0, 0, 2, 3, 4, 4, 6, 6], [0] * 8])
    for kept in rows:
        found = jax.jit(jax.vmap(off_node))(random[:, kept])
        np.testing.assert_allclose(found, random[:, kept], atol=1e-5)
        assert np.linalg.cond(found).max() < 1e9


@pytest.mark.parametrize(
    "pivot",
    [[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [2.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]],
)
def test_a_pivot_at_a_node_is_moved_off_it_by_little(pivot):
    near, determinant = away_from_node(jnp.array(pivot))
    np.testing.assert_allclose(near, pivot, atol=1e-5)
    assert determinant != 0
    assert determinant == pytest.approx(np.linalg.det(near), rel=1e-6)
    regular = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(away_from_node(regular)[0], regular)


def neel(square):
    return square.coordinates.sum(axis=1) % 2


def inverted(square):
    """A random configuration that inversion about a site keeps, with four sites."""
    sites = np.arange(36)
    partner = np.ravel_multi_index(tuple(-square.coordinates.T % 6), (6, 6))
    pairs = np.random.default_rng(0).permutation(sites[sites < partner])
    x = np.zeros(36, int)
    x[pairs[:8]] = x[partner[pairs[:8]]] = 1
    x[sites[sites == partner][:2]] = 1
    return x


LARGE = Lattice((6, 6), "square")
AVERAGE = Symmetrized(ProjectedBCS(LARGE), LARGE)


@jax.jit
def walks(params, x, keys):
    """Weights of the terms after moves (k, 40, g), less those made anew; and slopes."""
    tables = AVERAGE.site_tables(params)
    bonds = np.concatenate([LARGE.edges, LARGE.second_edges])

    def move(carry, sites):
        x, cache = carry
        values = x[sites[::-1]]
        ratio, moved = AVERAGE.site_move(tables, cache, x, sites, values)
        new = x.at[sites].set(values), moved
        x, cache = where(jnp.abs(ratio) > 0.5, new, (x, cache))
        weights = AVERAGE.site_cache(tables, x).weights
        return (x, cache), (cache.weights - weights) / jnp.max(jnp.abs(weights))

    def walk(key):
        start = x, AVERAGE.site_cache(tables, x)
        return jax.lax.scan(move, start, jax.random.choice(key, bonds, (40,)))[1]

    slopes = jax.grad(lambda p: AVERAGE.apply(p, x).logabs)(params)
    return jax.lax.map(walk, keys), slopes


@pytest.mark.parametrize("ordered", [neel, inverted])
def test_an_average_passes_nodes_of_its_terms(ordered):
    """Ratios after moves stay those of psi, though terms are zero by symmetry."""
    x = ordered(LARGE)
    params = parameters(AVERAGE, x, seed=3, scale=1.0)
    keys = jax.vmap(jax.random.key)(np.arange(4))
    differences, slopes = walks(params, x, keys)
    np.testing.assert_allclose(differences, 0, atol=0.01)
    assert np.all(np.isfinite(slopes["params"]["pairs"]))


@pytest.mark.parametrize(
    "made, message",
    [
        (lambda: ProjectedBCS(Lattice((3, 4), "square")), "with an even extent"),
        (lambda: ProjectedBCS(Lattice((4,), periodic=False)), "lattice must be"),
        (lambda: ProjectedBCS(Lattice((4, 4), "triangular")), "lattice must be"),
        (lambda: ProjectedBCS(RING, gap=0.0), "gap must be"),
        (lambda: ProjectedBCS(RING, stddev=-1.0), "stddev must be"),
    ],
)
def test_settings_that_do_not_fit_are_refused(made, message):
    with pytest.raises(ValueError, match=message):
        made()


def test_the_sign_of_a_permutation():
    for count in range(5):
        for permutation in itertools.permutations(range(count)):
            matrix = np.eye(count)[list(permutation)]
            assert parity(np.array(permutation)) == round(np.linalg.det(matrix))

"""Orbits of small lattices: psi, ratios and updates against the average itself."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import BoseHubbard, Heisenberg, Potts, TransverseFieldIsing
from nqs.ansatze import (
    BinaryRBM,
    FeedForward,
    LatticeConv,
    RecurrentGRU,
    SpinJastrow,
    Symmetrized,
    SymmetrizedOrbits,
    group_average,
)
from nqs.capabilities import Orbits
from nqs.gradient import by_orbits
from nqs.optimizers import SR, FirstOrder, MinSR, Spring
from nqs.space.lattice import Lattice
from nqs.vmc import VMC
from samplers import Exchange, Flip, Hop, Recolor, SiteMetropolis
from tests.cases import few, further
from tests.drawn import parameters

RING, OPEN = Lattice((6,)), Lattice((5,), periodic=False)
LADDER, SQUARE = Lattice((2, 3), "square"), Lattice((3, 3), "square")
CASES = {
    "all": SymmetrizedOrbits(FeedForward((4,), phase=True), RING),
    "real": SymmetrizedOrbits(SpinJastrow(), LADDER),
    "one sum": SymmetrizedOrbits(BinaryRBM(1, complex=True), RING, totals=(3,)),
    "momentum": SymmetrizedOrbits(
        FeedForward((4,), phase=True), RING, False, (1,), totals=(2,)
    ),
    "momentum of a real base": SymmetrizedOrbits(SpinJastrow(), LADDER, False, (1, 1)),
    "staggered": SymmetrizedOrbits(BinaryRBM(1), RING, True, (3,), totals=(3,)),
    "odd": SymmetrizedOrbits(FeedForward((5,), levels=3), RING, irrep="A2", levels=3),
    "odd under a diagonal": SymmetrizedOrbits(FeedForward((5,)), SQUARE, irrep="B1"),
    "open ends": SymmetrizedOrbits(FeedForward((5,)), OPEN, irrep="A2"),
    "three levels": SymmetrizedOrbits(
        FeedForward((5,), levels=3, phase=True), RING, levels=3
    ),
    "bosons": SymmetrizedOrbits(
        BinaryRBM(1, levels=4, bosons=True), RING, levels=4, totals=(6,)
    ),
    "momentum of bosons": SymmetrizedOrbits(
        BinaryRBM(1, levels=3), RING, False, (2,), levels=3, totals=(4,)
    ),
    "invariant base": SymmetrizedOrbits(LatticeConv(RING, (3,)), RING),
}
WITH_NODES = {"momentum", "momentum of a real base", "odd", "odd under a diagonal"}
WITH_NODES |= {"open ends"}


def average(ansatz):
    """The same psi without a table."""
    fields = dataclasses.fields(Symmetrized)
    return Symmetrized(*(getattr(ansatz, field.name) for field in fields))


@functools.cache
def start(name):
    """Parameters without zeros, and all configurations of the sector."""
    ansatz = CASES[name]
    every = itertools.product(range(ansatz.levels), repeat=ansatz.lattice.n)
    x = np.array([*every])
    if ansatz.totals:
        x = x[x.sum(axis=1) == ansatz.totals]
    return parameters(ansatz, x[0], scale=0.5), x


def values(psi):
    return psi.sign * np.exp(psi.logabs)


@functools.cache
def psi(name):
    """Psi of all x by the table and by the average, and the numbers of the orbits."""
    ansatz, (params, x) = CASES[name], start(name)

    @jax.jit
    def both(params, x):
        tables = ansatz.site_tables(params)
        found = jax.vmap(lambda x: ansatz.site_cache(tables, x).psi)(x)
        expected = jax.vmap(average(ansatz).apply, (None, 0))(params, x)
        return found, expected, jax.vmap(ansatz.orbit)(x)

    return jax.device_get(both(params, x))


@pytest.mark.parametrize(
    "name",
    few(
        CASES,
        "one sum",
        "momentum of a real base",
        "odd under a diagonal",
        "momentum of bosons",
        "invariant base",
    ),
)
def test_psi_of_the_table_is_that_of_the_average(name):
    ansatz, (found, expected, orbits) = CASES[name], psi(name)
    assert found.sign.dtype == expected.sign.dtype
    found, expected = values(found), values(expected)
    largest = np.max(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13 * largest)
    node = orbits == ansatz.n_orbits - 1
    assert np.all(found[node] == 0) and np.all(found[~node] != 0)
    assert np.any(node) == (name in WITH_NODES)


def cycles(permutation):
    """Number of cycles of a permutation (s,)."""
    left, found = set(range(len(permutation))), 0
    while left:
        i, found = left.pop(), found + 1
        while (i := permutation[i]) in left:
            left.remove(i)
    return found


@pytest.mark.parametrize("name", [n for n in CASES if not CASES[n].totals])
def test_number_of_orbits_is_that_of_burnside(name):
    """The multiplicity of the sector among the configurations."""
    ansatz = CASES[name]
    group = ansatz.lattice.symmetries
    if not ansatz.point_group:
        group = ansatz.lattice.translations
    fixed = [float(ansatz.levels) ** cycles(g) for g in group.tolist()]
    chi = np.conj(ansatz._characters(group))
    assert ansatz.n_orbits - 1 == pytest.approx(np.real(np.mean(chi * fixed)))


@pytest.mark.parametrize("lattice, orbits", [((4, 4), 805), ((3, 3), 26)])
def test_orbits_of_a_square_lattice_are_counted(lattice, orbits):
    lattice = Lattice(lattice, "square")
    fixed = [2 ** cycles(g) for g in lattice.symmetries.tolist()]
    assert np.mean(fixed) == orbits
    assert SymmetrizedOrbits(BinaryRBM(), lattice).n_orbits == orbits + 1


@pytest.mark.parametrize(
    "name, precision",
    [
        *further(("all", "float64"), ("momentum", "float64")),
        ("momentum", "float32"),
        ("odd", "float64"),
        *further(("bosons", "float32")),
    ],
)
def test_ratios_of_the_table_are_those_of_the_average(name, precision):
    """After a first move too, from and to configurations of the sector."""
    ansatz, (params, every) = CASES[name], start(name)
    rng, rtol = np.random.default_rng(3), 1e-9 if precision == "float64" else 2e-3
    x = every[rng.integers(len(every), size=32)]
    sites = np.array([[0, 1], [2, 4], [3, 1]])

    def exchanged(x, k):  # exchanges keep the sum
        there = x.copy()
        there[:, sites[k]] = x[:, sites[k, ::-1]]
        return there

    with jax.enable_x64(precision == "float64"):

        @jax.jit
        @functools.partial(jax.vmap, in_axes=(None, 0, 0))
        def ratios(params, x, y):
            tables = ansatz.site_tables(params)
            cache = ansatz.site_cache(tables, x)
            before = ansatz.site_ratios(tables, cache, x, sites, x[sites[:, ::-1]])
            ratio, cache = ansatz.site_move(tables, cache, x, sites[0], y[sites[0]])
            after = ansatz.site_ratios(tables, cache, y, sites, y[sites[:, ::-1]])
            return jnp.concatenate([before, ratio[None], after])

        params = jax.tree.map(lambda leaf: leaf.astype(precision), params)
        y = exchanged(x, 0)
        found = np.asarray(ratios(params, x, y))
    average = dict(zip(map(tuple, every), values(psi(name)[1]), strict=True))
    of_x, of_y = (np.array([average[tuple(row)] for row in z]) for z in (x, y))
    there = [exchanged(x, k) for k in range(3)] + [exchanged(y, k) for k in range(3)]
    there = np.array([[average[tuple(row)] for row in z] for z in there])
    assert found.real.dtype == precision
    assert np.iscomplexobj(found) == np.iscomplexobj(of_x)
    largest = np.max(np.abs([*average.values()]))
    regular = np.abs(of_x) > 1e-5 * largest  # x is no node, up to rounding
    moved = regular & (np.abs(of_y) > 1e-3 * largest)  # nor is it after the move
    assert np.sum(moved) > 8
    wanted = (there[:3] / np.where(regular, of_x, 1)).T
    after = (there[3:] / np.where(moved, of_y, 1)).T
    options = {"rtol": rtol, "atol": rtol}
    np.testing.assert_allclose(found[regular, :3], wanted[regular], **options)
    np.testing.assert_allclose(found[regular, 3], wanted[regular, 0], **options)
    np.testing.assert_allclose(found[moved, 4:], after[moved], **options)


def test_a_node_is_never_entered_and_can_be_left():
    ansatz, (params, _) = CASES["momentum"], start("momentum")
    node, other = np.array([1, 0, 0, 1, 0, 0]), np.array([1, 0, 1, 0, 0, 0])
    sites = np.array([2, 3])

    @jax.jit
    def into_and_out(params, node, other):
        tables = ansatz.site_tables(params)
        cache = ansatz.site_cache(tables, other)
        into = ansatz.site_move(tables, cache, other, sites, node[sites])
        return cache, into, ansatz.site_move(tables, into[1], node, sites, other[sites])

    cache, into, out = jax.device_get(into_and_out(params, node, other))
    assert into[0] == 0 and into[1].psi.sign == 0
    assert 1e100 < abs(out[0]) ** 2 < np.inf
    np.testing.assert_allclose(values(out[1].psi), values(cache.psi), rtol=1e-12)


def test_levels_of_a_small_type_have_the_same_index():
    x = np.array([0, 1, 0, 1, 1, 0] * 2, "int8")  # the index is above 127
    ansatz = SymmetrizedOrbits(BinaryRBM(1), Lattice((12,)))

    @jax.jit
    def moved(params, *both):
        tables, site = ansatz.site_tables(params), np.array([11])
        return [
            ansatz.site_move(tables, ansatz.site_cache(tables, y), y, site, 1 - y[site])
            for y in both
        ]

    found = moved(parameters(ansatz, x), x, x.astype(int))
    assert found[0][1].index == found[1][1].index == int(2**11 + 26 * 65)
    assert found[0][0] == found[1][0]


def test_another_sum_has_the_ratio_zero():
    ansatz, (params, x) = CASES["one sum"], start("one sum")
    sites = np.arange(6)[:, None]

    @jax.jit
    def ratios(params, x):
        tables = ansatz.site_tables(params)
        cache = ansatz.site_cache(tables, x)
        return ansatz.site_ratios(tables, cache, x, sites, 1 - x[sites])

    assert np.all(ratios(params, x[0]) == 0)


TRAININGS = {
    "all": (TransverseFieldIsing(RING), Flip(), MinSR(damping=1e-2)),
    "momentum": (Heisenberg(RING, n_down=2), Exchange(RING), Spring()),
    "staggered": (Heisenberg(RING, marshall=False), Exchange(RING), SR(max_step=None)),
    "three levels": (Potts(RING), Recolor(3), FirstOrder("adam")),
    "bosons": (BoseHubbard(RING, most=3), Hop(RING, 4), FirstOrder("adam")),
}


def flattened(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


@pytest.mark.parametrize("name", few(TRAININGS, "momentum"))
def test_training_by_orbits_is_training_by_walkers(name):
    """Two steps with the same walkers, with orbits that no walker visits."""
    (model, move, optimizer), (params, x) = TRAININGS[name], start(name)
    tabulated = CASES[name]
    walkers = x[np.random.default_rng(4).integers(len(x), size=96)]
    if name == "momentum":  # a random walker at a node has no derivatives
        orbit = jax.jit(jax.vmap(tabulated.orbit))(walkers)
        walkers = walkers[np.asarray(orbit) != tabulated.n_orbits - 1]
    assert len(walkers) > tabulated.n_orbits

    @functools.partial(jax.jit, static_argnums=0)
    def trained(ansatz, params, walkers):
        vmc = VMC(ansatz, model, SiteMetropolis(move), optimizer)
        state = vmc.init(jax.random.key(0), walkers)._replace(params=params)

        def update(state, _):
            terms = vmc.local_terms(state.params, state.sampler.walkers)
            return vmc.update(state, {}, terms)[0], None

        return jax.lax.scan(update, state, length=2)[0].params

    ends = [
        flattened(trained(ansatz, params, walkers))
        for ansatz in (tabulated, average(tabulated))
    ]
    moved = np.max(np.abs(ends[1] - flattened(params)))
    assert moved > 1e-4
    np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=1e-6 * moved)


def test_walkers_of_an_orbit_are_one_with_their_mean_energy():
    ansatz = CASES["one sum"]
    walkers = np.array([[1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 0]] * 8)

    @jax.jit
    def averaged(walkers, energies):
        chosen, means, weights = by_orbits(ansatz, walkers, energies)
        return means, weights, jax.vmap(ansatz.orbit)(chosen)

    means, weights, orbits = jax.device_get(averaged(walkers, np.arange(24.0)))
    assert len(weights) == ansatz.n_orbits == 4
    found = sorted(zip(weights.tolist(), means.tolist(), strict=True))
    # walkers 0, 2, 3, 5, ... are in one orbit, walkers 1, 4, ... in another
    assert found[:2] == [(0, 0), (0, 0)]
    np.testing.assert_allclose(found[2:], [(1 / 3, 11.5), (2 / 3, 11.5)])
    np.testing.assert_allclose(means @ weights, 11.5)
    visited = orbits[weights > 0]
    np.testing.assert_array_equal(visited, np.flatnonzero(weights > 0))


@pytest.mark.parametrize("ansatz", [BinaryRBM(), CASES["one sum"]])
def test_few_walkers_stay_as_they_are(ansatz):
    walkers, energies = np.tile(np.arange(6) % 2, (4, 1)), np.arange(4.0)
    same = by_orbits(ansatz, walkers, energies)
    assert same[0] is walkers and same[1] is energies and same[2] is None


def test_a_table_is_used_where_there_are_few_orbits():
    ring, square = Lattice((20,)), Lattice((4, 4), "square")
    few = group_average(BinaryRBM(), square, 2, (8,), momentum=(2, 2), irrep="B1")
    assert isinstance(few, Orbits) and few.n_orbits == 114
    assert (few.momentum, few.irrep, few.totals) == ((2, 2), "B1", (8,))
    many = group_average(BinaryRBM(), ring, 2, (), point_group=False, momentum=(10,))
    assert type(many) is Symmetrized and many.momentum == (10,)
    assert type(group_average(BinaryRBM(), Lattice((18,)), 2, ())) is Symmetrized


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: SymmetrizedOrbits(BinaryRBM(), RING, totals=(7,)),
            "totals must be an integer >= 0 and <= 6, got 7",
        ),
        (
            lambda: SymmetrizedOrbits(BinaryRBM(), RING, totals=(3, 3)),
            r"totals must be a tuple of at most one sum, got \(3, 3\)",
        ),
        (
            lambda: SymmetrizedOrbits(BinaryRBM(), RING, totals=3),
            "totals must be a tuple of at most one sum, got 3",
        ),
        (
            lambda: SymmetrizedOrbits(BinaryRBM(), RING, levels=1),
            "levels must be an integer >= 2, got 1",
        ),
        (
            lambda: SymmetrizedOrbits(BinaryRBM(), Lattice((20,))),
            "levels .* sites must be at most 262144, got 2 levels of 20 sites",
        ),
        (
            lambda: SymmetrizedOrbits(BinaryRBM(), RING, irrep="B1"),
            "irrep must be one that",
        ),
        (
            lambda: VMC(
                CASES["one sum"],
                Heisenberg(RING, n_down=2),
                SiteMetropolis(Exchange(RING)),
                MinSR(),
            ),
            r"totals of SymmetrizedOrbits must equal that of Heisenberg, \(2,\)",
        ),
        (
            lambda: VMC(CASES["all"], Potts(RING), SiteMetropolis(Recolor(3)), MinSR()),
            "levels of SymmetrizedOrbits must equal that of Potts, 3, got 2",
        ),
    ],
)
def test_invalid_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_base_that_is_zero_outside_of_the_sector_has_a_table():
    base = RecurrentGRU(6, 4, fixed=(3, 3), phase=True)
    ansatz = SymmetrizedOrbits(base, RING, totals=(3,))
    params = parameters(ansatz, np.arange(6) % 2)
    tables = jax.jit(ansatz.site_tables)(params)
    assert np.all(np.isfinite(tables.logabs[:-1])) and ansatz.n_orbits == 4

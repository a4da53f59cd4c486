"""Orbits of small lattices: psi, ratios and updates against the average itself."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

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
from nqs.ratios.sites import site_ratios_of
from nqs.space.lattice import Lattice
from nqs.vmc import VMC
from samplers import Exchange, Flip, Hop, Recolor, SiteMetropolis

RING, OPEN = Lattice((6,)), Lattice((5,), periodic=False)
LADDER, SQUARE = Lattice((2, 3), "square"), Lattice((3, 3), "square")
CASES = {
    "all": SymmetrizedOrbits(BinaryRBM(1, complex=True), RING),
    "real": SymmetrizedOrbits(SpinJastrow(), LADDER),
    "one sum": SymmetrizedOrbits(BinaryRBM(1, complex=True), RING, totals=(3,)),
    "momentum": SymmetrizedOrbits(
        BinaryRBM(1, complex=True), RING, False, (1,), totals=(2,)
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
    flat, unravel = ravel_pytree(jax.jit(ansatz.init)(jax.random.key(1), x[0]))
    rng = np.random.default_rng(2)
    return unravel(flat + 0.3 * rng.normal(size=flat.shape)), x


def values(psi):
    return np.asarray(psi.sign * jnp.exp(psi.logabs))


@pytest.mark.parametrize("name", CASES)
def test_psi_of_the_table_is_that_of_the_average(name):
    ansatz, (params, x) = CASES[name], start(name)

    @jax.jit
    def both(params):
        tables = ansatz.site_tables(params)
        found = jax.vmap(lambda x: ansatz.site_cache(tables, x).psi)(jnp.asarray(x))
        return found, jax.vmap(average(ansatz).apply, (None, 0))(params, jnp.asarray(x))

    found, expected = both(params)
    assert found.sign.dtype == expected.sign.dtype
    found, expected = values(found), values(expected)
    largest = np.max(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13 * largest)
    node = np.asarray(jax.vmap(ansatz.orbit)(jnp.asarray(x))) == ansatz.n_orbits - 1
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
        ("all", "float64"),
        ("momentum", "float64"),
        ("momentum", "float32"),
        ("odd", "float64"),
        ("bosons", "float32"),
    ],
)
def test_ratios_of_the_table_are_those_of_the_average(name, precision):
    """After a first move too, from and to configurations of the sector."""
    ansatz, (params, x) = CASES[name], start(name)
    rng, rtol = np.random.default_rng(3), 1e-9 if precision == "float64" else 2e-3
    with jax.enable_x64(precision == "float64"):
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, precision), params)
        x = jnp.asarray(x[rng.integers(len(x), size=32)])
        sites = jnp.array([[0, 1], [2, 4], [3, 1]])

        @jax.jit
        @jax.vmap
        def ratios(x):
            y = x.at[sites[0]].set(x[sites[0, ::-1]])  # exchanges keep the sum
            found = []
            for way in (ansatz, site_ratios_of(average(ansatz))):
                tables = way.site_tables(params)
                cache = way.site_cache(tables, x)
                before = way.site_ratios(tables, cache, x, sites, x[sites[:, ::-1]])
                move = sites[0], y[sites[0]]
                ratio, cache = way.site_move(tables, cache, x, *move)
                after = way.site_ratios(tables, cache, y, sites, y[sites[:, ::-1]])
                found.append(jnp.concatenate([before, ratio[None], after]))
            return *found, ansatz.apply(params, x).logabs

        found, expected, logabs = ratios(x)
        assert found.dtype == expected.dtype and found.real.dtype == precision
    regular = np.asarray(logabs) > -12  # x is no node, up to rounding
    moved = regular & (np.abs(expected[:, 3]) > 1e-3)  # nor is it after the move
    assert np.sum(moved) > 8
    rows = np.concatenate([found[regular, :4].ravel(), found[moved].ravel()])
    wanted = np.concatenate([expected[regular, :4].ravel(), expected[moved].ravel()])
    np.testing.assert_allclose(rows, wanted, rtol=rtol, atol=rtol)


def test_a_node_is_never_entered_and_can_be_left():
    ansatz, (params, _) = CASES["momentum"], start("momentum")
    tables = ansatz.site_tables(params)
    node, other = jnp.array([1, 0, 0, 1, 0, 0]), jnp.array([1, 0, 1, 0, 0, 0])
    sites = jnp.array([2, 3])
    cache = ansatz.site_cache(tables, other)
    ratio, moved = ansatz.site_move(tables, cache, other, sites, node[sites])
    assert ratio == 0 and moved.psi.sign == 0
    ratio, moved = ansatz.site_move(tables, moved, node, sites, other[sites])
    assert 1e100 < abs(ratio) ** 2 < jnp.inf
    np.testing.assert_allclose(values(moved.psi), values(cache.psi), rtol=1e-12)


def test_levels_of_a_small_type_have_the_same_index():
    x = jnp.asarray([0, 1, 0, 1, 1, 0] * 2, "int8")  # the index is above 127
    ansatz = SymmetrizedOrbits(BinaryRBM(1), Lattice((12,)))
    tables = ansatz.site_tables(ansatz.init(jax.random.key(0), x))
    sites = jnp.array([11])
    found = [
        ansatz.site_move(tables, ansatz.site_cache(tables, y), y, sites, 1 - y[sites])
        for y in (x, x.astype(int))
    ]
    assert found[0][1].index == found[1][1].index == int(2**11 + 26 * 65)
    assert found[0][0] == found[1][0]


def test_another_sum_has_the_ratio_zero():
    ansatz, (params, x) = CASES["one sum"], start("one sum")
    tables, x = ansatz.site_tables(params), jnp.asarray(x[0])
    cache = ansatz.site_cache(tables, x)
    sites = jnp.arange(6)[:, None]
    assert np.all(ansatz.site_ratios(tables, cache, x, sites, 1 - x[sites]) == 0)


TRAININGS = {
    "all": (TransverseFieldIsing(RING), Flip(), MinSR(damping=1e-2)),
    "one sum": (Heisenberg(RING), Exchange(RING), Spring()),
    "momentum": (Heisenberg(RING, n_down=2), Exchange(RING), Spring()),
    "staggered": (Heisenberg(RING, marshall=False), Exchange(RING), SR(max_step=None)),
    "three levels": (Potts(RING), Recolor(3), FirstOrder("adam")),
    "bosons": (BoseHubbard(RING, most=3), Hop(RING, 4), FirstOrder("adam")),
}


@pytest.mark.parametrize("name", TRAININGS)
def test_training_by_orbits_is_training_by_walkers(name):
    """Two steps with the same walkers, with orbits that no walker visits."""
    (model, move, optimizer), (params, x) = TRAININGS[name], start(name)
    tabulated = CASES[name]
    walkers = jnp.asarray(x[np.random.default_rng(4).integers(len(x), size=96)])
    orbit = np.asarray(jax.vmap(tabulated.orbit)(walkers))
    if name == "momentum":  # a random walker at a node has no derivatives
        walkers = walkers[orbit != tabulated.n_orbits - 1]
    assert len(walkers) > tabulated.n_orbits
    ends = []
    for ansatz in (tabulated, average(tabulated)):
        vmc = VMC(ansatz, model, SiteMetropolis(move), optimizer)
        state = vmc.init(jax.random.key(0), walkers)._replace(params=params)

        @jax.jit
        def update(state, vmc=vmc):
            terms = vmc.local_terms(state.params, state.sampler.walkers)
            return vmc.update(state, {}, terms)[0]

        ends.append(ravel_pytree(update(update(state)).params)[0])
    moved = np.max(np.abs(ends[1] - ravel_pytree(params)[0]))
    assert moved > 1e-4
    np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=1e-6 * moved)


def test_walkers_of_an_orbit_are_one_with_their_mean_energy():
    ansatz = CASES["one sum"]
    walkers = jnp.array(
        [[1, 1, 1, 0, 0, 0], [0, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 0]] * 8
    )
    energies = jnp.arange(24.0)
    chosen, means, weights = by_orbits(ansatz, walkers, energies)
    assert weights is not None and len(weights) == ansatz.n_orbits == 4
    found = sorted(
        zip(np.asarray(weights).tolist(), np.asarray(means).tolist(), strict=True)
    )
    # walkers 0, 2, 3, 5, ... are in one orbit, walkers 1, 4, ... in another
    assert found[:2] == [(0, 0), (0, 0)]
    np.testing.assert_allclose(found[2:], [(1 / 3, 11.5), (2 / 3, 11.5)])
    np.testing.assert_allclose(means @ weights, 11.5)
    visited = np.asarray(jax.vmap(ansatz.orbit)(chosen))[weights > 0]
    np.testing.assert_array_equal(visited, np.flatnonzero(weights > 0))


@pytest.mark.parametrize("ansatz", [BinaryRBM(), CASES["one sum"]])
def test_few_walkers_stay_as_they_are(ansatz):
    walkers, energies = jnp.tile(jnp.arange(6) % 2, (4, 1)), jnp.arange(4.0)
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
    params = jax.jit(ansatz.init)(jax.random.key(0), jnp.arange(6) % 2)
    tables = jax.jit(ansatz.site_tables)(params)
    assert np.all(np.isfinite(tables.logabs[:-1])) and ansatz.n_orbits == 4

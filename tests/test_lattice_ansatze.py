"""Ansätze on lattices: formulas, ratios, symmetries, normalization, exact gradients."""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from hamiltonians import Heisenberg, Potts, TransverseFieldIsing
from hamiltonians.references.lanczos import configurations
from nqs.ansatze import (
    BinaryRBM,
    ComplexSites,
    FeedForward,
    LatticeConv,
    LatticeTransformer,
    RecurrentGRU,
    SpinJastrow,
    Symmetrized,
    SymmetrizedOrbits,
)
from nqs.ansatze.recurrent import gated
from nqs.ansatze.site_features import product, products, reciprocal
from nqs.ansatze.symmetrized import representatives
from nqs.ansatze.transformer import patches
from nqs.capabilities import LogDerivatives, SiteRatios
from nqs.gradient import energy_gradient
from nqs.optimizers.derivatives import CenteredDerivatives
from nqs.ratios.sites import EvaluatedRatios, site_ratios_of
from nqs.space.lattice import Graph, Lattice
from tests.cases import at, few, further
from tests.chi_square import p_value
from tests.drawn import parameters

RING, LADDER = Lattice((6,)), Lattice((2, 3), "square")
CASES = {
    "rbm": BinaryRBM(2),
    "complex rbm": BinaryRBM(2, complex=True),
    "rbm of three levels": BinaryRBM(1, levels=3),
    "complex rbm of three levels": BinaryRBM(1, levels=3, complex=True),
    "invariant rbm": BinaryRBM(2, lattice=LADDER, point_group=True),
    "invariant complex rbm": BinaryRBM(2, lattice=RING, complex=True),
    "invariant rbm of three levels": BinaryRBM(1, levels=3, lattice=RING),
    "rbm of three levels of bosons": BinaryRBM(1, levels=3, bosons=True),
    "complex rbm of three levels of bosons": BinaryRBM(
        1, levels=3, bosons=True, complex=True
    ),
    "invariant rbm of three levels of bosons": BinaryRBM(
        1, levels=3, lattice=RING, bosons=True
    ),
    "feed-forward of three levels of bosons": FeedForward((5,), levels=3, bosons=True),
    "jastrow": SpinJastrow(),
    "jastrow of three levels": SpinJastrow(3),
    "feed-forward": FeedForward((5,)),
    "feed-forward of three levels": FeedForward((5,), levels=3, phase=True),
    "conv": LatticeConv(LADDER, (3, 2)),
    "conv of three levels": LatticeConv(RING, (3,), levels=3, phase=True),
    "transformer": LatticeTransformer(LADDER, 1, 4, heads=2, layers=1),
    "transformer of three levels": LatticeTransformer(RING, 2, 4, 2, 2, 3, phase=True),
    "gru": RecurrentGRU(6, 5),
    "deep gru": RecurrentGRU(6, 4, layers=2, levels=3, phase=True),
    "gru with a window": RecurrentGRU(6, 4, window=4, levels=3),
    "cyclic gru": RecurrentGRU(6, 4, levels=3, cyclic=True),
    "average": Symmetrized(BinaryRBM(1, complex=True), RING),
    "average of gru": Symmetrized(RecurrentGRU(6, 4), LADDER),
    "average of complex parameters": ComplexSites(Symmetrized(BinaryRBM(1), RING)),
    "shifted jastrow": Symmetrized(SpinJastrow(3), RING, point_group=False),
    "momentum": Symmetrized(BinaryRBM(1, complex=True), RING, False, (1,)),
    "momentum of a real ansatz": Symmetrized(SpinJastrow(), LADDER, False, (1, 1)),
    "momentum of complex parameters": ComplexSites(
        Symmetrized(BinaryRBM(1), RING, False, (1,))
    ),
    "orbits": SymmetrizedOrbits(BinaryRBM(1, complex=True), RING),
    "orbits of three levels": SymmetrizedOrbits(SpinJastrow(3), RING, False, levels=3),
    "momentum of orbits": SymmetrizedOrbits(SpinJastrow(), LADDER, False, (1, 1)),
    "momentum of orbits of complex parameters": ComplexSites(
        SymmetrizedOrbits(BinaryRBM(1), RING, False, (1,))
    ),
}
PHASES = {
    "feed-forward of three levels",
    "conv of three levels",
    "transformer of three levels",
    "deep gru",
    "average",
    "momentum",
    "momentum of a real ansatz",
    "orbits",
    "momentum of orbits",
}
WITH_RATIOS = [name for name, ansatz in CASES.items() if isinstance(ansatz, SiteRatios)]
INVARIANT = {
    "invariant rbm": LADDER.symmetries,
    "invariant complex rbm": RING.translations,
    "invariant rbm of three levels": RING.translations,
    "invariant rbm of three levels of bosons": RING.translations,
    "conv": LADDER.translations,
    "conv of three levels": RING.translations,
    "transformer": LADDER.translations,
    "transformer of three levels": RING.translations[::2],
    "average": RING.symmetries,
    "average of gru": LADDER.symmetries,
    "average of complex parameters": RING.symmetries,
    "shifted jastrow": RING.translations,
    "orbits": RING.symmetries,
    "orbits of three levels": RING.translations,
}


def levels(name):
    return (
        3
        if "three" in name or name in ("deep gru", "cyclic gru", "shifted jastrow")
        else 2
    )


@functools.cache
def start(name):
    """Random parameters and configurations (8, 6)."""
    x = np.random.default_rng(1).integers(0, levels(name), (8, 6))
    return parameters(CASES[name], x[0], scale=0.5), x


def values(psi):
    return psi.sign * np.exp(psi.logabs)


@functools.cache
def compiled(ansatz):
    return jax.jit(jax.vmap(ansatz.apply, (None, 0)))


def evaluated(ansatz, params, x, block=128):
    """Log psi (m,) of configurations (m, n) by one program for any m."""
    padding = np.repeat(x[:1], -len(x) % block, axis=0)
    blocks = np.concatenate([x, padding]).reshape(-1, block, x.shape[1])
    parts = [compiled(ansatz)(params, some) for some in blocks]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(x)], *parts)


@pytest.mark.parametrize(
    "name",
    few(
        CASES,
        "complex rbm",
        "rbm of three levels of bosons",
        "jastrow",
        "feed-forward",
        "conv",
        "transformer",
        "gru with a window",
        "cyclic gru",
        "average",
        "shifted jastrow",
        "momentum of orbits",
    ),
)
def test_psi_is_a_finite_log_psi_that_differs_between_configurations(name):
    psi = evaluated(CASES[name], *start(name))
    np.testing.assert_allclose(np.abs(psi.sign), 1, rtol=1e-12)
    assert np.all(np.isfinite(psi.logabs)) and np.ptp(psi.logabs) > 1e-3
    complex_psi = "complex" in name or name in PHASES
    assert np.iscomplexobj(psi.sign) == complex_psi


# Changes of one site; every class loops over the sites of a change.
ALONE = "rbm", "complex rbm of three levels", "jastrow", "average", "orbits"


def after(x, sites, new):
    """Configurations (8, 6) with new levels at some sites."""
    changed = x.copy()
    changed[:, sites] = new
    return changed


@pytest.mark.parametrize(
    "name",
    few(
        WITH_RATIOS,
        "complex rbm",
        "invariant rbm of three levels of bosons",
        "jastrow of three levels",
        "average of gru",
        "average of complex parameters",
        "momentum of a real ansatz",
        "orbits",
    ),
)
def test_ratios_and_moves_match_values_of_psi(name):
    ansatz, (params, walkers) = CASES[name], start(name)
    sites, q = np.array([[0, 1], [5, 2], [3, 4]]), levels(name)
    new = np.random.default_rng(3).integers(0, q, (8, 3, 2))
    general = (
        [EvaluatedRatios(ansatz)] if name in ("jastrow", "momentum of orbits") else []
    )

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0, 0))
    def ratios(params, x, new):
        results = []
        for way in (ansatz, *general):
            tables = way.site_tables(params)
            cache = way.site_cache(tables, x)
            single = []
            if name in ALONE:
                single = way.site_ratios(tables, cache, x, sites[:, :1], new[:, :1])

            def moves(carry, move, way=way, tables=tables):
                x, cache = carry  # the cache of the move before
                pairs = way.site_ratios(tables, cache, x, sites, new)
                moved, cache = way.site_move(tables, cache, x, *move)
                carry = x.at[move[0]].set(move[1]), cache
                return carry, jnp.append(pairs, moved)

            _, found = jax.lax.scan(moves, (x, cache), (sites, new))
            results.append(jnp.append(jnp.array(single), found))
        return results

    rows, x = [], walkers
    if name in ALONE:
        rows = [(x, after(x, s[:1], new[:, i, :1])) for i, s in enumerate(sites)]
    for k in range(3):
        rows += [(x, after(x, s, new[:, i])) for i, s in enumerate(sites)]
        rows.append((x, after(x, sites[k], new[:, k])))
        x = rows[-1][1]
    psi = evaluated(ansatz, params, np.reshape(rows, (-1, 6)))
    sizes = np.reshape(psi.logabs, (len(rows), 2, 8))
    regular = np.all(sizes[:, 0] > -20, axis=0)  # a momentum makes psi zero at some x
    assert np.sum(regular) > 2 and (np.all(regular) or "momentum" in name)
    before, there = np.moveaxis(values(psi).reshape(sizes.shape), 1, 0)
    expected = (there[:, regular] / before[:, regular]).T
    assert np.max(np.abs(np.abs(expected) - 1)) > 0.01
    atol = 1e-9 if "momentum" in name else 0  # some ratios are zero
    for found in ratios(params, walkers, new):
        np.testing.assert_allclose(
            np.asarray(found)[regular], expected, rtol=1e-10, atol=atol
        )


def test_site_ratios_of_an_ansatz_without_the_capability_are_evaluated():
    assert set(WITH_RATIOS) == {
        n for n in INVARIANT if "conv" not in n and "transformer" not in n
    } | {n for n in CASES if "rbm" in n or "jastrow" in n or "momentum" in n}
    assert site_ratios_of(CASES["rbm"]) is CASES["rbm"]
    assert isinstance(site_ratios_of(CASES["gru"]), EvaluatedRatios)


@pytest.mark.parametrize("name", INVARIANT)
def test_symmetrized_states_are_invariant_under_the_group(name):
    params, walkers = start(name)
    for x in walkers[:2]:
        psi = values(evaluated(CASES[name], params, x[INVARIANT[name]]))
        np.testing.assert_allclose(psi, psi[0], rtol=1e-10)


@pytest.mark.parametrize(
    "name",
    ["rbm", "complex rbm", "jastrow", "feed-forward", "transformer of three levels"],
)
def test_other_ansatze_are_not_invariant(name):
    params, walkers = start(name)
    shifted = walkers[:, RING.translations[1]]
    psi, there = (evaluated(CASES[name], params, x).logabs for x in (walkers, shifted))
    assert np.max(np.abs(psi - there)) > 1e-2


def test_symmetrized_psi_is_the_mean_over_the_group():
    ansatz, (params, walkers) = CASES["average"], start("average")
    turned = evaluated(ansatz.base, params, walkers[0][RING.symmetries])
    mean = np.mean(values(turned))
    found = values(evaluated(ansatz, params, walkers))[0]
    np.testing.assert_allclose(found, mean, rtol=1e-12)


@pytest.mark.parametrize(
    "base, lattice, left",
    [
        (LatticeConv(LADDER, (3,)), LADDER, 2),
        *further((LatticeTransformer(RING, 2, 4, 2), RING, 4)),
        (BinaryRBM(1, lattice=RING), RING, 2),
        (BinaryRBM(1, lattice=RING, point_group=True), RING, 1),
        *further((BinaryRBM(1), RING, 12)),
    ],
)
def test_average_leaves_out_the_symmetries_of_its_base(base, lattice, left):
    ansatz = Symmetrized(base, lattice)
    assert len(ansatz._group) == left
    x = start("rbm")[1]
    params = parameters(ansatz, x[0], scale=0.5)
    turned = evaluated(ansatz.base, params, x[:, lattice.symmetries].reshape(-1, 6))
    mean = values(turned).reshape(len(x), -1).mean(axis=1)
    psi = evaluated(ansatz, params, x)
    np.testing.assert_allclose(values(psi), mean, rtol=1e-10)


def test_representatives_give_the_mean_over_a_group():
    """Also where the subgroup is not normal, here one reflection of a ring."""
    group = np.random.default_rng(1).permutation(RING.symmetries)
    own = RING.point_group
    x, table = np.random.default_rng(2).random(6), np.random.default_rng(3).random(6)

    def invariant(y):  # under the reflection
        return sum(np.exp(y[h] @ table) for h in own)

    means = [
        np.mean([invariant(x[g]) for g in elements])
        for elements in (group, representatives(group, own))
    ]
    assert len(group) == 2 * len(representatives(group, own))
    np.testing.assert_allclose(means[0], means[1], rtol=1e-12)


@pytest.mark.parametrize("name", ["momentum", "momentum of a real ansatz"])
def test_translation_multiplies_psi_by_the_phase_of_its_momentum(name):
    ansatz, (params, walkers) = CASES[name], start(name)
    lattice, before = ansatz.lattice, values(evaluated(ansatz, params, walkers[:2]))
    for shift, sites in zip(lattice.coordinates, lattice.translations, strict=True):
        turns = np.sum(np.array(ansatz.momentum) * shift / np.array(lattice.extent))
        moved = values(evaluated(ansatz, params, walkers[:2][:, sites]))
        expected = np.exp(2j * np.pi * turns) * before
        np.testing.assert_allclose(moved, expected, rtol=1e-9, atol=1e-10)


def test_momentum_at_the_zone_boundary_keeps_psi_real():
    ansatz = Symmetrized(BinaryRBM(1), RING, False, (3,))
    x = jnp.array([0, 0, 1, 0, 1, 1])
    psi = jax.eval_shape(
        lambda key: ansatz.apply(ansatz.init(key, x), x), jax.random.key(0)
    )
    assert not jnp.issubdtype(psi.sign.dtype, jnp.complexfloating)


@pytest.mark.parametrize("settings", [((1, 1), False), ((1,), True), ((0.5,), False)])
def test_momentum_that_does_not_fit_the_lattice_is_refused(settings):
    momentum, point_group = settings
    with pytest.raises(ValueError, match="momentum must"):
        Symmetrized(BinaryRBM(1), RING, point_group, momentum)


QUARTER, MIRROR, DIAGONAL = ((0, -1), (1, 0)), ((-1, 0), (0, 1)), ((0, 1), (1, 0))
SIXTH, OTHER_DIAGONAL = ((0, -1), (1, 1)), ((0, -1), (-1, 0))
SECTORS = [  # lattice, momentum, irrep, and the sign of psi after each matrix
    (Lattice((6,)), None, "A2", {((-1,),): -1}),
    (Lattice((6,)), (3,), "A2", {((-1,),): -1}),
    (Lattice((5,), periodic=False), None, "A2", {((-1,),): -1}),
    *(
        (
            Lattice((4, 4), "square"),
            momentum,
            irrep,
            dict(zip(turns, signs, strict=True)),
        )
        for turns in [(QUARTER, MIRROR, DIAGONAL)]
        for momentum in (None, (2, 2))
        for irrep, signs in [
            ("A1", (1, 1, 1)),
            ("A2", (1, -1, -1)),
            ("B1", (-1, 1, -1)),
            ("B2", (-1, -1, 1)),
        ]
    ),
    *(
        (
            Lattice((4, 4), "triangular"),
            None,
            irrep,
            dict(zip(turns, signs, strict=True)),
        )
        for turns in [(SIXTH, DIAGONAL, OTHER_DIAGONAL)]
        for irrep, signs in [
            ("A2", (1, -1, -1)),
            ("B1", (-1, -1, 1)),
            ("B2", (-1, 1, -1)),
        ]
    ),
]


@pytest.mark.parametrize("lattice, momentum, irrep, signs", at(SECTORS, 1, 4, 10, 13))
def test_psi_has_the_character_of_its_sector(lattice, momentum, irrep, signs):
    ansatz = Symmetrized(FeedForward((5,), levels=3), lattice, True, momentum, irrep)
    x = np.random.default_rng(5).integers(0, 3, lattice.n)
    center = lattice.coordinates.max(axis=0) * (not lattice.periodic)  # twice

    def level_at(coordinates):
        wrapped = np.moveaxis(coordinates % np.array(lattice.extent), -1, 0)
        return x[np.ravel_multi_index(tuple(wrapped), lattice.extent)]

    turned = [
        level_at(
            ((2 * lattice.coordinates - center) @ np.transpose(matrix) + center) // 2
        )
        for matrix in signs
    ]
    expected = list(signs.values())
    if momentum is not None:
        turned.append(level_at(lattice.coordinates + np.eye(len(center), dtype=int)[0]))
        expected.append(np.cos(2 * np.pi * momentum[0] / lattice.extent[0]))
    params = parameters(ansatz, x, scale=0.5)
    found = values(evaluated(ansatz, params, np.stack([x, *turned]), block=5))
    assert abs(found[0]) > 1e-6
    np.testing.assert_allclose(found[1:] / found[0], expected, rtol=1e-8)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Symmetrized(BinaryRBM(1), RING, irrep="B1"), "irrep must be one that"),
        (lambda: Symmetrized(BinaryRBM(1), RING, irrep="E"), "irrep must be"),
        (lambda: Symmetrized(LatticeConv(RING), RING, False, (1,)), "base must not be"),
        (lambda: Symmetrized(BinaryRBM(1), RING, False, irrep="A2"), "point_group=Fal"),
        (
            lambda: Symmetrized(BinaryRBM(1), Lattice((2, 4), "square"), irrep="A2"),
            "irrep must be one that",
        ),
    ],
)
def test_sectors_that_a_lattice_does_not_have_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_patches_cover_the_lattice_and_displacements_add_to_a_patch():
    lattice = Lattice((4, 6), "square")
    sites, displacements = patches(lattice, 2)
    coarse = lattice.coordinates[sites] // 2  # (6, 4, 2)
    assert np.array_equal(np.sort(sites.ravel()), np.arange(24))
    assert np.all(coarse == coarse[:, :1])
    apart = (coarse[None, :, 0] - coarse[:, None, 0]) % (2, 3)
    np.testing.assert_array_equal(coarse[displacements, 0], apart)


@pytest.mark.parametrize("name", ["rbm", "complex rbm of three levels"])
def test_rbm_is_the_sum_over_its_hidden_units(name):
    ansatz, (params, walkers) = CASES[name], start(name)
    tree = params["params"]
    a, b, w = (np.asarray(tree[k]) for k in ("visible_bias", "hidden_bias", "weights"))
    if ansatz.complex:
        a, b, w = (p[0] + 1j * p[1] for p in (a, b, w))
    psi = values(evaluated(ansatz, params, walkers))
    for x, found in zip(walkers[:3], psi[:3], strict=True):
        v = (1 - 2 * x)[:, None] if ansatz.levels == 2 else np.eye(3)[x]
        theta = b + np.einsum("sf,sfm->m", v, w)
        sums = np.prod([np.exp(theta) + np.exp(-theta)], axis=(0, 1))
        np.testing.assert_allclose(found, np.exp(np.sum(a * v)) * sums, rtol=1e-10)


def test_rbm_with_large_weights_neither_overflows_nor_cancels():
    ansatz = BinaryRBM(1, complex=True)
    x = np.zeros(4, int)
    params = parameters(ansatz, x, scale=0)
    apply = jax.jit(ansatz.apply)
    for theta in (-800 + 1.2j, 800 - 2j, 1e-9 + 0.3j, -3 - 1j):
        bias = np.stack([np.full(4, theta.real), np.full(4, theta.imag)])
        params["params"]["hidden_bias"] = bias
        psi = apply(params, x)
        s = np.sign(theta.real)
        log = 4 * (s * theta + np.log1p(np.exp(-2 * s * theta)))
        np.testing.assert_allclose(psi.logabs, log.real, rtol=1e-12)
        np.testing.assert_allclose(psi.sign, np.exp(1j * log.imag), rtol=1e-9)


def test_jastrow_matches_its_formula():
    ansatz, (params, walkers) = CASES["jastrow"], start("jastrow")
    a, w = (np.asarray(params["params"][k]) for k in ("field", "pairs"))
    psi = evaluated(ansatz, params, walkers)
    for x, found in zip(walkers[:3], psi.logabs[:3], strict=True):
        s = 1 - 2 * x
        pairs = [s[i] * s[j] for i, j in itertools.combinations(range(6), 2)]
        log = np.sum(a[:, 0] * s) + np.sum(w[:, 0, 0] * pairs)
        np.testing.assert_allclose(found, log, rtol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 13])
def test_product_by_halves_matches_numpy(n):
    factors = np.random.default_rng(n).normal(size=n)
    np.testing.assert_allclose(jax.jit(product)(factors), np.prod(factors))


@pytest.mark.parametrize("n", [1, 2, 7, 15, 40, 48])
def test_products_of_blocks_have_fewer_than_twice_as_many_factors(n):
    factors = np.random.default_rng(n).normal(size=n)
    found, powers = jax.jit(lambda *of: [products(f, 8) for f in of])(
        factors, np.full(n, 2.0)
    )
    np.testing.assert_allclose(np.prod(found), factors.prod())
    sizes = np.log2(powers)
    assert np.sum(sizes) == n and np.all(sizes < 16) and np.min(sizes) >= min(n, 8)


@pytest.mark.parametrize("z", [3.0, -2 + 1j, 1e200 - 2e200j, 1e-200j])
def test_reciprocal_of_a_number_neither_overflows_nor_cancels(z):
    np.testing.assert_allclose(jax.jit(reciprocal)(z), 1 / z, rtol=1e-14)


def test_exchanges_of_equal_levels_have_the_ratio_one_in_an_average():
    ansatz, (params, _) = CASES["average"], start("average")
    x, bonds = np.array([0, 0, 1, 0, 1, 1]), np.asarray(RING.edges)

    @jax.jit
    def ratios(params, x, new):
        ways = ansatz, EvaluatedRatios(ansatz)
        tables = [way.site_tables(params) for way in ways]
        return [
            way.site_ratios(table, way.site_cache(table, x), x, bonds, new)
            for way, table in zip(ways, tables, strict=True)
        ]

    found, expected = map(np.asarray, ratios(params, x, x[bonds[:, ::-1]]))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_array_equal(found[x[bonds[:, 0]] == x[bonds[:, 1]]], 1)


@pytest.mark.parametrize("name", ["gru", "deep gru", "cyclic gru"])
def test_autoregressive_states_are_normalized(name):
    params, _ = start(name)
    x = np.array([*itertools.product(range(levels(name)), repeat=6)])
    psi = evaluated(CASES[name], params, x)
    np.testing.assert_allclose(np.sum(np.exp(2 * psi.logabs)), 1, rtol=1e-10)


@pytest.mark.parametrize("name", [*further("gru", "deep gru"), "cyclic gru"])
def test_direct_samples_have_the_probabilities(name):
    ansatz, (params, _) = CASES[name], start(name)
    keys = jax.random.split(jax.random.key(5), 20000)
    samples = jax.jit(jax.vmap(ansatz.sample, (None, 0)))(params, keys)
    x = np.array([*itertools.product(range(levels(name)), repeat=6)])
    psi = evaluated(ansatz, params, x)
    assert p_value(samples, x, np.exp(2 * psi.logabs)) > 1e-4


@pytest.mark.parametrize(
    "name",
    few(
        [n for n, a in CASES.items() if isinstance(a, LogDerivatives)],
        "complex rbm",
        "invariant rbm of three levels of bosons",
        "jastrow of three levels",
        "feed-forward of three levels",
        "gru with a window",
    ),
)
def test_gram_matrix_by_layers_matches_the_dense_jacobian(name):
    ansatz, (params, walkers) = CASES[name], start(name)
    weights = np.full(8, 1 / 8)

    @jax.jit
    def compared(params, walkers):
        flat, unravel = ravel_pytree(params)
        parts = jax.jacrev(lambda flat, x: ansatz.apply(unravel(flat), x).parts)
        gram = CenteredDerivatives(ansatz, params, walkers, weights).gram()
        return jax.vmap(parts, (None, 0))(flat, walkers), gram

    jacobian, found = map(np.asarray, compared(params, walkers))
    rows = (jacobian - jacobian.mean(axis=0)) / np.sqrt(8)
    rows = rows.reshape(-1, jacobian.shape[-1])
    np.testing.assert_allclose(found, rows @ rows.T, atol=1e-10)


# Gradient and metric by full summation against dense linear algebra.

SUMMED = {
    "Ising, complex rbm": (
        TransverseFieldIsing(Lattice((5,))),
        BinaryRBM(1, complex=True),
    ),
    "Heisenberg, rbm": (Heisenberg(RING), BinaryRBM(2)),
    "Potts, gru": (Potts(Lattice((4,))), RecurrentGRU(4, 4, levels=3, phase=True)),
    "Ising, average": (
        TransverseFieldIsing(LADDER, field=2.0),
        Symmetrized(FeedForward((4,), phase=True), LADDER),
    ),
}


GRU = pytest.param("Potts, gru", marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name",
    [
        "Ising, complex rbm",
        *further("Heisenberg, rbm"),
        GRU,
        *further("Ising, average"),
    ],
)
def test_gradient_and_metric_match_full_summation(name):
    model, ansatz = SUMMED[name]
    x = np.asarray(configurations(model))
    params = parameters(ansatz, x[0], scale=0.5)
    size = sum(leaf.size for leaf in jax.tree.leaves(params))

    @jax.jit
    def summed(params, x):
        flat, unravel = ravel_pytree(params)

        def log_psi(flat):
            return jax.vmap(lambda x: ansatz.apply(unravel(flat), x).parts)(x)

        parts = log_psi(flat)
        weights = jax.nn.softmax(2 * parts[:, 0])
        energies = jax.vmap(lambda x: model.local_energy(ansatz, params, x))(x)
        gradient = energy_gradient(ansatz, params, x, energies, weights)
        derivatives = CenteredDerivatives(ansatz, params, x, weights)
        metric = derivatives.metric() if size < len(x) else derivatives.gram()
        jacobian = jax.jacrev(log_psi)(flat)  # (c, k, p)
        return weights, energies, ravel_pytree(gradient)[0], metric, parts, jacobian

    found = map(np.asarray, summed(params, x))
    weights, energies, gradient, metric, parts, jacobian = found
    # E = psi^+ H psi / psi^+ psi with psi a vector and H psi from the local energies
    complex_psi = parts.shape[1] == 2
    d_log = jacobian[:, 0] + (1j * jacobian[:, 1] if complex_psi else 0)
    mean_energy = np.sum(weights * energies)
    assert abs(np.imag(mean_energy)) < 1e-12
    centered = energies - mean_energy
    dense = 2 * np.real((weights * np.conj(centered)) @ d_log)
    np.testing.assert_allclose(gradient, dense, atol=1e-8)
    assert np.linalg.norm(dense) > 1e-2
    rows = d_log - weights @ d_log
    if size < len(x):
        tensor = np.real(rows.conj().T @ (weights[:, None] * rows))
    else:
        parts = [np.real(rows), np.imag(rows)][: 1 + complex_psi]
        stacked = np.sqrt(weights)[:, None, None] * np.stack(parts, axis=1)
        stacked = stacked.reshape(-1, size)
        tensor = stacked @ stacked.T
    np.testing.assert_allclose(metric, tensor, atol=1e-8)


def test_gradient_matches_finite_differences_of_the_energy():
    model, ansatz = SUMMED["Ising, complex rbm"]
    x = np.asarray(configurations(model))
    start = parameters(ansatz, x[0], scale=0.5)
    direction = parameters(ansatz, x[0], seed=1, scale=1)

    @jax.jit
    def energy(step):
        params = jax.tree.map(lambda p, d: p + step * d, start, direction)
        psi = jax.vmap(lambda x: ansatz.apply(params, x))(x)
        weights = jax.nn.softmax(2 * psi.logabs)
        local = jax.vmap(lambda x: model.local_energy(ansatz, params, x))(x)
        gradient = energy_gradient(ansatz, params, x, local, weights)
        slopes = jax.tree.map(lambda g, d: jnp.sum(g * d), gradient, direction)
        return jnp.sum(weights * local).real, sum(jax.tree.leaves(slopes))

    step = 1e-4
    slope = (energy(step)[0] - energy(-step)[0]) / (2 * step)
    np.testing.assert_allclose(energy(0.0)[1], slope, rtol=1e-6)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: BinaryRBM(0), "alpha must be an integer >= 1, got 0"),
        (lambda: BinaryRBM(levels=1), "levels must be an integer >= 2, got 1"),
        (lambda: BinaryRBM(point_group=True), "point_group must be False"),
        (lambda: SpinJastrow(1), "levels must be an integer >= 2, got 1"),
        (lambda: LatticeConv(Lattice((4,), periodic=False)), "periodic Lattice, got"),
        (lambda: LatticeConv(Graph(2, ((0, 1),))), "periodic Lattice, got"),
        (
            lambda: LatticeConv(RING, kernel=1),
            "kernel must be an integer >= 2, got 1",
        ),
        (lambda: LatticeTransformer(RING, 4), r"patch must divide \(6,\) sites, got 4"),
        (lambda: LatticeTransformer(RING, heads=5), "heads must divide features=24"),
        (lambda: LatticeTransformer(Graph(2, ((0, 1),))), "periodic Lattice, got"),
        (lambda: RecurrentGRU(0), "n must be an integer >= 1, got 0"),
        (lambda: RecurrentGRU(4, layers=0), "layers must be an integer >= 1"),
        (lambda: RecurrentGRU(4, window=0), "window must be an integer >= 1"),
        (
            lambda: RecurrentGRU(4, fixed=(1, 2)),
            r"fixed must be 2 .* sum 4, got \(1, 2\)",
        ),
        (lambda: RecurrentGRU(4, fixed=(4,)), r"sum 4, got \(4,\)"),
        (lambda: RecurrentGRU(4, fixed=(5, -1)), r"sum 4, got \(5, -1\)"),
        (lambda: RecurrentGRU(4, fixed=(2, 2), cyclic=True), "cyclic must be False"),
    ],
)
def test_invalid_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_recurrent_ansatz_of_another_number_of_sites_is_refused():
    ansatz = RecurrentGRU(4)
    with pytest.raises(ValueError, match=r"must have shape \(4,\), got \(5,\)"):
        ansatz.init(jax.random.key(0), np.zeros(5, int))


def test_a_state_of_fixed_magnetization_is_normalized_and_vanishes_elsewhere():
    ansatz = RecurrentGRU(6, 4, levels=3, phase=True, fixed=(1, 2, 3))
    x = np.array([*itertools.product(range(3), repeat=6)])
    params = parameters(ansatz, x[0], scale=0.5)

    @jax.jit
    def log_psi(params, x):
        def logabs(params, x):
            return ansatz.apply(params, x).logabs

        gradient = jax.grad(logabs)(params, inside_one)
        return jax.vmap(logabs, (None, 0))(params, x), gradient

    inside_one = np.array([0, 1, 1, 2, 2, 2])
    logabs, gradient = log_psi(params, x)
    found = np.exp(2 * np.asarray(logabs))
    counts = np.stack([np.sum(x == level, axis=1) for level in range(3)], axis=1)
    inside = np.all(counts == (1, 2, 3), axis=1)
    assert np.sum(inside) == 60 and found.sum() == pytest.approx(1, rel=1e-12)
    assert np.all(found[~inside] == 0) and np.all(found[inside] > 0)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_cyclic_state_is_invariant_under_a_shift_of_levels():
    ansatz, (params, walkers) = CASES["cyclic gru"], start("cyclic gru")
    before, after = (evaluated(ansatz, params, x) for x in (walkers, (walkers + 1) % 3))
    np.testing.assert_allclose(after.logabs, before.logabs, atol=1e-12)


def test_gated_unit_matches_flax():
    """The unit of K. Cho et al. as in `flax.linen.GRUCell`, with the same weights."""
    rng = np.random.default_rng(0)
    x, state = rng.normal(size=5), rng.normal(size=3)
    w, u = rng.normal(size=(5, 9)), rng.normal(size=(3, 9))
    b, c = rng.normal(size=9), np.concatenate([np.zeros(6), rng.normal(size=3)])
    params = {}
    for gate, columns in zip("rzn", np.split(np.arange(9), 3), strict=True):
        params[f"i{gate}"] = {"kernel": w[:, columns], "bias": b[columns]}
        params[f"h{gate}"] = {"kernel": u[:, columns]}
    params["hn"]["bias"] = c[6:]
    cell = nn.GRUCell(3, param_dtype=jnp.float64)
    expected, _ = jax.jit(cell.apply)({"params": params}, state, x)
    found = jax.jit(gated)(x @ w + b, state @ u + c, state)
    np.testing.assert_allclose(found, expected, rtol=1e-12)

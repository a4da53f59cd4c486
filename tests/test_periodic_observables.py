"""Periodic observables against exact values of free fermions and of simple pairs.

Free fermions are drawn without a Markov chain, one after the other, so that walkers are
independent with known errors. `agree` compares the means of all bins together.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nqs.files import config as settings
from nqs.observables.momentum import MomentumDistribution, displacement, hashed_key
from nqs.observables.periodic import OneBodyDensity, PairDistribution, StructureFactor
from nqs.space.box import Box
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from tests.cases import further

CUBE = Box.shaped("cubic", 7.0, 3)
SKEW = Box(((1.0, 0.0), (1.7, 1.1)))  # the shortest vectors are others
SHEAR = Box(((2.0, 0.3, 0.0), (0.4, 1.5, -0.2), (0.9, 0.1, 1.8)))
TWIST = (0.11, 0.23, -0.37)
CLOSED = {0: (), 1: ((0, 0, 0),)}  # wave numbers of the closed shells of a cube
CLOSED[7] = (*CLOSED[1], *map(tuple, np.vstack([np.eye(3), -np.eye(3)]).astype(int)))


def free_fermions(box, numbers, n_walkers, seed):
    """Walkers (w, n, d) of one determinant of plane waves, exactly distributed.

    The density of the next particle is the part of its vector of orbitals that is
    orthogonal to the vectors of the earlier particles. J. B. Hough, M. Krishnapur,
    Y. Peres and B. Virag, Probability Surveys 3, 206 (2006).
    """
    rng = np.random.default_rng(seed)
    n, numbers = len(numbers), np.asarray(numbers)
    fractions = np.zeros((n_walkers, n, box.d))
    basis = np.zeros((n_walkers, n, n), complex)
    for i in range(n):
        waiting = np.arange(n_walkers)
        while len(waiting):
            x = rng.random((len(waiting), box.d))
            orbitals = np.exp(2j * np.pi * x @ numbers.T)
            known = basis[waiting, :i]
            overlaps = np.einsum("wij,wj->wi", known.conj(), orbitals)
            rest = orbitals - np.einsum("wi,wij->wj", overlaps, known)
            weight = np.sum(np.abs(rest) ** 2, axis=1)
            taken = rng.random(len(waiting)) < weight / n
            who = waiting[taken]
            fractions[who, i] = x[taken]
            basis[who, i] = rest[taken] / np.sqrt(weight[taken])[:, None]
            waiting = waiting[~taken]
    return fractions @ box.vectors


def both_spins(box, up, down, n_walkers=4000):
    spins = [free_fermions(box, m, n_walkers, s) for s, m in enumerate((up, down)) if m]
    return np.concatenate(spins, axis=1)


def uniform(box, n, n_walkers=4000):
    return np.random.default_rng(9).random((n_walkers, n, box.d)) @ box.vectors


def measured(observable, walkers, ansatz=None):
    """Values (w, ...) of every walker."""
    at = jax.vmap(lambda x: observable(ansatz, {}, x))
    return np.asarray(jax.jit(at)(jnp.asarray(walkers)))


def p_value(values, expected):
    """Of Hotelling's test of the means of correlated columns of (w, k)."""
    w, k = values.shape
    away = values.mean(axis=0) - expected
    covariance = np.cov(values.T).reshape(k, k) / w
    t_squared = away @ np.linalg.solve(covariance, away)
    return scipy.stats.f(k, w - k).sf(t_squared * (w - k) / (k * (w - 1)))


def agree(values, expected, strict=0.03):
    """Whether means agree; a deviation of 3 % in all bins must be significant."""
    values = np.asarray(values)
    assert p_value(values, expected * (1 + strict) + strict) < 1e-6
    return p_value(values, expected) > 1e-3


# Pair distribution.


def hole(box, numbers, edges):
    """|(1/N) sum_k exp(i k . r)|^2 averaged over the directions and widths of bins."""
    k = np.asarray(numbers).reshape(-1, box.d) @ box.reciprocal
    apart = np.linalg.norm(k[:, None] - k[None], axis=-1).reshape(-1)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    middles, halves = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    r = middles[:, None] + halves[:, None] * nodes
    average = np.mean(np.sinc(apart[:, None, None] * r / np.pi), axis=0)
    return (average * r**2) @ weights / (r**2 @ weights)


@pytest.mark.parametrize("up, down", [*further((7, 0), (7, 7)), (7, 1)])
def test_pair_distribution_of_free_fermions_is_their_exchange_hole(up, down):
    walkers = both_spins(CUBE, CLOSED[up], CLOSED[down], 8000)
    pairs = PairDistribution(CUBE, Spins(up, down), n_bins=6)
    half = pairs.grid[0]
    edges = np.append(pairs.grid - half, pairs.grid[-1] + half)
    assert edges[-1] == pytest.approx(7 ** (1 / 3) / 2)
    n, squares = up + down, up**2 + down**2
    holes = [m**2 * hole(CUBE, CLOSED[m], edges) for m in (up, down) if m]
    equal = 1 - sum(holes) / squares
    opposite = np.ones(6)
    exact = [equal, opposite, (squares * equal + 2 * up * down * opposite) / n**2]
    found = measured(pairs, walkers)
    assert found.shape == (8000, len(pairs.curves), 6)
    for name, row, expected in zip(pairs.curves, range(3), exact, strict=False):
        assert agree(found[:, row], expected), name
    assert len(pairs.curves) == (3 if down else 1)


def test_uncorrelated_equal_spins_have_g_of_one_minus_one_over_n():
    found = measured(
        PairDistribution(SKEW, Spins(3, 2), n_bins=5), uniform(SKEW, 5, 20000)
    )
    equal = 1 - 5 / 13  # of 9 + 4 only 6 + 2 are pairs
    assert agree(found[:, 0], equal * np.ones(5))
    assert agree(found[:, 1], np.ones(5))
    assert agree(found[:, 2], 20 / 25 * np.ones(5))


@pytest.mark.parametrize("box", [SKEW, SHEAR], ids=["two", "three"])
def test_every_pair_is_counted_at_its_nearest_image(box):
    pairs = PairDistribution(box, Spins(2, 3), n_bins=4)
    walkers = 5 * uniform(box, 5, 6)
    ranges = itertools.product(range(-18, 19), repeat=box.d)
    images = np.array(list(ranges)) @ box.vectors
    ball = {2: np.pi, 3: 4 * np.pi / 3}[box.d]
    edges = np.linspace(0, box.inradius, 5)
    volumes = ball * np.diff(edges**box.d)
    rows = {"equal spins": 2**2 + 3**2, "opposite spins": 2 * 2 * 3, "all": 5**2}
    for x, found in zip(walkers, measured(pairs, walkers), strict=True):
        counts = dict.fromkeys(rows, np.zeros(4))
        for i, j in itertools.permutations(range(5), 2):
            r = np.min(np.linalg.norm(x[i] - x[j] + images, axis=-1))
            counted = np.histogram([r], edges)[0]
            kind = "equal spins" if (i < 2) == (j < 2) else "opposite spins"
            counts[kind] = counts[kind] + counted
            counts["all"] = counts["all"] + counted
        g = [counts[k] * box.volume / rows[k] / volumes for k in pairs.curves]
        np.testing.assert_allclose(found, g, atol=1e-12)


def test_rows_are_those_of_existing_pairs():
    x = uniform(CUBE, 2, 1)
    for up, down, curves in [
        (2, 0, ("equal spins",)),
        (0, 2, ("equal spins",)),
        (1, 1, ("opposite spins",)),
    ]:
        pairs = PairDistribution(CUBE, Spins(up, down), n_bins=3)
        assert pairs.curves == curves and measured(pairs, x).shape == (1, 1, 3)


# Structure factor.


def shells_of(box, n_shells, twist=None):
    """Integers of the shells of smallest |k|, a list for each, by brute force."""
    every = np.array(list(itertools.product(range(-14, 15), repeat=box.d)))
    shift = np.zeros(box.d) if twist is None else np.asarray(twist)
    lengths = np.linalg.norm((every + shift) @ box.reciprocal, axis=1)
    rounded = np.round(lengths, 8)
    return [every[rounded == length] for length in np.unique(rounded)[:n_shells]]


@pytest.mark.parametrize("up, down", [*further((7, 0)), (7, 7)])
def test_structure_factor_of_free_fermions_counts_their_holes(up, down):
    exact = []
    for shell in shells_of(CUBE, 9)[1:]:
        overlaps = [  # a momentum k leads from one occupied orbital to another
            tuple(np.add(q, k)) in occupied
            for k in shell.tolist()
            for occupied in (CLOSED[up], CLOSED[down])
            for q in occupied
        ]
        exact.append(1 - sum(overlaps) / len(shell) / (up + down))
    assert exact[0] < 0.8 and exact[-1] == 1
    factor = StructureFactor(CUBE, Spins(up, down), n_shells=8)
    found = measured(factor, both_spins(CUBE, CLOSED[up], CLOSED[down]))
    assert found.shape == (4000, len(factor.curves), 8)
    for row, name in enumerate(factor.curves):  # the spins are independent
        assert agree(found[:, row], np.array(exact)), name
    assert factor.curves == (("charge", "spin") if down else ("charge",))


def test_structure_factor_without_correlation_is_one():
    found = measured(StructureFactor(SKEW, Spins(3, 2), n_shells=6), uniform(SKEW, 5))
    assert agree(found[:, 0], np.ones(6)) and agree(found[:, 1], np.ones(6))


@pytest.mark.parametrize("box", [CUBE, SKEW, SHEAR], ids=["cube", "two", "three"])
def test_structure_factor_is_the_mean_over_the_vectors_of_a_shell(box):
    factor = StructureFactor(box, Spins(2, 3), n_shells=7)
    walkers, signs = uniform(box, 5, 4), np.array([1, 1, -1, -1, -1])
    shells = [numbers @ box.reciprocal for numbers in shells_of(box, 8)[1:]]
    lengths = [np.linalg.norm(k[0]) for k in shells]
    np.testing.assert_allclose(factor.grid, lengths, rtol=1e-12)
    for x, found in zip(walkers, measured(factor, walkers), strict=True):
        waves = [np.exp(1j * k @ x.T) for k in shells]
        charge = [np.mean(np.abs(wave.sum(axis=1)) ** 2) / 5 for wave in waves]
        spin = [np.mean(np.abs(wave @ signs) ** 2) / 5 for wave in waves]
        np.testing.assert_allclose(found, [charge, spin], rtol=1e-10)


@pytest.mark.parametrize("twist", [None, (0.3, -0.2), (2.3, -3.6)])
@pytest.mark.parametrize("cell", [((1.0, 0.0), (0.0, 1.0)), ((1.0, 0.0), (3.4, 1.1))])
def test_lowest_shells_equal_brute_force(cell, twist):
    box, shift = Box(cell), np.zeros(2) if twist is None else np.asarray(twist)
    shells = shells_of(box, 25, twist)
    lengths = [np.linalg.norm((m[0] + shift) @ box.reciprocal) for m in shells]
    for n in range(1, 26):
        momenta = MomentumDistribution(box, Spins(1, 0), twist, n_shells=n)
        np.testing.assert_allclose(momenta.grid, lengths[:n], rtol=1e-12, atol=1e-12)


# Momentum distribution.


def real_determinants(box, spins):
    """cos and sin of every pair k, -k of closed shells, for each spin."""

    def psi(params, x):
        sign, logabs, start = jnp.ones((), x.dtype), jnp.zeros((), x.dtype), 0
        for numbers in filter(len, spins):
            phases = x[start : start + len(numbers)] @ (numbers @ box.reciprocal).T
            first = np.array([tuple(m) >= (0,) * box.d for m in numbers])
            matrix = jnp.where(first[None, :], jnp.cos(phases), jnp.sin(phases))
            factor, log_det = jnp.linalg.slogdet(matrix)
            sign, logabs = sign * factor, logabs + log_det
            start += len(numbers)
        return LogPsi(sign, logabs)

    return Function(psi)


def complex_determinants(box, spins, twist):
    def psi(params, x):
        sign, logabs, start = jnp.ones((), complex), jnp.zeros(()), 0
        for numbers in filter(len, spins):
            k = (np.asarray(numbers) + np.asarray(twist)) @ box.reciprocal
            phases = x[start : start + len(numbers)] @ k.T
            factor, log_det = jnp.linalg.slogdet(jnp.exp(1j * phases))
            sign, logabs = sign * factor, logabs + log_det
            start += len(numbers)
        return LogPsi(sign, logabs)

    return Function(psi)


@pytest.mark.parametrize("up, down", [*further((7, 0), (0, 7), (7, 7)), (7, 1)])
def test_momentum_distribution_of_free_fermions_is_a_step(up, down):
    spins = CLOSED[up], CLOSED[down]
    momenta = MomentumDistribution(CUBE, Spins(up, down), n_shells=5)
    walkers = both_spins(CUBE, *spins, 1000)
    found = measured(momenta, walkers, real_determinants(CUBE, spins))
    exact = {7: 1, 1: 0.5}[min({up, down} - {0})]
    assert agree(found, np.array([1, exact, 0, 0, 0]), 0.2)


@pytest.mark.parametrize("box", [*further(CUBE), SHEAR], ids=["cube", "skew"])
def test_momentum_distribution_of_twisted_fermions_is_a_step(box):
    """With a twist every k is a separate shell, so that its sign matters."""
    up, down = (box.wave_numbers(n, TWIST).tolist() for n in (4, 3))
    ansatz = complex_determinants(box, (up, down), TWIST)
    momenta = MomentumDistribution(box, Spins(4, 3), TWIST, n_shells=7)
    found = measured(momenta, both_spins(box, up, down, 4000), ansatz)
    assert agree(found, np.array([1, 1, 1, 0.5, 0, 0, 0]), 0.1)
    shells = shells_of(box, 7, TWIST)
    lengths = [np.linalg.norm((m[0] + TWIST) @ box.reciprocal) for m in shells]
    np.testing.assert_allclose(momenta.grid, lengths, rtol=1e-12)


def test_momentum_distribution_averages_over_its_shells():
    """A twist along one axis gives shells of one and two k, one of them occupied."""
    box, twist = Box.shaped("square", 4.0, 2), (0.2, 0.0)
    shells = shells_of(box, 4, twist)
    assert [len(shell) for shell in shells] == [1, 1, 2, 1]
    ansatz = complex_determinants(box, (shells[2][:1],), twist)
    momenta = MomentumDistribution(box, Spins(1, 0), twist, n_shells=4)
    found = measured(momenta, uniform(box, 1), ansatz)
    assert agree(found, np.array([0, 0, 0.5, 0]), 0.1)


def test_momentum_distribution_of_a_correlated_pair():
    """psi = 1 + a cos(b . (x_1 - x_2)): each of +-b holds a^2/4 of 1 + a^2/2."""
    a, b = 1.3, SKEW.reciprocal[1]

    def psi(params, x):
        value = 1 + a * jnp.cos((x[0] - x[1]) @ b)
        return LogPsi(jnp.sign(value), jnp.log(jnp.abs(value)))

    walkers = uniform(SKEW, 2, 40000)
    density = (1 + a * np.cos((walkers[:, 0] - walkers[:, 1]) @ b)) ** 2
    kept = np.random.default_rng(1).random(40000) < density / (1 + a) ** 2
    shells = shells_of(SKEW, 4)
    exact = [
        sum({(0, 0): 1, (0, 1): a**2 / 4, (0, -1): a**2 / 4}.get(m, 0) for m in shell)
        / len(shell)
        / (1 + a**2 / 2)
        for shell in ([tuple(m) for m in shell.tolist()] for shell in shells)
    ]
    assert sum(value > 0 for value in exact) == 2
    momenta = MomentumDistribution(SKEW, Spins(1, 1), n_shells=4)
    found = measured(momenta, walkers[kept], Function(psi))
    assert agree(found, np.array(exact), 0.2)


@pytest.mark.parametrize("dtype", [*further(np.float32), np.float64])
def test_displacements_are_uniform_however_close_the_walkers(dtype):
    x = np.asarray(uniform(SHEAR, 4, 1)[0], dtype)
    walkers = np.tile(x, (4096, 1, 1))
    start = walkers[0, 2, 1:2].view(f"u{x.itemsize}")[0]
    bits = (start + np.arange(4096, dtype=start.dtype)).astype(start.dtype)
    walkers[:, 2, 1] = bits.view(dtype)  # successive floating-point numbers
    s = jax.vmap(lambda x: displacement(SHEAR, hashed_key(x), x.dtype))(
        jnp.asarray(walkers)
    )
    assert s.dtype == dtype
    fractions = np.asarray(s, float) @ np.linalg.inv(SHEAR.vectors)
    for column in fractions.T:
        assert scipy.stats.kstest(column, "uniform").pvalue > 1e-3
    pairs = [(fractions[1:], fractions[:-1]), (fractions, fractions[:, [1, 2, 0]])]
    for one, other in pairs:  # of neighbors, and of one walker
        rho = np.mean((one - 0.5) * (other - 0.5), axis=0) * 12
        assert np.all(np.abs(rho) < 4 / 64)


def test_density_along_lattice_vectors():
    fractions = np.array([[0.1, 0.6, 0.3], [-0.9, 1.6, 0.8], [0.99, 0.3, 2.3]])
    x = jnp.asarray(fractions @ SHEAR.vectors)
    found = OneBodyDensity(SHEAR, n_bins=2)(None, {}, x)
    expected = [[4 / 3, 2 / 3], [2 / 3, 4 / 3], [4 / 3, 2 / 3]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


# Contracts.

OF_SPINS = [
    PairDistribution(CUBE, Spins(2, 1), n_bins=7),
    StructureFactor(CUBE, Spins(2, 1), n_shells=4),
    MomentumDistribution(CUBE, Spins(2, 1), TWIST, n_shells=4),
]
OBSERVABLES = [*OF_SPINS, OneBodyDensity(CUBE, n_bins=5)]


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: o.name)
def test_observable_has_the_shape_of_its_grid_and_the_dtype_of_positions(
    observable, strict_dtypes
):
    flat = Function(
        lambda params, x: LogPsi(jnp.ones((), x.dtype), jnp.zeros((), x.dtype))
    )
    rows = len(getattr(observable, "curves", ()))
    for dtype in (jnp.float32, jnp.float64):
        value = jax.eval_shape(
            lambda x: observable(flat, {}, x), jax.ShapeDtypeStruct((3, 3), dtype)
        )
        shape = observable.grid.shape
        assert value.shape == ((rows, *shape) if rows else shape)
        assert value.dtype == dtype
    again = settings.from_json(settings.to_json(observable))
    assert again == observable and hash(again) == hash(observable)


@pytest.mark.parametrize("observable", OF_SPINS, ids=lambda o: o.name)
def test_positions_of_wrong_shape_raise(observable):
    message = r"x must have shape \(3, 3\), got \(4, 3\)"
    with pytest.raises(ValueError, match=message):
        observable(None, {}, jnp.zeros((4, 3)))
    with pytest.raises(ValueError, match=r"x must have shape .* got \(3, 2\)"):
        observable(None, {}, jnp.zeros((3, 2)))


@pytest.mark.parametrize(
    "part, values, message",
    [
        (PairDistribution, (Spins(1),), "at least two particles, got Spins.up=1"),
        (PairDistribution, (2,), "spins must be Spins.up, down., got 2"),
        (PairDistribution, (Spins(2, 1), 0), "n_bins must be an integer >= 1, got 0"),
        (StructureFactor, (Spins(1), 0), "n_shells must be an integer >= 1, got 0"),
        (MomentumDistribution, (Spins(1), (0.5,)), "twist must be d=3 numbers"),
        (MomentumDistribution, (Spins(1), None, 2.0), "n_shells must be .* got 2.0"),
    ],
)
def test_invalid_settings_raise(part, values, message):
    with pytest.raises(ValueError, match=message):
        part(CUBE, *values)


def test_density_without_bins_raises():
    with pytest.raises(ValueError, match="n_bins must be an integer >= 1, got 0"):
        OneBodyDensity(CUBE, 0)

"""Spin-independent backflow: exchanges, symmetries, and initial state."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from nqs.ansatze import PlaneWaveSlater, SingletBackflow
from nqs.ansatze.singlet_operator import (
    mixed_orbitals,
    mixed_pairs,
    pair_table,
    row_table,
)
from nqs.capabilities import ExchangeRatios
from nqs.laplacian.kinetic import kinetic_energy
from nqs.ratios.exchange import exchange_ratios, total_spin
from nqs.space.box import Box
from nqs.space.spins import Spins
from nqs.types import Function
from tests.cases import further
from tests.drawn import parameters

SMALL = {"layers": 2, "width": 4, "channels": 2}
ONE_LAYER = {"layers": 1, "width": 4, "channels": 2}
CUBE = Box.shaped("cubic", 60.0, 3)
SQUARE = Box.shaped("square", 20.0, 2)
CASES = {
    "orbitals": SingletBackflow(Spins(5, 5), SQUARE, **ONE_LAYER),
    "pairs": SingletBackflow(Spins(2, 2), CUBE, pairing=True, **ONE_LAYER),
    "unpaired": SingletBackflow(Spins(3, 2), CUBE, pairing=True, **SMALL),
    "closed shells of pairs": SingletBackflow(
        Spins(7, 7), CUBE, pairing=True, **ONE_LAYER
    ),
}
UNPAIRED = pytest.param("unpaired", marks=pytest.mark.slow)


@functools.cache
def start(name):
    """An ansatz, its compiled psi, walkers (3, n, d) and parameters."""
    ansatz = CASES[name]
    n, box = ansatz.spins.up + ansatz.spins.down, ansatz.box
    rng = np.random.default_rng(0)
    walkers = rng.uniform(size=(3, n, box.d)) * box.vectors[0, 0]
    apply = jax.jit(jax.vmap(ansatz.apply, (None, 0)))
    return ansatz, apply, walkers, parameters(ansatz, walkers[0], scale=0.5)


@functools.cache
def ratios(name):
    """Compiled ratios of psi under exchanges, from the ansatz."""
    ansatz = CASES[name]
    return jax.jit(lambda p, x: exchange_ratios(ansatz, p, x, ansatz.spins))


def ratios_of_psi(name, params, x):
    """The same from psi at exchanged positions."""
    ansatz, apply, *_ = start(name)
    n_up, n_down = ansatz.spins.up, ansatz.spins.down
    every = [x]
    for i, j in itertools.product(range(n_up), range(n_up, n_up + n_down)):
        order = np.arange(len(x))
        order[[i, j]] = j, i
        every.append(x[order])
    every += [x] * (-len(every) % 3)  # in the shape of other tests
    found = [
        apply(params, walkers) for walkers in np.split(np.stack(every), len(every) // 3)
    ]
    sign, logabs = (
        np.concatenate(leaves)[: 1 + n_up * n_down]
        for leaves in zip(*found, strict=True)
    )
    ratio = sign[1:] * sign[0] * np.exp(logabs[1:] - logabs[0])
    return ratio.reshape(n_up, n_down)


@pytest.mark.parametrize("name", ["orbitals", *further("pairs"), UNPAIRED])
def test_exchange_ratios_match_ratios_of_psi(name):
    ansatz, _, walkers, params = start(name)
    assert isinstance(ansatz, ExchangeRatios)
    expected = ratios_of_psi(name, params, walkers[0])
    found = ratios(name)(params, walkers[0])
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.further
def test_exchange_ratios_of_any_ansatz_are_ratios_of_psi():
    ansatz, _, walkers, params = start("pairs")
    plain = Function(ansatz.apply)
    assert not isinstance(plain, ExchangeRatios)
    found = jax.jit(lambda x: exchange_ratios(plain, params, x, ansatz.spins))
    expected = ratios_of_psi("pairs", params, walkers[0])
    np.testing.assert_allclose(found(walkers[0]), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["orbitals", "pairs", UNPAIRED])
def test_psi_is_antisymmetric_periodic_and_invariant_under_translation(name):
    ansatz, apply, walkers, params = start(name)
    before = apply(params, walkers)
    order = np.arange(walkers.shape[1])
    order[[0, 1]] = order[[1, 0]]
    after = apply(params, walkers[:, order])
    np.testing.assert_allclose(after.logabs, before.logabs, atol=1e-10)
    np.testing.assert_array_equal(after.sign, -np.asarray(before.sign))
    vectors, moved = ansatz.box.vectors, walkers.copy()
    moved[:, 1] += 2 * vectors[-1] - vectors[0]
    moved = apply(params, moved)
    np.testing.assert_allclose(moved.logabs, before.logabs, atol=1e-10)
    np.testing.assert_array_equal(moved.sign, before.sign)
    shifted = apply(params, walkers + np.array([0.3, -1.1, 0.7])[: len(vectors)])
    np.testing.assert_allclose(shifted.logabs, before.logabs, atol=1e-9)


@pytest.mark.parametrize("name", [*further("closed shells of pairs"), "orbitals"])
def test_initial_psi_is_the_determinant_of_plane_waves(name):
    ansatz, apply, walkers, _ = start(name)
    slater = PlaneWaveSlater(ansatz.spins, ansatz.box)

    @jax.jit
    def first(walkers):
        expected = jax.vmap(lambda x: slater.apply({}, x))(walkers)
        return ansatz.init(jax.random.key(1), walkers[0]), expected

    params, expected = first(walkers)
    found, expected = jax.tree.map(np.asarray, (apply(params, walkers), expected))
    ratio = found.logabs - expected.logabs
    np.testing.assert_allclose(ratio, ratio[0], atol=1e-9)
    relative = found.sign * expected.sign
    np.testing.assert_array_equal(relative, relative[0])


TOTAL_SPIN = jax.jit(total_spin)


@pytest.mark.parametrize("name", ["pairs", *further("unpaired"), "orbitals"])
def test_total_spin_is_minimal_without_the_spin_factor(name):
    ansatz, _, walkers, params = start(name)
    # psi depends on the spins only through the layer with one number a pair
    layers = {
        layer: {"kernel": np.zeros((2, 1))}
        for layer, leaf in params["params"].items()
        if layer.startswith("Dense") and leaf["kernel"].shape == (2, 1)
    }
    blind = {"params": params["params"] | layers}

    def spin(params):
        return TOTAL_SPIN(ratios(name)(params, walkers[0]))

    least = ansatz.spins.up - walkers.shape[1] / 2
    np.testing.assert_allclose(spin(blind), least * (least + 1), atol=1e-8)
    assert abs(spin(params) - least * (least + 1)) > 1e-4


@pytest.mark.further
@pytest.mark.parametrize("name", ["pairs", "orbitals"])
def test_psi_is_smooth_where_its_first_determinant_vanishes(name):
    ansatz, _, walkers, params = start(name)

    @jax.jit
    def first(x):  # a determinant without the operator
        tables = ansatz.apply(params, x, method="_tables")
        return jnp.linalg.det(tables.matrices(ansatz.spins.up)[0])

    def at(t):
        return (1 - t) * walkers[0] + t * walkers[1]

    @jax.jit
    def energy(x):
        return kinetic_energy(ansatz, params, x)

    def kinetic(t):
        return float(energy(at(t)))

    grid = np.linspace(0, 1, 101)
    values = np.array([first(at(t)) for t in grid])
    i = np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1]))[0]
    zero = brentq(lambda t: first(at(t)), grid[i], grid[i + 1], xtol=1e-15)
    near = kinetic(zero + 1e-6)
    np.testing.assert_allclose(near, kinetic(zero + 1e-5), rtol=1e-2)
    np.testing.assert_allclose(near, kinetic(zero + 1e-7), rtol=1e-3)
    found = ratios(name)(params, at(zero + 1e-9))
    expected = ratios_of_psi(name, params, at(zero + 1e-9))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("n_up", "n"), [(2, 3), *further((1, 1), (8, 15))])
def test_initial_psi_of_unpaired_neutrons_is_finite(n_up, n):
    ansatz = SingletBackflow(Spins(n_up, n - n_up), CUBE, pairing=True, **ONE_LAYER)
    x = np.random.default_rng(0).uniform(size=(n, 3)) * CUBE.vectors[0, 0]
    assert np.isfinite(jax.jit(ansatz.init_with_output)(jax.random.key(1), x)[0][1])


def test_row_table_of_a_singular_matrix_is_exact():
    rng = np.random.default_rng(0)
    for n in (1, 2, 4):
        matrix = rng.integers(-3, 4, size=(n, n)).astype(float)
        matrix[-1] = matrix[: n - 1].sum(0)
        rows = rng.normal(size=(3, n))
        table, det = jax.jit(row_table)(rows, matrix)
        assert abs(table.fraction) < 1e-14 and np.isfinite(det.logabs)
        for i in range(n):  # times the determinant, rows are those of the adjugate
            one = [
                np.linalg.det(np.vstack([matrix[:i], r, matrix[i + 1 :]])) for r in rows
            ]
            whole = det.sign * np.exp(det.logabs)
            found = table.fraction * table.finite + np.outer(table.column, table.row)
            np.testing.assert_allclose(whole * found[:, i], one, atol=1e-12)


def sum_over_exchanges(u, psi):
    """The operator to second order, psi(order) of a permutation of particles."""
    n_down, n_up = u.shape

    def after(*exchanged):
        order = np.arange(n_up + n_down)
        for i, j in exchanged:
            order[[i, n_up + j]] = order[[n_up + j, i]]
        return psi(order)

    total = after()
    pairs = list(itertools.product(range(n_up), range(n_down)))
    for i, j in pairs:
        total += u[j, i] * (after() + after((i, j))) / 2
    for (i, j), (k, m) in itertools.product(pairs, pairs):
        if i != k and j != m:
            both = after() + after((i, j)) + after((k, m)) + after((i, j), (k, m))
            total += u[j, i] * u[m, k] * both / 8
    return total


@pytest.mark.parametrize("n_up, n_down", [(3, 2), *further((2, 4), (3, 3), (2, 1))])
def test_operator_on_orbitals_matches_the_sum_over_exchanges(n_up, n_down):
    rng = np.random.default_rng(n_up)
    up = rng.normal(size=(n_up + n_down, n_up))
    down = rng.normal(size=(n_up + n_down, n_down))
    u = rng.normal(size=(n_down, n_up))

    def psi(order):
        return np.linalg.det(up[order[:n_up]]) * np.linalg.det(down[order[n_up:]])

    @jax.jit
    def operate(up, down, u):
        of_up, det_up = row_table(up[n_up:], up[:n_up])
        of_down, det_down = row_table(down[:n_up], down[n_up:])
        mixed = mixed_orbitals(u, of_up, of_down.transposed)
        size = jnp.exp(det_up.logabs + det_down.logabs)
        return mixed * det_up.sign * det_down.sign * size

    found = operate(up, down, u)
    np.testing.assert_allclose(found, sum_over_exchanges(u, psi), rtol=1e-10)


@pytest.mark.parametrize("n_up, n_down", [*further((3, 3)), (3, 2), *further((2, 1))])
def test_operator_on_pairs_matches_the_sum_over_exchanges(n_up, n_down):
    rng = np.random.default_rng(n_up)
    n = n_up + n_down
    phi, unpaired = rng.normal(size=(n, n)), rng.normal(size=(n, n_up - n_down))
    u = rng.normal(size=(n_down, n_up))

    def matrix(order):
        up, down = order[:n_up], order[n_up:]
        return np.concatenate([phi[up][:, down], unpaired[up]], axis=1)

    rows = np.concatenate([phi[n_up:, n_up:], unpaired[n_up:]], axis=1)
    columns, corner = phi[:n_up, :n_up], phi[n_up:, :n_up]

    @jax.jit
    def operate(u, *blocks):
        table, det = pair_table(*blocks)
        return mixed_pairs(u, table) * det.sign * jnp.exp(det.logabs)

    found = operate(u, matrix(np.arange(n)), rows, columns, corner)
    expected = sum_over_exchanges(u, lambda order: np.linalg.det(matrix(order)))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: SingletBackflow(Spins(1, 1), CUBE, layers=0),
            "layers must be an integer >= 1",
        ),
        (
            lambda: SingletBackflow(Spins(1, 1), CUBE, channels=1.5),
            "channels must be an integer >= 1",
        ),
        (
            lambda: SingletBackflow(Spins(1, 1), CUBE, ranges=(0.0,)),
            "ranges must be finite",
        ),
        (lambda: SingletBackflow(Spins(1, 1), CUBE, activation="relux"), "relux"),
    ],
)
def test_invalid_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_more_spins_down_than_up_are_refused():
    with pytest.raises(ValueError, match="up >= down .* got Spins.up=1, down=2"):
        SingletBackflow(Spins(1, 2), CUBE, pairing=True).init(
            jax.random.key(0), np.ones((3, 3))
        )

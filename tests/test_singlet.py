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

SMALL = {"layers": 2, "width": 4, "channels": 2}
ONE_LAYER = {"layers": 1, "width": 4, "channels": 2}
CUBE = Box.shaped("cubic", 60.0, 3)
SQUARE = Box.shaped("square", 20.0, 2)
CASES = {
    "orbitals in a plane": (SingletBackflow(Spins(5, 5), SQUARE, **ONE_LAYER), 10),
    "orbitals": (SingletBackflow(Spins(7, 1), CUBE, **SMALL), 8),
    "pairs": (SingletBackflow(Spins(2, 2), CUBE, pairing=True, **ONE_LAYER), 4),
    "unpaired": (SingletBackflow(Spins(3, 2), CUBE, pairing=True, **ONE_LAYER), 5),
    "closed shells of pairs": (
        SingletBackflow(Spins(7, 7), CUBE, pairing=True, **ONE_LAYER),
        14,
    ),
}
FEW = ["orbitals", "pairs", pytest.param("unpaired", marks=pytest.mark.slow)]


@functools.cache
def start(name):
    """An ansatz, walkers (3, n, 3), initial and perturbed parameters."""
    ansatz, n = CASES[name]
    box = ansatz.box
    walkers = jax.random.uniform(jax.random.key(0), (3, n, box.d)) * box.vectors[0, 0]
    params = jax.jit(ansatz.init)(jax.random.key(1), walkers[0])
    rng = np.random.default_rng(2)
    off = jax.tree.map(lambda p: p + 0.3 * rng.normal(size=p.shape), params)
    return ansatz, jax.jit(jax.vmap(ansatz.apply, (None, 0))), walkers, params, off


@functools.cache
def ratios(name):
    """Compiled ratios of psi under exchanges, from the ansatz."""
    ansatz, _ = CASES[name]
    return jax.jit(
        jax.vmap(lambda p, x: exchange_ratios(ansatz, p, x, ansatz.spins), (None, 0))
    )


@pytest.mark.parametrize("name", ["orbitals in a plane", *FEW[1:]])
def test_exchange_ratios_match_ratios_of_psi(name):
    ansatz, _, walkers, _, off = start(name)
    assert isinstance(ansatz, ExchangeRatios)
    plain = Function(ansatz.apply)
    assert not isinstance(plain, ExchangeRatios)
    expected = jax.jit(
        jax.vmap(lambda x: exchange_ratios(plain, off, x, ansatz.spins))
    )(walkers)
    found = ratios(name)(off, walkers)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", FEW)
def test_psi_is_antisymmetric_periodic_and_invariant_under_translation(name):
    ansatz, apply, walkers, _, off = start(name)
    before = apply(off, walkers)
    order = np.arange(walkers.shape[1])
    order[[0, 1]] = order[[1, 0]]
    after = apply(off, walkers[:, order])
    np.testing.assert_allclose(after.logabs, before.logabs, atol=1e-10)
    np.testing.assert_array_equal(after.sign, -before.sign)
    moved = apply(off, walkers.at[:, 1].add(2 * CUBE.vectors[2] - CUBE.vectors[0]))
    np.testing.assert_allclose(moved.logabs, before.logabs, atol=1e-10)
    np.testing.assert_array_equal(moved.sign, before.sign)
    shifted = apply(off, walkers + jnp.array([0.3, -1.1, 0.7])[None, None])
    np.testing.assert_allclose(shifted.logabs, before.logabs, atol=1e-9)


@pytest.mark.parametrize("name", ["closed shells of pairs", "orbitals"])
def test_initial_psi_is_the_determinant_of_plane_waves(name):
    ansatz, apply, walkers, params, _ = start(name)
    slater = PlaneWaveSlater(ansatz.spins, CUBE)
    expected = jax.jit(jax.vmap(lambda x: slater.apply({}, x)))(walkers)
    found = apply(params, walkers)
    ratio = found.logabs - expected.logabs
    np.testing.assert_allclose(ratio, ratio[0], atol=1e-9)
    relative = found.sign * expected.sign
    np.testing.assert_array_equal(relative, relative[0])


@pytest.mark.parametrize("name", ["pairs", "unpaired", "orbitals"])
def test_total_spin_is_minimal_without_the_spin_factor(name):
    ansatz, _, walkers, _, off = start(name)
    blind = jax.tree.map(lambda p: p, off)
    # psi depends on the spins only through the layer with one number a pair
    layers = [
        layer
        for layer, leaf in blind["params"].items()
        if layer.startswith("Dense") and leaf["kernel"].shape == (2, 1)
    ]
    for layer in layers:
        blind["params"][layer]["kernel"] *= 0

    def spin(params):
        return jax.jit(jax.vmap(total_spin))(ratios(name)(params, walkers))

    least = ansatz.spins.up - walkers.shape[1] / 2
    np.testing.assert_allclose(spin(blind), least * (least + 1), atol=1e-8)
    assert np.all(np.abs(spin(off) - least * (least + 1)) > 1e-4)


@pytest.mark.parametrize(
    "name", [pytest.param("pairs", marks=pytest.mark.slow), "orbitals in a plane"]
)
def test_psi_is_smooth_where_its_first_determinant_vanishes(name):
    ansatz, _, walkers, _, off = start(name)

    @jax.jit
    def first(t):  # a determinant without the operator
        tables = ansatz.apply(off, at(t), method="_tables")
        return jnp.linalg.det(tables.matrices(ansatz.spins.up)[0])

    def at(t):
        return (1 - t) * walkers[0] + t * walkers[1]

    @jax.jit
    def kinetic(t):
        return kinetic_energy(ansatz, off, at(t))

    @jax.jit
    def exchanges(t):
        plain = Function(ansatz.apply)
        return [exchange_ratios(f, off, at(t), ansatz.spins) for f in (ansatz, plain)]

    grid = np.linspace(0, 1, 101)
    values = np.array([first(t) for t in grid])
    i = np.flatnonzero(np.sign(values[1:]) != np.sign(values[:-1]))[0]
    zero = brentq(first, grid[i], grid[i + 1], xtol=1e-15)
    near = kinetic(zero + 1e-6)
    np.testing.assert_allclose(near, kinetic(zero + 1e-5), rtol=1e-2)
    np.testing.assert_allclose(near, kinetic(zero + 1e-7), rtol=1e-3)
    np.testing.assert_allclose(*exchanges(zero + 1e-9), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("n_up", "n"), [(1, 1), (2, 3), pytest.param(8, 15, marks=pytest.mark.slow)]
)
def test_initial_psi_of_unpaired_neutrons_is_finite(n_up, n):
    ansatz = SingletBackflow(Spins(n_up, n - n_up), CUBE, pairing=True, **ONE_LAYER)
    x = jax.random.uniform(jax.random.key(0), (n, 3)) * CUBE.vectors[0, 0]
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


@pytest.mark.parametrize("n_up, n_down", [(3, 3), (3, 2), (2, 4), (2, 1)])
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


@pytest.mark.parametrize("n_up, n_down", [(3, 3), (3, 2), (2, 1)])
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
            jax.random.key(0), jnp.ones((3, 3))
        )

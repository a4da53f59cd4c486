"""Projection on a lattice: exact states stay exact, and wrong formulas fail."""

import functools
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import (
    J1J2,
    ClassicalIsing,
    HarmonicTrap,
    Heisenberg,
    Potts,
    TransverseFieldIsing,
)
from hamiltonians.references.lanczos import configurations, ground_state
from nqs.ansatze import BinaryRBM
from nqs.projection import lattice as lattice_projection
from nqs.projection.lattice import LatticeProjection, Row, chosen_jump, waiting_time
from nqs.space.lattice import Lattice
from nqs.statistics import estimate
from nqs.types import Function, LogPsi

MODELS = {
    "Heisenberg ring": Heisenberg(Lattice((6,))),
    "open Heisenberg chain": Heisenberg(Lattice((6,), periodic=False)),
    "polarized ring": Heisenberg(Lattice((6,)), n_down=2),
    "Ising ring": TransverseFieldIsing(Lattice((6,)), field=1.3),
    "Ising square": TransverseFieldIsing(Lattice((2, 3), "square", periodic=False)),
    "Potts chain": Potts(Lattice((4,)), field=0.8),
    "J1-J2 chain": J1J2(Lattice((8,)), j2=0.4),
    "triangle": Heisenberg(Lattice((3, 2), "triangular")),
}
RING, ISING = MODELS["Heisenberg ring"], MODELS["Ising ring"]


def table(levels, params, x):
    """Psi as a number for every configuration."""
    place = jnp.sum(x * jnp.asarray(levels ** np.arange(x.size - 1, -1, -1)))
    psi = params[place]
    return LogPsi(jnp.sign(psi), jnp.log(jnp.abs(psi)))


def tabulated(model, psi):
    """The ansatz and its parameters for psi (c,) of all configurations."""
    weights = model.levels ** np.arange(model.n - 1, -1, -1)
    params = np.zeros(model.levels**model.n)
    params[configurations(model) @ weights] = psi
    return Function(functools.partial(table, model.levels)), jnp.asarray(params)


def exact(model):
    """Energy of the ground state, and the ansatz with its parameters."""
    energy, psi = ground_state(model)
    return energy, *tabulated(model, psi)


def drawn(model, psi, n_walkers):
    """Walkers (w, s) from psi^2, in fixed proportions."""
    square = np.cumsum(psi**2) / np.sum(psi**2)
    place = np.searchsorted(square, (np.arange(n_walkers) + 0.5) / n_walkers)
    return jnp.asarray(configurations(model)[place])


def constant(params, x):
    return LogPsi(jnp.ones(()), jnp.zeros(()))


UNIFORM = Function(constant), {}


def walk(driver, params, walkers, steps, key=2):
    """The last state, and the info of every step."""

    def step(state, i):
        return driver.step(jax.random.fold_in(jax.random.key(key), i), state)

    @jax.jit
    def run():
        state = driver.init(params, walkers)
        return jax.lax.scan(step, state, jnp.arange(steps))

    return run()


def projected(model, guide=UNIFORM, time_step=0.2, n_walkers=1024, time=100, key=2):
    """Mean and standard error of the energy, and the info of every step."""
    psi, params = guide
    walkers = model.initial_walkers(jax.random.key(0), n_walkers)
    driver = LatticeProjection(psi, model, time_step)
    _, info = walk(driver, params, walkers, round(time / time_step), key)
    found = estimate(np.asarray(info["energy"])[round(6 / time_step) :])
    return found.mean, found.error, info


@pytest.mark.parametrize("time_step", [0.05, 2.0])
@pytest.mark.parametrize("name", MODELS)
def test_exact_state_stays_exact_for_any_interval(name, time_step, strict_dtypes):
    model = MODELS[name]
    with jax.numpy_dtype_promotion("standard"):
        energy, psi, params = exact(model)
        walkers = drawn(model, ground_state(model).psi, 32)
    state, info = walk(LatticeProjection(psi, model, time_step), params, walkers, 10)
    np.testing.assert_allclose(info["energy"], energy, rtol=1e-9)
    np.testing.assert_allclose(info["growth_energy"], energy, rtol=1e-9)
    np.testing.assert_allclose(state.weights, 1, rtol=1e-8)
    assert np.all(info["variance"] < 1e-14)
    assert np.mean(info["jumps"]) > 0
    assert not np.any(info["non_finite"])


def test_exact_state_keeps_its_density():
    """Probabilities of all configurations, within their errors from 20 000 walkers."""
    psi = ground_state(ISING).psi
    _, ansatz, params = exact(ISING)
    walkers = ISING.initial_walkers(jax.random.key(0), 20_000)
    driver = LatticeProjection(ansatz, ISING, 4.0)
    state, _ = walk(driver, params, walkers, 3)
    codes = np.asarray(state.walkers) @ (2 ** np.arange(5, -1, -1))
    counts = np.bincount(codes, minlength=64)
    expected = 20_000 * psi**2
    chi_square = np.sum((counts - expected) ** 2 / expected)
    assert chi_square < 63 + 4 * np.sqrt(2 * 63)


@pytest.mark.parametrize("name", ["Heisenberg ring", "Ising ring", "Ising square"])
def test_energy_of_a_uniform_guide_is_exact(name):
    energy, error, info = projected(MODELS[name])
    exact_energy = ground_state(MODELS[name]).energy
    assert error < 0.03
    assert energy == pytest.approx(exact_energy, abs=3 * error)
    assert info["energy"][0] > exact_energy + 10 * error
    assert np.all(info["sign_flip"] == 0)


def test_energy_is_independent_of_the_interval():
    options = {"n_walkers": 256, "time": 250, "key": 5}
    short = projected(RING, time_step=0.05, **options)
    long = projected(RING, time_step=0.5, **options)
    assert short[0] == pytest.approx(long[0], abs=3 * np.hypot(short[1], long[1]))


@pytest.mark.parametrize("sign", [-1.0, 0.5])
def test_wrong_growth_of_weights_fails(sign):
    right = lattice_projection.sum_of_terms

    def wrong(terms):
        return sign * right(terms)

    with mock.patch.object(lattice_projection, "sum_of_terms", wrong):
        energy, error, _ = projected(ISING)
    assert energy > ground_state(ISING).energy + 5 * error


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_wrong_rates_of_jumps_fail(factor):
    right = lattice_projection.jump_rates

    def wrong(row):
        return factor * right(row)

    with mock.patch.object(lattice_projection, "jump_rates", wrong):
        energy, error, _ = projected(ISING)
    assert abs(energy - ground_state(ISING).energy) > 5 * error


def effective_energy(model, psi):
    """The lowest energy of the fixed-node Hamiltonian of psi (c,), and that of psi."""
    x = configurations(model)
    weights = model.levels ** np.arange(model.n - 1, -1, -1)
    place = np.zeros(model.levels**model.n, int)
    place[x @ weights] = np.arange(len(x))
    rows = jax.vmap(model.connected)(jnp.asarray(x))
    diagonal = sum(jax.vmap(model.diagonal)(jnp.asarray(x)).values())
    full = np.diag(np.asarray(diagonal))
    for i, (sites, values, elements) in enumerate(zip(*rows, strict=True)):
        for site, value, element in zip(sites, values, elements, strict=True):
            there = x[i].copy()
            there[site] = value
            full[i, place[there @ weights]] += element
    flips = full * psi[None, :] / psi[:, None]
    flips = np.where((flips > 0) & ~np.eye(len(x), dtype=bool), flips, 0)
    fixed = np.where(flips > 0, 0, full) + np.diag(flips.sum(axis=1))
    energy = psi @ full @ psi / (psi @ psi)
    return np.linalg.eigvalsh(fixed)[0], energy


def signed_guide(model):
    """An approximate psi (c,) with signs, most of them those of the ground state."""
    psi = ground_state(model).psi
    noise = np.random.default_rng(3).normal(size=psi.size)
    return psi + 0.02 * noise


def test_fixed_node_energy_is_between_exact_and_variational():
    model = J1J2(Lattice((4, 2), "square", periodic=False), j2=0.6)
    psi = signed_guide(model)
    fixed, variational = effective_energy(model, psi)
    lowest = ground_state(model).energy
    assert lowest + 1e-3 < fixed < variational - 1e-2
    energy, error, info = projected(model, tabulated(model, psi), key=3)
    assert error < 3e-3
    assert energy == pytest.approx(fixed, abs=3 * error)
    assert lowest - 3 * error < energy < variational
    assert np.mean(info["sign_flip"]) > 0.01


def test_jumps_have_their_rates_and_waiting_times():
    amplitudes = jnp.asarray([-1.0, 0.0, 2.0, -0.5, -3.0, 0.0, -0.5])
    row = Row({}, amplitudes)
    u = (jnp.arange(10_000) + 0.5) / 10_000
    chosen = jax.vmap(lambda u: chosen_jump(u, row))(u)
    counts = np.bincount(chosen, minlength=7)
    np.testing.assert_array_equal(counts, [2000, 0, 0, 1000, 6000, 0, 1000])
    times = jax.vmap(lambda u: waiting_time(u, row))(u)
    np.testing.assert_allclose(times, -np.log1p(-u) / 5)
    for broken in (jnp.nan, -jnp.inf, 0.0):
        still = Row({}, jnp.full(3, broken))
        assert waiting_time(jnp.asarray(0.5), still) == jnp.inf


@pytest.mark.parametrize("count", [1, 2, 3, 9, 72])
def test_partial_sums_are_those_of_numpy(count):
    numbers = jax.random.uniform(jax.random.key(0), (count,))
    found = lattice_projection.partial_sums(numbers)
    np.testing.assert_allclose(found, np.cumsum(numbers), rtol=1e-14)


def test_walkers_are_independent_of_the_chunk_size():
    psi: Any = BinaryRBM()
    params = psi.init(jax.random.key(1), jnp.zeros(6, int))
    walkers = RING.initial_walkers(jax.random.key(0), 12)
    runs = [
        walk(LatticeProjection(psi, RING, 1.0, chunk), params, walkers, 5)
        for chunk in (5, 12)
    ]
    (state, info), (other, other_info) = runs
    np.testing.assert_array_equal(state.walkers, other.walkers)
    np.testing.assert_allclose(info["energy"], other_info["energy"], rtol=1e-12)


def test_broken_row_is_counted_and_never_left():
    def broken(params, x):
        logabs = jnp.where(x[0] == 0, 0.0, jnp.nan)
        return LogPsi(jnp.ones(()), logabs)

    walkers = ISING.initial_walkers(jax.random.key(0), 8)
    driver = LatticeProjection(Function(broken), ISING)
    _, info = walk(driver, {}, walkers, 2)
    assert np.all(info["non_finite"] == 8)


def test_projection_refuses_what_it_cannot_project():
    psi, _ = UNIFORM
    with pytest.raises(ValueError, match="rows of its matrix.*got ClassicalIsing"):
        LatticeProjection(psi, ClassicalIsing(Lattice((2, 2), "square")))
    with pytest.raises(ValueError, match="rows of its matrix.*got HarmonicTrap"):
        LatticeProjection(psi, HarmonicTrap(1, 1))
    with pytest.raises(ValueError, match="time_step must be finite and positive"):
        LatticeProjection(psi, RING, 0.0)
    with pytest.raises(ValueError, match="chunk_size must be an integer"):
        LatticeProjection(psi, RING, chunk_size=0)
    walkers = RING.initial_walkers(jax.random.key(0), 4)
    turning: Any = BinaryRBM(complex=True)
    params = turning.init(jax.random.key(1), walkers[0])
    with pytest.raises(ValueError, match="ansatz must be real .* psi of BinaryRBM"):
        LatticeProjection(turning, RING).init(params, walkers)


def test_bias_of_a_small_population_falls_with_its_size():
    exact_energy = ground_state(ISING).energy
    few, few_error, _ = projected(ISING, n_walkers=4, time=1000)
    many, many_error, _ = projected(ISING, n_walkers=64, time=1000)
    assert few - exact_energy > 5 * few_error
    assert many - exact_energy < (few - exact_energy) / 5 + 3 * many_error

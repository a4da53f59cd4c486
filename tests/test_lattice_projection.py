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
from tests.cases import few, further
from tests.drawn import parameters

MODELS = {
    "Heisenberg ring": Heisenberg(Lattice((6,))),
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
    psi = params["psi"][place]
    return LogPsi(jnp.sign(psi), jnp.log(jnp.abs(psi)))


TABLES = {q: Function(functools.partial(table, q)) for q in (2, 3)}


def tabulated(model, psi):
    """The ansatz and its parameters for psi (c,) of all configurations."""
    weights = model.levels ** np.arange(model.n - 1, -1, -1)
    table = np.zeros(model.levels**model.n)
    table[configurations(model) @ weights] = psi
    return TABLES[model.levels], {"psi": table} | RIGHT


exact = functools.cache(ground_state)


def drawn(model, psi, n_walkers):
    """Walkers (w, s) from psi^2, in fixed proportions."""
    square = np.cumsum(psi**2) / np.sum(psi**2)
    place = np.searchsorted(square, (np.arange(n_walkers) + 0.5) / n_walkers)
    return configurations(model)[place]


def constant(params, x):
    return LogPsi(jnp.ones(()), jnp.zeros(()))


RIGHT = {"growth": np.float64(1), "rates": np.float64(1)}
UNIFORM = Function(constant), RIGHT


class Mistaken(LatticeProjection):
    """Growth of weights and rates of jumps are wrong by factors in params."""

    def init(self, params, walkers):
        return self.mistaken(super().init, params, params, walkers)

    def step(self, key, state):
        return self.mistaken(super().step, state.params, key, state)

    def mistaken(self, method, factors, *arguments):
        terms, rates = lattice_projection.sum_of_terms, lattice_projection.jump_rates
        with (
            mock.patch.object(
                lattice_projection,
                "sum_of_terms",
                lambda x: factors["growth"] * terms(x),
            ),
            mock.patch.object(
                lattice_projection,
                "jump_rates",
                lambda row: factors["rates"] * rates(row),
            ),
        ):
            return method(*arguments)


@functools.cache
def program(psi, model, chunk_size=None, steps=50):
    """Some steps of all walkers, for any time between them and any mistakes."""
    driver = Mistaken(psi, model, chunk_size=chunk_size)

    @jax.jit
    def first(params, walkers, time_step):
        return driver.init(params, walkers)._replace(time_step=time_step)

    @jax.jit
    def several(key, state, before):
        def step(state, i):
            return driver.step(jax.random.fold_in(key, i), state)

        return jax.lax.scan(step, state, before + jnp.arange(steps))

    return first, several


def walk(program, params, walkers, time_step, calls=1, key=2):
    """The last state, and the info of every step."""
    first, several = program
    with jax.numpy_dtype_promotion("strict"):
        state, infos = first(params, walkers, time_step), []
        for i in range(calls):
            state, info = several(jax.random.key(key), state, i * 50)
            infos.append(jax.device_get(info))
    return state, jax.tree.map(lambda *parts: np.concatenate(parts), *infos)


def first_walkers(model, n_walkers):
    """Walkers (w, s) from all configurations alike."""
    x = configurations(model)
    return x[np.random.default_rng(0).integers(len(x), size=n_walkers)]


def projected(model, guide=UNIFORM, time_step=0.2, n_walkers=256, time=150, key=2):
    """Mean and standard error of the energy, and the info of every step."""
    psi, params = guide
    walkers = first_walkers(model, n_walkers)
    calls = round(time / time_step / 50)
    _, info = walk(program(psi, model), params, walkers, time_step, calls, key)
    found = estimate(info["energy"][round(6 / time_step) :])
    return found.mean, found.error, info


@pytest.mark.parametrize("time_step", [0.05, 2.0])
@pytest.mark.parametrize("name", few(MODELS, "Heisenberg ring", "Ising ring"))
def test_exact_state_stays_exact_for_any_interval(name, time_step):
    model = MODELS[name]
    energy, exact_psi = exact(model)
    psi, params = tabulated(model, exact_psi)
    walkers = drawn(model, exact_psi, 32)
    state, info = walk(program(psi, model), params, walkers, time_step)
    np.testing.assert_allclose(info["energy"], energy, rtol=1e-9)
    np.testing.assert_allclose(info["growth_energy"], energy, rtol=1e-9)
    np.testing.assert_allclose(state.weights, 1, rtol=1e-8)
    assert np.all(info["variance"] < 1e-14)
    assert np.mean(info["jumps"]) > 0
    assert not np.any(info["non_finite"])


@pytest.mark.further
def test_exact_state_keeps_its_density():
    """Probabilities of all configurations, within their errors from 10 000 walkers."""
    psi = exact(ISING).psi
    ansatz, params = tabulated(ISING, psi)
    walkers = first_walkers(ISING, 10_000)
    state, _ = walk(program(ansatz, ISING, steps=3), params, walkers, 4.0)
    codes = np.asarray(state.walkers) @ (2 ** np.arange(5, -1, -1))
    counts = np.bincount(codes, minlength=64)
    expected = 10_000 * psi**2
    chi_square = np.sum((counts - expected) ** 2 / expected)
    assert chi_square < 63 + 4 * np.sqrt(2 * 63)


@pytest.mark.further
@pytest.mark.parametrize("name", ["Heisenberg ring", "Ising ring", "Ising square"])
def test_energy_of_a_uniform_guide_is_exact(name):
    energy, error, info = projected(MODELS[name])
    exact_energy = exact(MODELS[name]).energy
    assert error < 0.03
    assert energy == pytest.approx(exact_energy, abs=3 * error)
    assert info["energy"][0] > exact_energy + 10 * error
    assert np.all(info["sign_flip"] == 0)


def test_energy_is_independent_of_the_interval():
    short = projected(ISING, time_step=0.05, time=125, key=5)
    long = projected(ISING, time_step=0.5, time=250, key=5)
    assert short[0] == pytest.approx(long[0], abs=3 * np.hypot(short[1], long[1]))


def deviation(factors):
    """Of the energy from the exact one, in standard errors."""
    params = dict(zip(RIGHT, map(np.float64, factors), strict=True))
    walkers = first_walkers(ISING, 256)
    _, info = walk(program(UNIFORM[0], ISING), params, walkers, 0.2, calls=15)
    found = estimate(info["energy"][30:])
    return (found.mean - exact(ISING).energy) / found.error


def test_right_factors_of_growth_and_rates_pass():
    assert abs(deviation((1.0, 1.0))) < 4


@pytest.mark.parametrize("sign", [*further(-1.0), 0.5])
def test_wrong_growth_of_weights_fails(sign):
    assert deviation((sign, 1.0)) > 5


@pytest.mark.parametrize("factor", [0.8, *further(1.25)])
def test_wrong_rates_of_jumps_fail(factor):
    assert abs(deviation((1.0, factor))) > 5


def effective_energy(model, psi):
    """The lowest energy of the fixed-node Hamiltonian of psi (c,), and that of psi."""
    x = configurations(model)
    weights = model.levels ** np.arange(model.n - 1, -1, -1)
    place = np.zeros(model.levels**model.n, int)
    place[x @ weights] = np.arange(len(x))
    rows, terms = jax.device_get(
        jax.jit(jax.vmap(lambda x: (model.connected(x), model.diagonal(x))))(x)
    )
    full = np.diag(sum(terms.values()))
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
    psi = exact(model).psi
    noise = np.random.default_rng(3).normal(size=psi.size)
    return psi + 0.02 * noise


def test_fixed_node_energy_is_between_exact_and_variational():
    model = J1J2(Lattice((4, 2), "square", periodic=False), j2=0.6)
    psi = signed_guide(model)
    fixed, variational = effective_energy(model, psi)
    lowest = exact(model).energy
    assert lowest + 1e-3 < fixed < variational - 1e-2
    energy, error, info = projected(model, tabulated(model, psi), key=3)
    assert error < 3e-3
    assert energy == pytest.approx(fixed, abs=3 * error)
    assert lowest - 3 * error < energy < variational
    assert np.mean(info["sign_flip"]) > 0.01


def test_jumps_have_their_rates_and_waiting_times():
    amplitudes = np.array([-1.0, 0.0, 2.0, -0.5, -3.0, 0.0, -0.5])
    u = (np.arange(10_000) + 0.5) / 10_000

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def both(u, amplitudes):
        row = Row({}, amplitudes)
        return chosen_jump(u, row), waiting_time(u, row)

    chosen, times = both(u, amplitudes)
    counts = np.bincount(chosen, minlength=7)
    np.testing.assert_array_equal(counts, [2000, 0, 0, 1000, 6000, 0, 1000])
    np.testing.assert_allclose(times, -np.log1p(-u) / 5)
    for broken in (np.nan, -np.inf, 0.0):
        assert np.all(both(u, np.full(7, broken))[1] == np.inf)


@pytest.mark.parametrize("count", [1, 2, 3, 9, 72])
def test_partial_sums_are_those_of_numpy(count):
    numbers = np.random.default_rng(0).random(count)
    found = jax.jit(lattice_projection.partial_sums)(numbers)
    np.testing.assert_allclose(found, np.cumsum(numbers), rtol=1e-14)


@pytest.mark.further
def test_walkers_are_independent_of_the_chunk_size():
    exact_psi, walkers = exact(RING).psi, first_walkers(RING, 32)
    noise = np.random.default_rng(1).normal(size=exact_psi.size)
    psi, params = tabulated(RING, exact_psi + 0.1 * noise)
    runs = [
        walk(program(psi, RING, chunk, 10), params, walkers, 1.0) for chunk in (5, None)
    ]
    (state, info), (other, other_info) = runs
    np.testing.assert_array_equal(state.walkers, other.walkers)
    np.testing.assert_allclose(info["energy"], other_info["energy"], rtol=1e-12)


def test_broken_row_is_counted_and_never_left():
    psi = np.where(configurations(ISING)[:, 0] == 0, 1.0, np.nan)
    guide, params = tabulated(ISING, psi)
    walkers = first_walkers(ISING, 32)
    _, info = walk(program(guide, ISING), params, walkers, 0.1)
    assert np.all(info["non_finite"] == 32)


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
    walkers = first_walkers(RING, 4)
    turning: Any = BinaryRBM(complex=True)
    params = parameters(turning, walkers[0])
    with pytest.raises(ValueError, match="ansatz must be real .* psi of BinaryRBM"):
        LatticeProjection(turning, RING).init(params, walkers)


@pytest.mark.further
def test_bias_of_a_small_population_falls_with_its_size():
    exact_energy = exact(ISING).energy
    few, few_error, _ = projected(ISING, n_walkers=4, time=1000)
    many, many_error, _ = projected(ISING)
    assert few - exact_energy > 5 * few_error
    assert many - exact_energy < (few - exact_energy) / 5 + 3 * many_error

"""Projection: exact states stay exact, and wrong formulas fail."""

import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import (
    Coulomb,
    ElectronGas,
    FermiGas,
    HarmonicTrap,
    InverseSquare,
    NeutronMatter,
)
from nqs.projection.continuous import CONSTANT, Projection, chosen_exchange
from nqs.projection.population import comb, drawn_anew
from nqs.space.spins import Spins
from nqs.statistics import Diagnostics, estimate
from nqs.statistics.projection import corrected_energy
from nqs.types import Function, LogPsi
from tests.cases import few, further


def signed(psi):
    return LogPsi(jnp.sign(psi), jnp.log(jnp.abs(psi)))


def trial(width, params, x):
    return LogPsi(jnp.ones((), x.dtype), -width * jnp.sum(x**2) / 2)


gaussian = functools.partial(trial, 0.7)  # free bosons in a trap of this frequency


def calogero(power, params, x):
    """Particles on a line, prod |x_i - x_j|^power exp(-x^2 / 2)."""
    i, j = np.triu_indices(x.shape[0], 1)
    distances = x[i, 0] - x[j, 0]
    logabs = power * jnp.sum(jnp.log(jnp.abs(distances))) - jnp.sum(x**2) / 2
    return LogPsi(jnp.prod(jnp.sign(distances)), logabs)


LINE = HarmonicTrap(3, 1, 1.0, spins=Spins(3, 0))
EXACT = {
    "free oscillator": (HarmonicTrap(2, 3, 0.7), gaussian, 0.7 * 3),
    "fermions on a line": (LINE, functools.partial(calogero, 1), 4.5),
    "Calogero": (
        HarmonicTrap(3, 1, 1.0, InverseSquare(2.5)),
        functools.partial(calogero, 2.5),
        1.5 * (1 + 2.5 * 2),
    ),
}


def normal(*shape):
    return np.random.default_rng(0).normal(size=shape)


@functools.cache
def program(psi, system):
    """The compiled function (walkers, time step, keys, params, factor of the rate)."""
    driver, right = Projection(Function(psi), system), Projection._rate

    def run(walkers, time_step, keys, params, factor):
        def rate(self, state, guide):
            return factor * right(self, state, guide)

        def step(state, key):
            return driver.step(key, state)

        with mock.patch.object(Projection, "_rate", rate):
            state = driver.init(params, walkers)._replace(time_step=time_step)
            return jax.lax.scan(step, state, keys)

    return jax.jit(run)


def walk(psi, system, time_step, walkers, steps, params=None, factor=1.0, key=2):
    """The last state, and the info of every step."""
    keys = jax.random.split(jax.random.key(key), steps)
    numbers = np.float64(time_step), keys, params or {}, np.float64(factor)
    found = program(psi, system)(np.asarray(walkers), *numbers)
    return jax.tree.map(np.asarray, found)


@pytest.mark.parametrize("time_step", [0.01, 0.5])
@pytest.mark.parametrize("name", few(EXACT, "fermions on a line"))
def test_exact_state_stays_exact_at_any_time_step(name, time_step, strict_dtypes):
    system, psi, energy = EXACT[name]
    walkers = normal(32, system.n, system.d)
    state, info = walk(psi, system, time_step, walkers, 20)
    np.testing.assert_allclose(info["energy"], energy, rtol=1e-9)
    np.testing.assert_allclose(info["growth_energy"], energy, rtol=1e-9)
    np.testing.assert_allclose(state.weights, 1, rtol=1e-8)
    assert np.all(info["variance"] < 1e-14)
    assert not np.any(info["non_finite"])


def test_walkers_do_not_cross_nodes():
    pair = HarmonicTrap(2, 1, 1.0, spins=Spins(2, 0))
    walkers = normal(200, 2, 1)
    state, info = walk(functools.partial(calogero, 1), pair, 1.0, walkers, 20)
    before, after = (x[:, 0, 0] > x[:, 1, 0] for x in (walkers, state.walkers))
    np.testing.assert_array_equal(before, after)
    assert 0.1 < info["acceptance"].mean() < 0.9
    assert np.all(info["effective_time_step"] < 0.9)


def test_exact_state_has_its_density_at_a_long_time_step():
    """<x^2> = 1 / (2 omega), and its error from 4096 walkers."""
    system, psi, _ = EXACT["free oscillator"]
    walkers = 1.5 * normal(4096, 2, 3)
    state, info = walk(psi, system, 1.0, walkers, 30)
    expected = 1 / (2 * 0.7)
    assert info["acceptance"].mean() < 0.8
    error = expected * np.sqrt(2 / walkers.size)
    assert np.mean(state.walkers**2) == pytest.approx(expected, abs=4 * error)


def test_growth_energy_is_independent_of_the_trial_energy():
    system, psi, energy = EXACT["free oscillator"]
    driver = Projection(Function(psi), system, 1e-6)

    @jax.jit
    def growth(walkers):
        state = driver.init({}, walkers)
        moved = state._replace(trial_energy=state.trial_energy + 1)
        return driver.step(jax.random.key(1), moved)[1]

    info = growth(normal(16, 2, 3))
    assert info["growth_energy"] == pytest.approx(energy, abs=1e-3)


def test_rate_of_growth_is_bounded():
    system, psi, energy = EXACT["free oscillator"]
    driver = Projection(Function(psi), system, 0.01)

    @jax.jit
    def rate_of(walkers):
        state = driver.init({}, walkers)
        trap = jnp.asarray([-1e6, 1e6, 0.0, jnp.nan]) - state.guide.terms["kinetic"]
        guide = state.guide._replace(terms=state.guide.terms | {"trap": trap})
        return driver._rate(state, guide)

    rate = rate_of(normal(4, 2, 3))
    np.testing.assert_allclose(rate, [100, -100, energy, np.nan], rtol=1e-9)


def nodal(params, x):
    """Two fermions on a line, with a local energy of about 1 / r near the node."""
    r = x[0, 0] - x[1, 0]
    distance = jnp.abs(r)
    jastrow = 0.4 * distance / (1 + distance) - jnp.sum(x**2) / 2
    return LogPsi(jnp.sign(r), jnp.log(distance) + jastrow)


@pytest.mark.slow
def test_energy_is_exact_at_finite_time_steps_where_the_nodes_are():
    pair = HarmonicTrap(2, 1, 1.0, spins=Spins(2, 0))
    _, info = walk(nodal, pair, 0.08, normal(2048, 2, 1), 4000, key=7)
    found = estimate(np.asarray(info["energy"])[50:])
    assert found.error < 3e-4
    assert found.mean == pytest.approx(2.0, abs=4 * found.error)


def test_walkers_drawn_anew_have_equal_weights():
    system, psi, _ = EXACT["free oscillator"]
    driver = Projection(Function(psi), system)
    walkers, weights = normal(16, 2, 3), np.zeros(16)
    weights[[3, 8]] = 8.0

    @jax.jit
    def draw(walkers, weights):
        state = driver.init({}, walkers)._replace(weights=weights)
        state = drawn_anew(jax.random.key(1), state)
        return state, jax.vmap(lambda x: psi({}, x).logabs)(state.walkers)

    state, logabs = draw(walkers, weights)
    np.testing.assert_array_equal(state.weights, 1)
    np.testing.assert_array_equal(state.walkers, walkers[np.repeat([3, 8], 8)])
    np.testing.assert_allclose(state.guide.logabs, logabs, rtol=1e-12)


def test_comb_draws_copies_in_proportion_to_the_weights():
    weights = np.random.default_rng(0).exponential(size=7)
    weights[2] = 0.0
    keys = jax.random.split(jax.random.key(1), 20_000)
    draw = jax.jit(jax.vmap(comb, (0, None)))
    chosen = np.asarray(draw(keys, weights))
    copies = np.stack([np.sum(chosen == i, axis=1) for i in range(7)], axis=1)
    expected = weights / np.mean(weights)
    # every number of copies is one of two integers, with a variance of at most 1/4
    np.testing.assert_allclose(copies.mean(0), expected, atol=5 * 0.5 / 20_000**0.5)
    assert np.all(np.abs(copies - expected) < 1)


def test_comb_of_equal_weights_changes_nothing():
    chosen = jax.jit(comb)(jax.random.key(0), np.ones(1000))
    np.testing.assert_array_equal(chosen, np.arange(1000))


OSCILLATOR = HarmonicTrap(1, 1, 1.0)


def trial_of(params, x):
    return trial(params["width"], {}, x)


def projected_energy(width=0.8, factor=1.0, steps=2400):
    """Mean and standard error of a guiding Gaussian; the exact energy is 1/2."""
    params = {"width": np.float64(width)}
    walkers = normal(512, 1, 1)
    _, info = walk(trial_of, OSCILLATOR, 0.05, walkers, steps, params, factor)
    blocks = info["energy"][steps // 5 :].reshape(24, -1).mean(1)
    return blocks.mean(), blocks.std(ddof=1) / np.sqrt(24)


@pytest.mark.parametrize("width", [0.8, *further(1.3)])
def test_energy_of_a_guide_of_the_wrong_width_is_exact(width):
    energy, error = projected_energy(width)
    variational = (width + 1 / width) / 4
    assert error < (variational - 0.5) / 15
    assert energy == pytest.approx(0.5, abs=4 * error)


@pytest.mark.parametrize("factor", [*further(-1.0, 0.0), 0.5])
def test_wrong_branching_fails(factor):
    energy, error = projected_energy(factor=factor)
    assert energy > 0.5 + 5 * error


def real(params, x):
    """A real psi of any system, with nodes and without symmetry."""
    direction = jnp.arange(1, x.size + 1, dtype=x.dtype).reshape(x.shape) / x.size
    return signed(jnp.cos(jnp.sum(direction * x)) + 0.1)


LOCAL = {
    "trap": HarmonicTrap(4, 2, 0.7, Coulomb(), Spins(2, 2)),
    "electron gas": ElectronGas(Spins(1, 1), rs=3.0),
    "Fermi gas": FermiGas(Spins(2, 2)),
    "neutrons": NeutronMatter(Spins(2, 2), 0.1),
}


def walkers_in(system, n_walkers):
    """Walkers of a trap, or uniform in a box."""
    if system is LOCAL["trap"]:
        return normal(n_walkers, system.n, system.d)
    shape = n_walkers, system.n, system.box.d
    return np.random.default_rng(0).uniform(size=shape) @ system.box.vectors


@pytest.mark.parametrize("name", few(LOCAL, "electron gas", "neutrons"))
def test_terms_are_those_of_the_hamiltonian(name):
    system, psi = LOCAL[name], Function(real)

    def alone(x):
        gradient = jax.grad(lambda x: psi.apply({}, x).logabs)(x)
        return system.terms(psi, {}, x), psi.apply({}, x), gradient

    @jax.jit
    def both(walkers):
        return Projection(psi, system).guide({}, walkers), jax.vmap(alone)(walkers)

    walkers = walkers_in(system, 8)
    found, (terms, apply, gradient) = both(walkers)
    assert found.terms.keys() == terms.keys()
    for term, expected in terms.items():
        np.testing.assert_allclose(found.terms[term], expected, rtol=1e-10)
    np.testing.assert_array_equal(found.sign, apply.sign)
    np.testing.assert_allclose(found.logabs, apply.logabs, rtol=1e-12)
    np.testing.assert_allclose(found.gradient, gradient, rtol=1e-10)
    if name == "neutrons":
        elements = jax.jit(jax.vmap(system.exchange_elements))(walkers)
        total = np.sum(elements + found.exchanges, axis=(1, 2))
        np.testing.assert_allclose(total, terms["two_body"], rtol=1e-10)


@pytest.mark.parametrize("name", few(LOCAL, "electron gas"))
def test_walkers_of_a_constant_psi_diffuse_freely(name):
    """<(x' - x)^2> = 2 D tau in each coordinate."""
    system = LOCAL[name]
    driver = Projection(CONSTANT, system, 0.02)
    walkers = walkers_in(system, 4000)

    @jax.jit
    def move(walkers):
        moved, _, info = driver._moved(jax.random.key(1), driver.init({}, walkers))
        return moved, info

    moved, info = move(walkers)
    square = np.mean((moved - walkers) ** 2)
    n_numbers = walkers.size
    expected = 2 * system.diffusion * 0.02
    assert square == pytest.approx(expected, rel=5 * np.sqrt(2 / n_numbers))
    assert info["acceptance"] == 1
    assert info["effective_time_step"] == pytest.approx(0.02)


NEUTRONS = NeutronMatter(Spins(1, 1), 0.004)


def mixed(params, x):
    """Two neutrons in a singlet without nodes, with a part `odd` of a triplet."""
    k = 2 * np.pi / NEUTRONS.length_scale
    r, odd = x[0] - x[1], params["odd"]
    near = jnp.exp(-2 / (1.8 * k) ** 2 * jnp.sum(1 - jnp.cos(k * r)))
    even, wave = (1 - odd) * (1 + 1.5 * near), jnp.sin(k * r[0])
    return signed(even + wave * (0.5 * even + odd))


SINGLET, TRIPLET = {"odd": np.float64(0)}, {"odd": np.float64(1)}
JUMPING = Projection(Function(mixed), NEUTRONS)


@functools.cache
def jumps():
    """Compiled: the state of 64 walkers at the start, and that after exchanges."""

    def start(params, walkers, time_step):
        return JUMPING.init(params, walkers)._replace(time_step=time_step)

    return jax.jit(start), jax.jit(JUMPING._jumped)


def neutrons(n_walkers=64):
    """Walkers of a box with two neutrons, uniform."""
    shape = n_walkers, 2, 3
    return np.random.default_rng(0).uniform(size=shape) * NEUTRONS.length_scale


@pytest.mark.further
@pytest.mark.parametrize("jumping", [True, False])
def test_without_nodes_forces_that_exchange_spins_have_the_exact_energy(jumping):
    right, steps = Projection._jumped, 3000

    def jumped(self, key, state):
        following, info = right(self, key, state)
        return (following if jumping else state), info

    driver = JUMPING
    walkers = neutrons(512)

    @jax.jit
    def run(walkers, keys):
        state = driver.init(SINGLET, walkers)._replace(time_step=np.float64(0.002))
        return jax.lax.scan(lambda state, key: driver.step(key, state), state, keys)[1]

    with mock.patch.object(Projection, "_jumped", jumped):
        info = run(walkers, jax.random.split(jax.random.key(3), steps))
    blocks = np.asarray(info["energy"])[steps // 5 :].reshape(16, -1).mean(1)
    energy, error = blocks.mean(), blocks.std(ddof=1) / 4
    exact = NEUTRONS.references()[0].value
    assert error < 0.15
    assert (abs(energy - exact) < 4 * error) == jumping
    assert np.mean(info["jumps"]) > 0 and not np.any(info["sign_flip"])


def test_exchanges_are_chosen_by_their_amplitudes():
    amplitudes = np.array([[-2.0, 1.0, 0.0], [-0.5, -3.0, 2.0]])
    u = np.random.default_rng(0).uniform(size=(40_000, 2))
    choose = jax.jit(jax.vmap(chosen_exchange, (0, None, None)))
    jumps, i, j = jax.device_get(choose(u, amplitudes, 0.1))
    assert np.mean(jumps) == pytest.approx(1 - np.exp(-0.55), abs=0.01)
    for a in range(2):
        for b in range(3):
            found = np.mean(((i == a) & (j == 2 + b))[jumps])
            assert found == pytest.approx(max(-amplitudes[a, b], 0) / 5.5, abs=0.015)


def test_a_positive_amplitude_stays_in_the_local_energy():
    """A psi that is odd under the exchange of two neutrons has only positive ones."""
    start, exchange = jumps()
    before = start(TRIPLET, neutrons(), np.float64(0.01))
    after, info = exchange(jax.random.key(1), before)
    assert info["jumps"] == 0 and info["sign_flip"] > 0
    np.testing.assert_array_equal(after.walkers, before.walkers)
    for state in (before, after):
        np.testing.assert_allclose(state.guide.terms["two_body"], 0, atol=1e-12)


def test_walkers_that_jumped_have_the_guide_of_their_new_place():
    start, exchange = jumps()
    before = start(SINGLET, neutrons(), np.float64(0.5))
    after, info = exchange(jax.random.key(1), before)
    expected = start(SINGLET, after.walkers, np.float64(0.5)).guide
    before, after, info = jax.device_get((before, after, info))
    jumped = np.any(before.walkers != after.walkers, axis=(1, 2))
    rates = np.sum(np.maximum(-before.guide.exchanges, 0), axis=(1, 2))
    u = jax.random.uniform(jax.random.key(1), (64, 2))
    np.testing.assert_array_equal(jumped, u[:, 0] < 1 - np.exp(-0.5 * rates))
    assert 4 < np.sum(jumped) < 60 and jumped.mean() == info["jumps"]
    swapped = before.walkers[jumped][:, ::-1]
    np.testing.assert_array_equal(after.walkers[jumped], swapped)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9),
        after.guide,
        expected,
    )


def test_a_step_exchanges_walkers_after_their_move():
    def jumped(self, key, state):
        known = {"jumps": jnp.full((), 0.5), "sign_flip": jnp.full((), 0.25)}
        return state._replace(walkers=state.walkers[:, ::-1]), known

    start, _ = jumps()
    walkers = neutrons()
    with mock.patch.object(Projection, "_jumped", jumped):
        before = start(SINGLET, walkers, np.float64(1e-9))  # no drift, no diffusion
        state, info = jax.jit(JUMPING.step)(jax.random.key(1), before)
    np.testing.assert_allclose(state.walkers, walkers[:, ::-1], atol=1e-2)
    assert info["jumps"] == 0.5 and info["sign_flip"] == 0.25


def test_neutrons_of_one_spin_have_no_jumps():
    polarized = NeutronMatter(Spins(2, 0), 0.1)
    driver = Projection(Function(real), polarized)
    walkers = walkers_in(polarized, 4)
    step = jax.jit(lambda x: driver.step(jax.random.key(1), driver.init({}, x)))
    state, info = step(walkers)
    assert state.guide.exchanges == () and "jumps" not in info
    assert np.all(state.guide.terms["two_body"] == 0)


def test_projection_refuses_what_it_cannot_project():
    trap, psi = HarmonicTrap(2, 2), Function(gaussian)
    with pytest.raises(ValueError, match="must have a diffusion.*got NeutronMatter"):
        Projection(psi, NeutronMatter(Spins(1, 1), 0.1, spin_explicit=True))
    with pytest.raises(ValueError, match="time_step must be finite and positive"):
        Projection(psi, trap, 0.0)
    with pytest.raises(ValueError, match="chunk_size must be an integer"):
        Projection(psi, trap, chunk_size=0)

    def turning(params, x):
        return LogPsi(jnp.exp(1j * jnp.sum(x)), -jnp.sum(x**2))

    walkers = normal(4, 2, 2)
    with pytest.raises(ValueError, match="ansatz must be real .* got a complex psi"):
        Projection(Function(turning), trap).init({}, walkers)


def many_populations(n_walkers, width=0.7, time_step=0.05, steps=2400, copies=128):
    """Mean and error of the energy, as it is and corrected, of small populations."""
    psi = Function(functools.partial(trial, width))
    driver = Projection(psi, OSCILLATOR, time_step)
    walkers = OSCILLATOR.initial_walkers(jax.random.key(0), n_walkers * copies)
    walkers = walkers.reshape(copies, n_walkers, 1, 1)
    states = jax.vmap(lambda x: driver.init({}, x))(walkers)

    def step(states, i):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(5), i), copies)
        states, info = jax.vmap(driver.step)(keys, states)
        return states, (info["energy"], info["growth_energy"])

    _, series = jax.jit(lambda s: jax.lax.scan(step, s, jnp.arange(steps)))(states)
    energy, growth = (np.asarray(each)[steps // 6 :].T for each in series)
    diagnostics = Diagnostics(frozen=False)
    corrected = [
        corrected_energy(
            e, g, time_step, estimate(e).autocorrelation_time, diagnostics
        )[0]
        for e, g in zip(energy, growth, strict=True)
    ]
    found = np.stack([energy.mean(axis=1), np.array(corrected, float)])
    return found.mean(axis=1), found.std(axis=1, ddof=1) / np.sqrt(copies)


@pytest.mark.slow
def test_bias_of_a_small_population_falls_with_its_size_and_is_corrected():
    (small, corrected), (error, corrected_error) = many_populations(4)
    (large, _), (large_error, _) = many_populations(32)
    assert small - 0.5 > 5 * error
    assert large - 0.5 < (small - 0.5) / 3 + 3 * large_error
    assert abs(corrected - 0.5) < 4 * corrected_error + 1e-3

"""Real-time evolution: exact motions, the variational principle, and its limits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from hamiltonians import (
    Coulomb,
    HarmonicTrap,
    InverseSquare,
    TransverseFieldIsing,
)
from nqs.ansatze import BinaryRBM, PadeJastrow, Product, Slater
from nqs.ansatze.complex_parameters import (
    Shifted,
    complex_parameters,
    joined,
    with_imaginary,
)
from nqs.evolution.driver import Evolution, angle
from nqs.evolution.drives import Ramp
from nqs.optimizers.derivatives import CenteredDerivatives
from nqs.optimizers.holomorphic import holomorphic_solution, tikhonov
from nqs.optimizers.real_time import RealTime, eigenmodes, solution
from nqs.space.lattice import Lattice
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from samplers import Flip, Metropolis, SiteMetropolis
from tests.cases import further
from tests.drawn import parameters

EQUATIONS = RealTime()


def calogero(power, params, x):
    """Particles on a line, prod |x_i - x_j|^power exp(-a x^2 / 2), a = exp(log_a)."""
    i, j = np.triu_indices(x.shape[0], 1)
    pairs = power * jnp.sum(jnp.log(jnp.abs(x[i, 0] - x[j, 0])))
    return LogPsi(
        jnp.ones((), x.dtype), pairs - jnp.exp(params["log_a"]) * jnp.sum(x**2) / 2
    )


def start_at_one(key, x):
    return {"log_a": jnp.zeros((), x.dtype)}


@functools.cache
def breathing(n, power=2.0):
    """Complex psi of n particles in the ground state of omega = 1."""
    psi = functools.partial(calogero, power if n > 1 else 0.0)
    return complex_parameters(Function(psi, start_at_one))


def trap(n, omega, power=2.0):
    return HarmonicTrap(n, 1, omega, InverseSquare(power) if n > 1 else None)


joined_parts = jax.jit(joined)


def width(params):
    """Re a, with <sum x^2> = E_0 / Re a in the scaled ground state of energy E_0."""
    return float(np.exp(np.asarray(joined_parts(params)["log_a"])).real)


@functools.cache
def program(driver):
    """The first state and a step, compiled."""

    @jax.jit
    def step(key, state):
        return driver.step(jax.random.fold_in(key, state.step), state)

    return jax.jit(driver.init), step


def evolve(driver, params, walkers, times, time_step=0.01, key=3):
    """States at the times, and the info of all steps."""
    init, step = program(driver)
    state = init(params, walkers, time_step, times[0])
    states, infos = [], []
    for until in times:
        state = state._replace(until=np.asarray(float(until)))
        while float(state.time) < until:
            state, info = step(jax.random.key(key), state)
            infos.append(jax.device_get(info))
            assert len(infos) < 1000
        states.append(jax.device_get(state))
    return states, {name: np.array([i[name] for i in infos]) for name in infos[0]}


def on_a_line(n_walkers, n=1):
    """Walkers (w, n, 1)."""
    return np.random.default_rng(0).normal(size=(n_walkers, n, 1))


QUENCHED = Evolution(
    breathing(3), trap(3, 2.0), Metropolis(2), EQUATIONS, tolerance=1e-5
)


def test_breathing_after_a_quench_is_exact():
    # scaling solution, M. Geller and G. Vignale, Physica B 212, 283 (1995)
    omega, times = 2.0, np.array([0.3, 0.8, 1.6])
    walkers = on_a_line(64, 3)
    params = parameters(QUENCHED.ansatz, walkers[0], scale=0)
    states, info = evolve(QUENCHED, params, walkers, times)
    found = [1 / width(state.params) for state in states]
    expected = np.cos(omega * times) ** 2 + np.sin(omega * times) ** 2 / omega**2
    np.testing.assert_allclose(found, expected, atol=2e-4)
    assert info["residual"].max() < 1e-10
    assert np.abs(info["energy_drift"]).max() < 1e-10
    assert [float(state.time) for state in states] == times.tolist()


RAMP = Ramp((("trap", 3.0),), 0.7)
DRIVEN = Evolution(
    breathing(1), trap(1, 1.0), Metropolis(2), EQUATIONS, RAMP, tolerance=None
)


def test_frequency_that_grows_with_time_follows_newton_to_order_three():
    # the width b of a breathing oscillator follows b'' = 1 / b^3 - omega(t)^2 b
    factor = jax.jit(lambda time: RAMP(time)["trap"])

    def slope(time, y):
        square = float(factor(time))
        return [y[1], y[0] ** -3 - square * y[0]]

    options = {"rtol": 1e-10, "atol": 1e-12, "max_step": 0.01}
    solved = scipy.integrate.solve_ivp(slope, (0, 1.2), [1.0, 0.0], **options)
    walkers, errors = on_a_line(32), []
    params = parameters(DRIVEN.ansatz, walkers[0], scale=0)
    for h in (0.05, 0.025):
        (state,), info = evolve(DRIVEN, params, walkers, [1.2], h)
        errors.append(abs(width(state.params) * solved.y[0, -1] ** 2 - 1))
        np.testing.assert_allclose(info["time_step"], h, rtol=1e-9)
    assert errors[1] < 1e-4 and errors[0] / errors[1] > 6


def test_unknown_term_of_a_drive_is_refused():
    driver = Evolution(
        breathing(1), trap(1, 1.0), Metropolis(2), EQUATIONS, Ramp((("coulomb", 2.0),))
    )
    walkers = on_a_line(4)
    params = parameters(driver.ansatz, walkers[0], scale=0)
    with pytest.raises(ValueError, match="one of kinetic, trap, got coulomb"):
        jax.eval_shape(driver.terms, 0.0, params, walkers)


@pytest.mark.further
def test_center_of_mass_of_electrons_oscillates_exactly():
    # W. Kohn, Phys. Rev. 123, 1242 (1961); psi itself is no eigenstate
    spins, omega, shift = Spins(1, 1), 1.3, 0.4
    system = HarmonicTrap(2, 2, omega, Coulomb(), spins)
    inner = Shifted(Product((Slater(spins, omega), PadeJastrow(spins))))
    walkers = np.random.default_rng(0).normal(size=(512, 2, 2))
    params = jax.device_get(jax.jit(inner.init)(jax.random.key(1), walkers[0]))
    params["params"]["shift"] = np.array([[shift, 0.0]])
    driver = Evolution(
        complex_parameters(inner), system, Metropolis(5), EQUATIONS, tolerance=1e-4
    )
    (state,), _ = evolve(driver, jax.jit(with_imaginary)(params), walkers, [1.0])
    found = jax.device_get(jax.jit(joined)(state.params))["params"]
    # |psi|^2 depends on the center X by |exp(-alpha omega (X - shift)^2 + 2 tilt X)|^2
    alpha = np.exp(found["ansatz"]["factors_0"]["log_alpha"])
    force = alpha * found["shift"] + found["tilt"] / omega
    center = (force.real / alpha.real)[0]
    exact = [shift * np.cos(omega * 1.0), 0.0]
    np.testing.assert_allclose(center, exact, atol=2e-3)  # noise of 512 walkers


@functools.cache
def matrix(length, field):
    """H of an open Ising chain, with all configurations (2^s, s)."""
    model = TransverseFieldIsing(Lattice((length,), periodic=False), 1.0, field)
    x = np.array(np.unravel_index(np.arange(2**length), (2,) * length)).T
    place = {tuple(row): i for i, row in enumerate(x)}
    terms, rows = jax.device_get(
        jax.jit(jax.vmap(lambda x: (model.diagonal(x), model.connected(x))))(x)
    )
    dense = np.diag(sum(terms.values()))
    for i, row in enumerate(x):
        for sites, values, element in zip(*(part[i] for part in rows), strict=True):
            other = row.copy()
            other[sites] = values
            dense[i, place[tuple(other)]] += element
    return model, x, dense


def test_velocity_is_that_of_a_complete_ansatz():
    # with a parameter for every configuration, d log psi / dt = -i E_L + constant
    model, x, dense = matrix(3, 0.7)
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2, len(x)))

    def psi(params, x):
        i = jnp.ravel_multi_index(tuple(x), (2,) * 3, mode="clip")
        return LogPsi(jnp.exp(1j * params[1, i]), params[0, i])

    amplitude = np.exp(table[0] + 1j * table[1])
    weights = np.abs(amplitude) ** 2 / np.sum(np.abs(amplitude) ** 2)
    energies = dense @ amplitude / amplitude

    @jax.jit
    def velocity_and_energies(table, x, energies, weights):
        found = jax.vmap(lambda c: model.local_energy(Function(psi), table, c))(x)
        given = Function(psi), table, x, energies, weights
        return RealTime(cut=1e-12).velocity(*given), found

    (velocity, info), found = velocity_and_energies(table, x, energies, weights)
    np.testing.assert_allclose(energies, found)
    change = np.asarray(velocity[0]) + 1j * np.asarray(velocity[1])
    expected = -1j * energies
    offset = np.sum(weights * (change - expected))
    np.testing.assert_allclose(change - offset, expected, atol=1e-8)
    assert float(info["residual"]) < 1e-12


def test_spins_follow_the_exact_propagator():
    # all parameters of an RBM with as many as amplitudes, all configurations as walkers
    length, times = 3, [0.2, 0.6]
    quenched, x, after = matrix(length, 1.2)
    ansatz = complex_parameters(BinaryRBM(alpha=2))
    walkers = np.repeat(x, 32, axis=0)
    driver = Evolution(
        ansatz, quenched, SiteMetropolis(Flip(), 5), RealTime(1e-7), tolerance=1e-5
    )
    params = parameters(ansatz, x[0], scale=0.1)
    psi_of_all = jax.jit(jax.vmap(ansatz.apply, (None, 0)))

    def vector(params):
        psi = psi_of_all(params, x)
        found = psi.sign * np.exp(psi.logabs)
        return found / np.linalg.norm(found)

    states, info = evolve(driver, params, walkers, times)
    for state, time in zip(states, times, strict=True):
        exact = scipy.linalg.expm(-1j * time * after) @ vector(params)
        overlap = abs(np.vdot(exact, vector(state.params)))
        assert overlap**2 > 1 - 1e-3, (time, overlap)
    # the energy after the quench is conserved in the exact sum over configurations
    energies = [np.vdot(vector(s.params), after @ vector(s.params)) for s in states]
    start = np.vdot(vector(params), after @ vector(params))
    np.testing.assert_allclose(np.real(energies), np.real(start), atol=2e-3)
    assert info["effective_walkers"].min() > 0.5


def amplitudes(params, x):
    """A number for every configuration of three spins."""
    place = x @ np.array([4, 2, 1])
    return LogPsi(jnp.ones(()), params["logs"][place])


def all_alike(key, x):
    return {"logs": jnp.zeros(8)}


def test_weights_make_up_for_the_density_of_the_guide():
    # all configurations, equally likely: a flip of every spin leaves them as they are
    length, times = 3, [0.2, 0.6]
    quenched, x, after = matrix(length, 1.2)
    uniform = Function(lambda params, x: LogPsi(jnp.ones(()), jnp.zeros(())))
    ansatz = complex_parameters(Function(amplitudes, all_alike))
    driver = Evolution(
        ansatz,
        quenched,
        SiteMetropolis(Flip(), 2),
        RealTime(1e-10),
        tolerance=1e-5,
        guide=uniform,
    )
    params = parameters(ansatz, x[0])
    psi_of_all = jax.jit(jax.vmap(ansatz.apply, (None, 0)))

    def vector(params):
        psi = psi_of_all(params, x)
        return psi.sign * np.exp(psi.logabs)

    states, info = evolve(driver, params, x, times)
    start = vector(params)
    energy = np.vdot(start, after @ start).real / np.vdot(start, start).real
    for state, time in zip(states, times, strict=True):
        exact, found = (
            scipy.linalg.expm(-1j * time * after) @ start,
            vector(state.params),
        )
        size = np.linalg.norm(exact) * np.linalg.norm(found)
        assert abs(np.vdot(exact, found)) / size > 1 - 1e-7
        growth = 2 * np.log(np.linalg.norm(found) / np.linalg.norm(start))
        assert float(state.log_norm) == pytest.approx(growth, abs=1e-10)
    np.testing.assert_allclose(info["energy"], energy, atol=1e-4)
    np.testing.assert_allclose(info["variance"], info["variance"][0], rtol=1e-3)
    probability = np.abs(start) ** 2 / np.vdot(start, start).real
    few = 1 / (len(x) * np.sum(probability**2))
    assert info["effective_walkers"][0] == pytest.approx(few, rel=0.1)


def test_real_psi_is_refused():
    driver = Evolution(
        Function(functools.partial(calogero, 0.0), start_at_one),
        trap(1, 1.0),
        Metropolis(2),
        EQUATIONS,
    )
    walkers = on_a_line(4)
    params = parameters(driver.ansatz, walkers[0], scale=0)
    with pytest.raises(ValueError, match="complex to evolve"):
        init, step = program(driver)
        step(jax.random.key(0), init(params, walkers, 0.01, 1.0))


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_solution_is_the_pseudoinverse(shape):
    rng = np.random.default_rng(1)
    columns, goal = rng.normal(size=shape), rng.normal(size=shape[0])

    @jax.jit
    def solved(columns, goal):
        modes = eigenmodes(columns)
        return solution(columns, modes, modes.images.T @ goal)

    velocity, change = solved(columns, goal)
    expected = np.linalg.pinv(columns) @ goal
    np.testing.assert_allclose(velocity, expected, atol=1e-10)
    np.testing.assert_allclose(change, columns @ expected, atol=1e-10)


def test_columns_are_the_derivatives_as_a_matrix():
    ansatz, x = complex_parameters(BinaryRBM(alpha=1)), matrix(3, 1.0)[1]
    params, tangent = (parameters(ansatz, x[0], seed) for seed in (0, 1))

    @jax.jit
    def both(params, tangent):
        weights = np.full(len(x), 1 / len(x))
        derivatives = CenteredDerivatives(ansatz, params, x, weights)
        flat = jax.flatten_util.ravel_pytree(tangent)[0]
        return derivatives.columns() @ flat, derivatives.times(tangent)

    np.testing.assert_allclose(*both(params, tangent), atol=1e-12)


def test_forces_below_their_noise_are_left_out():
    rng = np.random.default_rng(2)
    weights = np.full(400, 1 / 400)
    images = rng.normal(size=(400, 2)) / 20
    goal = images[:, 0] + 0.3 * rng.normal(size=400) / 20

    @jax.jit
    def filters(images, goal):
        modes = eigenmodes(images)._replace(images=images)
        return [
            RealTime(noise_cut=cut)._filtered(modes, goal, weights)[1]
            for cut in (1e-3, 4.0)
        ]

    both, kept = filters(images, goal)
    np.testing.assert_allclose(both, 1, atol=1e-10)
    assert kept[0] > 0.99 and kept[1] < 0.1


@pytest.mark.parametrize("cut, expected", [(1e-3, [0.0, 0.5, 1.0]), (1e-8, [0, 1, 1])])
def test_small_eigenvalues_are_left_out(cut, expected):
    values = np.array([0.0, 1e-3, 0.999])

    @jax.jit
    def filtered(values):
        modes = eigenmodes(jnp.eye(4)[:, :3])._replace(values=values)
        modes = modes._replace(images=jnp.ones((4, 3)))
        equations = RealTime(cut, noise_cut=1e-9)
        kept = equations._filtered(modes, np.ones(4), np.full(4, 0.25))[1]
        return kept, tikhonov(jnp.diag(values), values, cut)

    kept, solved = filtered(values)
    np.testing.assert_allclose(kept, expected, atol=1e-6)
    np.testing.assert_allclose(
        solved, 1 - (cut / (values + cut)) ** 3, rtol=1e-6, atol=1e-12
    )


@pytest.mark.parametrize(
    "wrap, n_walkers", [(complex_parameters, 8), *further((None, 100))]
)
def test_solution_in_complex_numbers_is_that_in_real_ones(wrap, n_walkers):
    ansatz = BinaryRBM(alpha=1, complex=wrap is None)
    ansatz = ansatz if wrap is None else wrap(ansatz)
    rng = np.random.default_rng(4)
    x, cut = rng.integers(0, 2, size=(n_walkers, 4)), 1e-3
    weights = np.full(n_walkers, 1 / n_walkers)

    @jax.jit
    def both(params, goal):
        again = ansatz.from_pairs(*ansatz.pairs(params))
        derivatives = CenteredDerivatives(ansatz, params, x, weights)
        goal = derivatives.center(goal)
        velocity, change = holomorphic_solution(derivatives, goal, cut)
        columns = derivatives.columns()
        matrix = columns.T @ columns  # its trace is that of two complex matrices
        expected = tikhonov(matrix, columns.T @ goal, cut / 2)
        found = jax.flatten_util.ravel_pytree(velocity)[0]
        return again, (found, expected), (change, derivatives.times(velocity))

    params = parameters(ansatz, x[0], scale=0.4)
    again, velocities, changes = both(params, rng.normal(size=(n_walkers, 2)))
    assert jax.tree.all(jax.tree.map(np.array_equal, again, params))
    np.testing.assert_allclose(*velocities, atol=1e-8)
    np.testing.assert_allclose(*changes, atol=1e-10)


@pytest.mark.parametrize("n_walkers", [4, *further(200)])
def test_both_solutions_agree(n_walkers):
    # more and fewer rows than parameters; the cuts leave nothing out
    def psi(params, x):
        return LogPsi(jnp.ones(()), params["a"] @ x[:, 0] + params["b"] @ x[:, 0] ** 2)

    ansatz, params = complex_parameters(Function(psi)), {"a": np.ones(5) / 4}
    params |= {"b": np.ones(5) / 5}
    rng = np.random.default_rng(3)
    x, energies = rng.normal(size=(n_walkers, 5, 1)), rng.normal(size=(2, n_walkers))

    @jax.jit
    def both(params, x, energies):
        point = ansatz, with_imaginary(params), x, energies
        weights = jnp.full(n_walkers, 1 / n_walkers)
        return [RealTime(1e-9, c).velocity(*point, weights) for c in (0.0, 1e-6)]

    one, other = both(params, x, energies[0] + 1j * energies[1])
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_angle_is_that_of_the_wave_functions():
    # two Gaussians exp(-a x^2 / 2) at walkers of the first
    a, b = 1.0, 1.2
    x = np.random.default_rng(0).normal(size=200_000) / np.sqrt(2 * a)
    one, other = (LogPsi(np.ones_like(x), -c * x**2 / 2) for c in (a, b))
    overlap = np.sqrt(2 * np.sqrt(a * b) / (a + b))
    expected = np.sqrt(1 - overlap**2)
    equal = np.full(len(x), 1 / len(x))
    turned = other._replace(sign=np.exp(0.3j) * other.sign)
    found, none = jax.jit(
        lambda one, other, turned: (
            angle(other, one, equal),
            angle(turned, other, equal),
        )
    )(one, other, turned)
    assert float(found) == pytest.approx(expected, rel=0.02)
    assert float(none) < 1e-7


def test_rejected_step_leaves_time_and_psi():
    walkers = on_a_line(64, 3)
    params = parameters(QUENCHED.ansatz, walkers[0], scale=0)
    init, step = program(QUENCHED)
    state, info = step(jax.random.key(0), init(params, walkers, 0.5, 1.0))  # too long
    assert not info["accepted"] and float(state.time) == 0
    assert float(state.time_step) == pytest.approx(0.15)
    assert width(state.params) == 1.0

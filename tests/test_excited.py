"""Excited states: K systems side by side, their matrices, levels and error bars."""

import dataclasses
import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import (
    ClassicalIsing,
    Coulomb,
    Gaussian,
    HarmonicTrap,
    Heisenberg,
    TransverseFieldIsing,
    oscillator_levels,
)
from nqs.ansatze import (
    Backflow,
    BinaryRBM,
    FeedForward,
    PadeJastrow,
    Product,
    SpinJastrow,
)
from nqs.contracts import check_symmetry
from nqs.excited import (
    SideBySide,
    StateMatrices,
    StateOverlaps,
    States,
    levels,
    overlaps,
    systems,
)
from nqs.files.directory import RunError
from nqs.observables import Dipole, MeanSquareRadius
from nqs.optimizers import Spring
from nqs.ratios.sites import EvaluatedRatios
from nqs.runs import Experiment, run
from nqs.space.lattice import Lattice, side_by_side
from nqs.space.oscillator import lowest_energies
from nqs.space.spins import SpinPositions, Spins
from nqs.statistics import estimate
from nqs.types import Function, LogPsi
from samplers import Exchange, Flip, Langevin, SiteMetropolis
from tests.cases import further
from tests.differences import kinetic_energy_from, near
from tests.drawn import parameters

K = 3


def of_levels(params, x):
    """A combination of the K lowest oscillator levels of one particle on a line."""
    q = x[0, 0]
    hermite = jnp.stack([jnp.ones_like(q), 2**0.5 * q, (2 * q**2 - 1) / 2**0.5])
    value = jnp.sum(params["c"] * hermite)
    return LogPsi(jnp.sign(value), jnp.log(jnp.abs(value)) - q**2 / 2)


OSCILLATOR = SideBySide(HarmonicTrap(1, 1), K)
EXACT = States(Function(of_levels, lambda key, x: {"c": jnp.ones(3)}), K, noise=1.0)


@functools.cache
def exact_walkers(n_walkers=64):
    initial = jax.jit(OSCILLATOR.initial_walkers, static_argnums=1)
    walkers = initial(jax.random.key(0), n_walkers)
    return parameters(EXACT, walkers[0], scale=1.0), walkers


@pytest.fixture(scope="module")
def of_exact_states():
    """Local energies, matrices and values at 64 walkers, and psi_i of the first."""
    matrices = StateMatrices(OSCILLATOR)

    @jax.jit
    def measured(params, walkers):
        def of_one(x):
            energy = OSCILLATOR.local_energy(EXACT, params, x)
            return energy, matrices(EXACT, params, x)[0]

        x = walkers[0]
        psi = jax.vmap(lambda p: EXACT.ansatz.apply(p, x[:1]))(params)
        return *jax.vmap(of_one)(walkers), StateOverlaps()(EXACT, params, x), psi

    return jax.device_get(measured(*exact_walkers()))


def test_local_energy_of_exact_states_is_constant(of_exact_states):
    energies, *_ = of_exact_states
    np.testing.assert_allclose(energies, 0.5 + 1.5 + 2.5, rtol=1e-9)


def test_matrix_of_exact_states_is_constant_with_the_levels_as_eigenvalues(
    of_exact_states,
):
    _, found, *_ = of_exact_states
    np.testing.assert_allclose(found, found[:1] + np.zeros_like(found), atol=1e-7)
    energies = np.sort(np.linalg.eigvals(found[0]).real)
    np.testing.assert_allclose(energies, [0.5, 1.5, 2.5], rtol=1e-9)


def test_values_of_the_first_system_are_a_row_of_the_matrix(of_exact_states):
    *_, found, psi = of_exact_states
    expected = psi.sign * np.exp(psi.logabs - np.max(psi.logabs))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_overlaps_refuse_an_ansatz_of_one_state():
    with pytest.raises(ValueError, match="ansatz must be States, got Backflow"):
        StateOverlaps()(Backflow(), {}, np.zeros((2, 1)))  # pyright: ignore


def test_dipole_transitions_of_the_oscillator():
    """|<a|x|a + 1>|^2 = (a + 1) / 2, and <x^2> = a + 1/2."""
    params, _ = exact_walkers()
    matrices = StateMatrices(OSCILLATOR, (Dipole(0), MeanSquareRadius()))
    sampler = Langevin(sweeps=10, time_step=0.3)

    @jax.jit
    def measured(key):
        key_walkers, key = jax.random.split(key)
        state = sampler.init(OSCILLATOR.initial_walkers(key_walkers, 256))

        def step(state, key):
            state, _ = sampler.step(key, EXACT, params, state)
            return state, jax.vmap(lambda x: matrices(EXACT, params, x))(state.walkers)

        return jax.lax.scan(step, state, jax.random.split(key, 70))[1]

    values = measured(jax.random.key(3))
    series = matrices.series(np.array(values[10:]))
    expected = {"dipole_x_0_1": 0.5, "dipole_x_1_2": 1.0, "dipole_x_0_2": 0.0}
    expected |= {"dipole_x_0": 0.0, "r_squared_0": 0.5, "r_squared_2": 2.5}
    for name, value in expected.items():
        found = estimate(series[name].T)
        assert found.error < 0.1
        assert abs(found.mean - value) < 4 * found.error + 1e-9, name


@pytest.mark.further
@pytest.mark.parametrize("flip_symmetric", [True, False])
def test_kinetic_energy_is_that_of_the_determinant(flip_symmetric):
    """Traces of matrices agree with the Laplacian of the whole determinant."""
    spins = Spins(1, 1)
    one = Backflow(spins, layers=1, width=3, flip_symmetric=flip_symmetric)
    psi = States(Product((one, PadeJastrow(spins))), K, noise=0.1)
    both = SideBySide(HarmonicTrap(2, 2, 1.0, Coulomb(), spins), K)
    x = np.random.default_rng(0).normal(size=(2 * K, 2))
    params = parameters(psi, x)

    @jax.jit
    def both_ways(params, x, near):
        each = jax.vmap(jax.vmap(psi.apply, (None, 0)), (None, 0))
        return both.terms(psi, params, x)["kinetic"], each(params, near)

    found, psi_near = jax.device_get(both_ways(params, x, near(x, 0.01)))
    expected = kinetic_energy_from(psi_near, 0.01)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_only_a_psi_with_spin_features_changes_under_a_flip_of_all_spins():
    for flip_symmetric in (True, False):
        psi = Backflow(Spins(1, 1), 1, width=4, flip_symmetric=flip_symmetric)
        x = np.random.default_rng(0).normal(size=(2, 2))
        each = jax.jit(jax.vmap(psi.apply, (None, 0)))
        logabs = each(parameters(psi, x), np.stack([x, x[::-1]])).logabs
        change = np.ptp(logabs)
        assert (abs(change) < 1e-12) == flip_symmetric


def drawn_values(coefficients, n, rng):
    """Values (n, K) of states c h of one particle on a line, from their determinant.

    The positions are the eigenvalues of a random Hermitian matrix (M. L. Mehta, Random
    Matrices, 2004), in random order.
    """
    real, imaginary = rng.normal(scale=0.5**0.5, size=(2, n, K, K))
    matrix = real + 1j * imaginary
    positions = np.linalg.eigvalsh((matrix + matrix.conj().swapaxes(1, 2)) / 2)
    q = positions[np.arange(n), rng.integers(K, size=n)]
    hermite = np.stack([np.ones_like(q), 2**0.5 * q, (2 * q**2 - 1) / 2**0.5], axis=-1)
    return hermite @ np.transpose(coefficients) * rng.normal(size=(n, 1))


@pytest.mark.parametrize("is_complex", [*further(False), True])
def test_overlaps_and_their_errors(is_complex):
    rng = np.random.default_rng(0)
    c = np.array([[1.0, 0.3, -0.5], [0.4, 2.0, 0.0], [0.0, 0.1, 0.3]])
    c = c + 1j * rng.normal(size=c.shape) if is_complex else c
    norm = np.linalg.norm(c, axis=1)
    exact = np.abs(c @ c.conj().T) / np.outer(norm, norm)
    sigmas, n = [], 400
    for _ in range(100):
        found = overlaps(drawn_values(c, n, rng))
        sigmas.append(
            [
                (found[f"overlap_{a}_{b}"].mean() - exact[a, b])
                / (found[f"overlap_{a}_{b}"].std() / n**0.5)
                for a, b in itertools.combinations(range(K), 2)
            ]
        )
    assert np.all(np.abs(np.mean(sigmas, axis=0)) < 0.4)  # 0.1, and a bias of 1 / n
    assert np.all(np.abs(np.std(sigmas, axis=0) - 1) < 0.25)


def test_overlap_is_one_for_almost_equal_states_and_unknown_for_broken_samples():
    c = np.array([[1.0, 0.0, 0.0], [1.0, 1e-3, 0.0], [0.0, 0.0, 1.0]])
    values = drawn_values(c, 2000, np.random.default_rng(0))
    assert abs(overlaps(values)["overlap_0_1"].mean() - 1) < 1e-5
    for number in (0, np.nan):
        values[0] = number
        assert np.isnan(overlaps(values)["overlap_1_2"]).all()


def test_overlaps_are_unknown_where_few_configurations_carry_the_samples():
    v = np.array([[1, 0.5, 0.2], [0.3, 1, 0], [0, 0.4, 1], [0.3, 0.3, 0.3]])
    numbers = np.array([[1, 1, 1, 0], [330, 330, 330, 10], [1, 0, 0, 0], [1, 0, 1, 0]])
    for counts in numbers:
        found = overlaps(np.repeat(v, counts, axis=0))
        assert np.isnan(found["overlap_1_2"]).all(), counts
    assert np.isfinite(overlaps(np.repeat(v, 9, axis=0))["overlap_1_2"]).all()


def test_shared_layers_have_one_set_of_parameters():
    x = np.zeros((2 * K, 2))
    psi = States(Backflow(Spins(1, 1), layers=1, width=4), K)
    params = jax.jit(psi.init)(jax.random.key(0), x)["params"]
    one = jax.eval_shape(psi.ansatz.init, jax.random.key(0), x[:2])["params"]
    for name in params:
        several = () if name == "MessagePassing_0" else (K,)
        shapes = jax.tree.map(lambda leaf, k=several: (*k, *leaf.shape), one[name])
        assert jax.tree.map(jnp.shape, params[name]) == shapes
    assert np.std(params["Dense_0"]["kernel"]) > 0  # zero without noise


def test_ratios_on_a_lattice_are_those_of_the_determinant():
    psi = States(BinaryRBM(alpha=1), K, noise=0.5)
    x = np.array([0, 1, 1, 0, 1, 1, 0, 1, 0, 0, 0, 1])  # no two systems ever agree
    evaluated = EvaluatedRatios(psi)

    @jax.jit
    def ratios(params, x, sites):
        tables = psi.site_tables(params)

        def change(carry, site):
            x, cache = carry
            values = 1 - x[site]
            expected, _ = evaluated.site_move(
                params, psi.apply(params, x), x, site, values
            )
            ratio, cache = psi.site_move(tables, cache, x, site, values)
            return (x.at[site].set(values), cache), (ratio, expected)

        return jax.lax.scan(change, (x, psi.site_cache(tables, x)), sites)[1]

    sites = np.array([[0], [5], [11], [5]])
    found, expected = ratios(parameters(psi, x, scale=0.5), x, sites)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_lattice_terms_are_those_of_the_whole_hamiltonian():
    """Traces of matrices agree with sums over all changes of the determinant."""
    chain = Lattice((4,))
    psi, model = States(BinaryRBM(alpha=1), K, noise=0.5), TransverseFieldIsing(chain)
    whole = TransverseFieldIsing(side_by_side(chain, K))
    x = np.random.default_rng(0).integers(0, 2, 3 * 4)
    plain = Function(lambda params, x: psi.apply(params, x))

    @jax.jit
    def both(params, x):
        found = SideBySide(model, K).local_energy(psi, params, x)
        return found, whole.local_energy(plain, params, x)

    found, expected = both(parameters(psi, x, scale=0.5), x)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def random_matrices(key, shape):
    """Samples about a matrix with the levels 0, 1 and 3, and about an operator."""
    rng = np.random.default_rng(key)
    basis = np.random.default_rng(0).normal(size=(K, K)) + 2 * np.eye(K)
    inverse = np.linalg.inv(basis)
    operator = np.array([[1, 0.5, 0.2], [0.5, 2, 0.3], [0.2, 0.3, 3]])
    mean = np.stack(
        [inverse @ np.diag([0.0, 1, 3]) @ basis, inverse @ operator @ basis]
    )
    return mean + 0.3 * rng.normal(size=(*shape, 2, K, K)), operator


def test_series_of_levels_are_functions_of_the_mean():
    """Moving one sample moves the functions of the mean by the slopes of the series."""
    values, _ = random_matrices(1, (50, 4))
    series = levels(values, ["o"])
    step = 1e-5
    for sample in ((0, 0), (7, 3)):
        moved = values.copy()
        mean = values.mean(axis=(0, 1))
        moved[sample] += step * 200 * (values[sample] - mean)
        change = levels(moved, ["o"])
        for name, samples in series.items():
            slope = (change[name].mean() - samples.mean()) / step
            expected = samples[sample] - samples.mean()
            np.testing.assert_allclose(slope, expected, rtol=1e-2, atol=1e-3)


def test_errors_of_levels_are_calibrated():
    deviations = []
    for key in range(150):
        values, operator = random_matrices(key, (200, 4))
        exact = {"level_0": 0, "level_1": 1, "level_2": 3, "o_1": operator[1, 1]}
        exact |= {"o_0_2": operator[0, 2] ** 2, "o_1_2": operator[1, 2] ** 2}
        series = levels(values, ["o"])
        for name, value in exact.items():
            found = estimate(series[name].T)
            deviations.append((found.mean - value) / found.error)
    assert 0.85 < np.std(deviations) < 1.1
    assert abs(np.mean(deviations)) < 0.15


def test_degenerate_and_complex_levels_stay_finite():
    values = np.zeros((20, 2, 1, 2, 2))
    values[..., 0, :, :] = [[1.0, 1e-3], [-1e-3, 1.0]]  # eigenvalues 1 +- 1e-3 i
    found = levels(values, [])
    np.testing.assert_allclose(found["level_0"], 1.0)
    values[..., 0, :, :] = np.eye(2)
    assert all(np.isfinite(samples).all() for samples in levels(values, []).values())


@pytest.mark.parametrize(
    "trap, expected",
    [
        (
            HarmonicTrap(2, 2, 1.0, Coulomb(), Spins(1, 1)),
            [3, 3.59649888, 3.59649888, 4, 4, 4.45929138, 4.45929138, 4.59649888],
        ),
        *further(
            (
                HarmonicTrap(2, 2, 0.28, Coulomb(), Spins(1, 1)),
                [
                    1.02164401,
                    1.14347066,
                    1.14347066,
                    1.30164401,
                    1.30164401,
                    1.35837024,
                ],
            ),
            (
                HarmonicTrap(2, 3, 0.5, Coulomb(), Spins(1, 1)),
                [2, 2.35965706, 2.35965706, 2.35965706, 2.5, 2.5, 2.5, 2.7936139],
            ),
        ),
        (
            HarmonicTrap(2, 1, 1.0, Gaussian(10, 0.5), Spins(2, 0)),
            [2.42561902, 3.42561902, 4.42561902, 4.52333184, 5.42561902, 5.52333184],
        ),
        *further(
            (HarmonicTrap(2, 2, 1.0, Coulomb(), Spins(2, 0)), [3.59649888] * 2),
            (HarmonicTrap(2, 2, 1.0, Coulomb(), None), [3, 4, 4, 4.45929138]),
            (
                HarmonicTrap(3, 1, spins=Spins(3, 0)),
                [4.5, 5.5, 6.5, 6.5, 7.5, 7.5, 7.5],
            ),
        ),
    ],
)
def test_spectra_of_traps(trap, expected):
    """Chebyshev collocation of the relative motion, and levels by counting."""
    found = [level.value for level in trap.spectrum(len(expected))]
    np.testing.assert_allclose(found, expected, atol=2e-8)


@pytest.mark.parametrize("spins", [None, Spins(2, 1), Spins(3, 0)])
def test_lowest_energies_of_free_particles(spins):
    omegas, count = [1.0, 1.3], 12
    single = (np.array(oscillator_levels(10, omegas)) + 0.5) @ np.array(omegas)

    def totals(n, choices):
        return [sum(chosen) for chosen in choices(single, n)]

    if spins is None:
        expected = totals(3, itertools.combinations_with_replacement)
    else:
        up, down = (totals(n, itertools.combinations) for n in (spins.up, spins.down))
        expected = [one + other for one in up for other in down]
    found = lowest_energies(count, 3, spins, omegas)
    np.testing.assert_allclose(found, sorted(expected)[:count], rtol=1e-12)


def test_spectra_of_lattices():
    triplet = Heisenberg(Lattice((8,))).spectrum(2)
    np.testing.assert_allclose(
        [level.value for level in triplet], [-3.65109341, -3.12841906], atol=1e-8
    )
    for field in (0.5, 1.0, 1.7):
        ring = TransverseFieldIsing(Lattice((8,)), field=field)
        exact = [level.value for level in ring.spectrum(3)]  # by diagonalization
        formula = [level.value for level in ring.spectrum(2)]
        np.testing.assert_allclose(formula, exact[:2], rtol=1e-10)
    critical = TransverseFieldIsing(Lattice((20,))).spectrum(2)
    found = [level.value for level in critical]
    np.testing.assert_allclose(found, [-25.49098969, -25.41240947], atol=1e-8)


def experiment(**changes):
    """One particle, two states, exact to the noise of training."""
    one = Experiment(
        ansatz=Function(of_levels, lambda key, x: {"c": jnp.ones(3)}),
        hamiltonian=HarmonicTrap(1, 1),
        sampler=Langevin(sweeps=2),
        optimizer=Spring(),
        observables=(MeanSquareRadius(), Dipole(0)),
        n_walkers=32,
        iterations=2,
        burn_in=2,
        evaluation_steps=50,
    )
    two = one.with_states(2)
    ansatz = dataclasses.replace(two.ansatz, noise=1.0)
    return dataclasses.replace(two, **({"ansatz": ansatz} | changes))


@pytest.mark.further
def test_a_run_reports_levels_with_references(tmp_path, capsys):
    result = run(experiment(directory=str(tmp_path / "a")))
    printed = capsys.readouterr().out
    assert "level 0: energy" in printed and "level 1: energy" in printed
    found = json.loads((tmp_path / "a" / "result.json").read_text())["levels"]
    assert [level["comparison"]["value"] for level in found] == [0.5, 1.5]
    assert result["references"][0]["value"] == 2.0
    assert {"r_squared_0", "dipole_x_0_1", "gap_1", "overlap_0_1"} <= set(
        result["observables"]
    )
    arrays = np.load(tmp_path / "a" / "observables.npz")
    assert arrays["state_matrices"].shape == (3, 2, 2)
    total = np.trace(arrays["state_matrices"][0])
    np.testing.assert_allclose(total, result["energy"], rtol=1e-9)


@pytest.mark.further
def test_states_of_a_lattice_run(tmp_path):
    """The move stays within one system: every copy keeps its magnetization."""
    one = Experiment(
        ansatz=SpinJastrow(),
        hamiltonian=Heisenberg(Lattice((4,))),
        sampler=SiteMetropolis(Exchange(Lattice((4,)))),
        optimizer=Spring(),
        n_walkers=64,
        iterations=150,
        evaluation_steps=100,
        directory=str(tmp_path / "a"),
    )
    experiment = one.with_states(2)
    result = run(experiment)
    assert abs(result["energy"] - (-2 - 1)) < 0.05
    sampler, vmc = experiment.sampler, experiment.vmc()

    @jax.jit
    def moved(key):
        walkers = experiment.hamiltonian.initial_walkers(key, 8)
        params = vmc.ansatz.init(key, walkers[0])
        state, _ = sampler.step(key, vmc.ansatz, params, sampler.init(walkers))
        return jax.vmap(lambda x: systems(x, 2))(state.walkers)

    np.testing.assert_array_equal(np.sum(moved(jax.random.key(0)), axis=2), 2)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"ansatz": FeedForward((4,))}, "ansatz must be States of 2"),
        *further(
            (
                {
                    "hamiltonian": SideBySide(HarmonicTrap(2, 1), 2),
                    "ansatz": States(FeedForward((4,)), 2),
                },
                "an exchange of bosons",
            )
        ),
        (
            {
                "hamiltonian": SideBySide(HarmonicTrap(2, 2, spins=Spins(1, 1)), 2),
                "ansatz": States(Backflow(Spins(2, 0)), 2),
            },
            "spins of Backflow must equal",
        ),
        (
            {
                "hamiltonian": SideBySide(HarmonicTrap(2, 1, spins=Spins(2, 0)), 2),
                "ansatz": States(FeedForward((4,)), 2),
            },
            "an exchange of the equal particles 0 and 1",
        ),
    ],
)
def test_unsuitable_states_are_refused(tmp_path, change, message):
    with pytest.raises((ValueError, RunError), match=message):
        run(experiment(directory=str(tmp_path / "a"), observables=(), **change))


def test_another_number_of_states_is_refused():
    three = States(Function(of_levels), 3)
    with pytest.raises(ValueError, match="2 states for SideBySide, got States 3"):
        SideBySide(HarmonicTrap(1, 1), 2).terms(three, {}, np.zeros((2, 1)))


def test_a_start_with_equal_systems_is_no_reason_to_refuse():
    """psi vanishes where two systems agree, as often happens on few sites."""
    model, chain = SideBySide(TransverseFieldIsing(Lattice((2,))), 2), Lattice((2,))
    assert chain.n == 2
    psi = States(BinaryRBM(alpha=1), 2, noise=0.5)
    walkers = np.zeros((3, 4), int)
    params = parameters(psi, walkers[0], scale=0.5)
    check_symmetry(psi, model, params, walkers, lambda f, *of: jax.jit(f)(*of))


class WithSpins(HarmonicTrap):
    """Particles whose configurations contain their spins."""

    def initial_walkers(self, key, n_walkers):
        positions = super().initial_walkers(key, n_walkers)
        return SpinPositions(positions, jnp.zeros((n_walkers, self.n), int))


def test_systems_that_have_no_states_are_refused():
    with pytest.raises(
        ValueError, match="system must have quantum states, got Classical"
    ):
        SideBySide(ClassicalIsing(Lattice((4,)), temperature=1.0), 2)
    with pytest.raises(ValueError, match="walkers of one system must be an array"):
        SideBySide(WithSpins(2, 2), 2).initial_walkers(jax.random.key(0), 4)


def test_exchange_refuses_configurations_of_another_lattice():
    with pytest.raises(ValueError, match="Exchange must have the 8 sites"):
        Exchange(Lattice((4,))).sweep(jax.random.key(0), jnp.zeros(8, int))


def test_broken_samples_leave_a_result():
    values = np.full((20, 2, 2, 2, 2), np.nan)
    assert all(np.isnan(samples).all() for samples in levels(values, ["o"]).values())


@pytest.mark.parametrize("count", [1, 0, 2.5])
def test_count_must_be_at_least_two(count):
    with pytest.raises(ValueError, match="count must be an integer >= 2"):
        States(Function(of_levels), count)
    with pytest.raises(ValueError, match="count must be an integer >= 2"):
        SideBySide(HarmonicTrap(1, 1), count)


@pytest.mark.further
def test_flips_of_many_systems_are_sampled_from_the_determinant():
    """Frequencies of two spins in two systems agree with psi^2 by enumeration."""
    psi = States(BinaryRBM(alpha=1), 2, noise=0.3)
    every = np.array(list(itertools.product([0, 1], repeat=4)))
    params = parameters(psi, every[0], scale=0.3)
    sampler, n_walkers = SiteMetropolis(Flip(), sweeps=60), 8000
    walkers = np.tile([0, 1, 1, 1], (n_walkers, 1))  # off the nodes

    @jax.jit
    def sampled(params, walkers):
        state = sampler.init(walkers)
        state, _ = sampler.step(jax.random.key(2), psi, params, state)
        logabs = jax.vmap(lambda x: psi.apply(params, x).logabs)(every)
        return state.walkers, logabs

    last, logabs = jax.device_get(sampled(params, walkers))
    density = np.exp(2 * logabs)
    density /= density.sum()
    counts = np.bincount(last @ np.array([8, 4, 2, 1]), minlength=16)
    expected = n_walkers * density
    kept = expected > 5
    chi_square = np.sum((counts - expected)[kept] ** 2 / expected[kept])
    assert chi_square < 40
    assert counts[~kept].sum() < 40

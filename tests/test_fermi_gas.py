"""The unitary Fermi gas: its potential, its references, its command line."""

import dataclasses
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.command_line.notation import Part
from experiments.fermi_gas import FermiGasOptions
from hamiltonians import FermiGas
from hamiltonians.fermi_gas import TWO, PoeschlTeller
from hamiltonians.references.two_in_a_cube import energy_of_two
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi


@pytest.mark.parametrize("length", [1.5, 4.0, 40.0])
def test_the_potential_is_the_sum_over_images(length):
    potential = PoeschlTeller(2.0, length)
    r = np.random.default_rng(0).uniform(-length, length, (5, 3))
    images = np.array(list(itertools.product(range(-9, 10), repeat=3))) * length
    distances = np.linalg.norm(r[:, None, :] + images[None], axis=-1)
    expected = np.sum(-8 / np.cosh(np.minimum(2 * distances, 300)) ** 2, axis=1)
    found = potential(jnp.asarray(r))
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-7)


def test_potential_has_infinite_scattering_length_and_given_effective_range():
    """u = tanh(mu r) solves u'' = V u; r_e = 2 int (1 - u^2) with u -> 1."""
    mu = 1.7
    potential = PoeschlTeller(mu, 1e3)
    r, h = np.linspace(0.05, 6, 300), 1e-4
    u = np.tanh(mu * np.array([r - h, r, r + h]))
    curvature = (u[0] - 2 * u[1] + u[2]) / h**2
    along = np.stack([r, 0 * r, 0 * r], axis=-1)
    np.testing.assert_allclose(
        curvature, np.asarray(potential(jnp.asarray(along))) * u[1], atol=1e-6
    )
    gas = FermiGas(Spins(1, 1), 0.7)
    fine = np.linspace(0, 30, 300001)
    assert 2 * np.trapezoid(
        1 - np.tanh(gas.pair.mu * fine) ** 2, fine
    ) == pytest.approx(0.7, rel=1e-7)


def test_transform_of_the_potential_is_its_integral_over_the_cube():
    potential = PoeschlTeller(2.0, 5.0)
    axis = np.arange(40) * 5.0 / 40
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1)
    for m in ([1, -1, 2], [0, 0, 0]):
        k = 2 * math.pi / 5.0 * np.array(m)
        values = np.asarray(potential(jnp.asarray(grid)))
        expected = np.mean(values * np.cos(grid @ k)) * 5.0**3
        np.testing.assert_allclose(potential.transform(k), expected, rtol=1e-6)
    # the series for small k agrees with the formula at its limit y = 0.01
    k = np.array([[0.04 / math.pi * (1 + step), 0, 0] for step in (-1e-6, 1e-6)])
    below, above = potential.transform(k)
    np.testing.assert_allclose(below, above, rtol=1e-9)


@pytest.mark.parametrize(
    "kf_re, expected",
    [(0.8, -0.46895991991262664), (0.4, -0.4390263869137497)],
)
def test_reference_of_two_fermions_is_exact(kf_re, expected):
    """Also -0.43902638 from Luescher's zeta function and the effective range."""
    exact, bound = FermiGas(Spins(1, 1), kf_re).references()
    assert (exact.kind, bound.kind) == ("exact", "upper_bound")
    assert exact.value == pytest.approx(expected, abs=2e-8)
    assert bound.value == 0


@pytest.mark.slow
def test_the_tabulated_energy_is_that_of_its_plane_waves():
    gas = FermiGas(Spins(1, 1), 0.4)
    found = energy_of_two(gas.pair, 1.0, 24) / gas.unit
    assert found == pytest.approx(TWO[0.4], abs=2e-8)


def test_a_range_too_short_for_its_plane_waves_has_no_exact_reference():
    (bound,) = FermiGas(Spins(1, 1), 0.3).references()
    assert bound.kind == "upper_bound"


def test_only_opposite_spins_interact():
    gas = FermiGas(Spins(2, 1), 0.8)
    x = np.random.default_rng(0).uniform(0, 2, (3, 3))
    flat = Function(lambda params, x: LogPsi(jnp.ones(()), jnp.sum(x) * 0.0))
    found = jax.jit(lambda x: gas.terms(flat, {}, x)["potential"])(x)
    expected = np.sum(jax.jit(jax.vmap(gas.pair))(x[:2] - x[2])) / gas.unit
    assert float(found) == pytest.approx(float(expected), rel=1e-12)
    assert FermiGas(Spins(2, 0), 0.8).terms(flat, {}, x[:2])["potential"] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, n, n_up",
    [
        *(("singlet", n, n_up) for n, n_up in ((1, 1), (1, 0), (7, 7))),
        *(("pairing", n, n) for n in (1, 7)),
    ],
)
def test_initial_psi_without_a_pair_is_that_of_free_particles(name, n, n_up):
    options = dataclasses.replace(TINY, n=n, n_up=n_up, ansatz=Part(name))
    experiment = options.experiment()
    gas, ansatz = experiment.hamiltonian, experiment.ansatz
    x = gas.initial_walkers(jax.random.key(0), 1)[0]
    terms = gas.terms(ansatz, ansatz.init(jax.random.key(1), x), x)
    assert float(terms["kinetic"]) == pytest.approx(gas.free_energy, abs=1e-9)
    assert terms["potential"] == 0
    assert all(
        np.all(np.isfinite(observable(ansatz, ansatz.init(jax.random.key(1), x), x)))
        for observable in experiment.observables
    )


def test_energies_are_in_units_of_the_free_gas():
    """A product of plane waves in a large system: E -> E_FG, without the attraction."""
    gas = FermiGas(Spins(33, 33))
    assert gas.free_energy == pytest.approx(1, abs=0.03)
    assert gas.length_scale == pytest.approx((3 * math.pi**2 * 66) ** (1 / 3))
    wave = 2 * math.pi / FermiGas(Spins(1, 1)).length_scale

    def psi(params, x):
        value = 2 + jnp.cos(wave * (x[0, 0] - x[1, 0]))
        return LogPsi(jnp.sign(value), jnp.log(jnp.abs(value)))

    pair = FermiGas(Spins(1, 1))
    x = jnp.array([[0.1, 0.2, 0.3], [0.9, 0.2, 0.1]])
    cos = math.cos(wave * 0.8)
    terms = pair.terms(Function(psi), {}, x)
    expected = wave**2 * cos / (2 + cos) / 0.6
    assert float(terms["kinetic"]) == pytest.approx(expected, rel=1e-10)
    r = math.hypot(0.8, 0.2)
    expected = -2 * 25 / math.cosh(5 * r) ** 2 / 0.6
    assert float(terms["potential"]) == pytest.approx(expected, rel=1e-6)


def test_reference_of_four_fermions_is_a_multiple_of_the_free_energy():
    gas = FermiGas(Spins(2, 2))
    bound, published = gas.references()
    free = (2 * math.pi / gas.length_scale) ** 2 / 1.2
    assert (bound.kind, bound.value) == ("upper_bound", pytest.approx(free))
    assert published.kind == "estimate"
    assert published.value == pytest.approx(0.211 * free)


TINY = FermiGasOptions(
    n=4,
    ansatz=Part("pairing", (("width", 4), ("layers", 1), ("channels", 2))),
    iterations=2,
    burn_in=1,
    n_walkers=8,
    evaluation_steps=2,
    sampler=Part("metropolis"),
)


def test_default_learning_rate_depends_on_the_range():
    def rate(kf_re):
        experiment = FermiGasOptions(kf_re=kf_re).experiment()
        return experiment.optimizer.learning_rate

    assert rate(0.2) == pytest.approx(rate(0.4) / 4)
    assert rate(0.8) == rate(0.4)


@pytest.mark.slow
def test_run_reports_energy_and_terms(tmp_path, without_figures):
    options = dataclasses.replace(TINY, directory=str(tmp_path / "gas"))
    result = options.start()()
    assert set(result["terms"]) == {"kinetic", "potential"}
    assert result["energy_unit"] == "E_FG"
    assert math.isfinite(result["energy"])


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"kf_re": 0.0}, "kf_re must be finite and positive, got 0.0"),
        ({"kf_re": 9.0}, "at most half an edge of the cube, 2.46, got 9.0"),
        ({"n": 0}, "n must be an integer >= 1, got 0"),
        ({"n_up": 5}, "n_up must be an integer >= 0 and <= 4, got 5"),
        (
            {"ansatz": Part("singlet")},
            "closed shells are 1 and 7; pairing takes any pairs",
        ),
    ],
)
def test_invalid_options_raise_before_the_run_directory_exists(
    tmp_path, fields, message
):
    options = dataclasses.replace(TINY, directory=str(tmp_path / "never"), **fields)
    with pytest.raises(ValueError, match=message):
        options.start()
    assert not (tmp_path / "never").exists()

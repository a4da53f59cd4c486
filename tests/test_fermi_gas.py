"""The unitary Fermi gas: its potential, its references, its command line."""

import dataclasses
import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.fermi_gas import FermiGasOptions
from experiments.options import Part
from hamiltonians import FermiGas
from hamiltonians.fermi_gas import TWO, PoeschlTeller
from hamiltonians.two_in_a_cube import ground_state
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


def test_it_has_an_infinite_scattering_length_and_its_effective_range():
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
    gas = FermiGas(1, 1, 0.7)
    fine = np.linspace(0, 30, 300001)
    assert 2 * np.trapezoid(
        1 - np.tanh(gas.pair.mu * fine) ** 2, fine
    ) == pytest.approx(0.7, rel=1e-7)


def test_its_transform_is_the_integral_over_the_cube():
    potential = PoeschlTeller(2.0, 5.0)
    axis = np.arange(40) * 5.0 / 40
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1)
    for m in ([1, -1, 2], [0, 0, 0]):
        k = 2 * math.pi / 5.0 * np.array(m)
        values = np.asarray(potential(jnp.asarray(grid)))
        expected = np.mean(values * np.cos(grid @ k)) * 5.0**3
        np.testing.assert_allclose(potential.transform(k), expected, rtol=1e-6)


@pytest.mark.parametrize("kf_re, largest, within", [(0.8, 13, 2e-8), (0.4, 14, 2e-4)])
def test_two_have_the_energy_of_the_table(kf_re, largest, within):
    gas = FermiGas(1, 1, kf_re)
    found = ground_state(gas.pair.transform, gas.length_scale, 1.0, largest) / gas.unit
    assert 0 <= found - TWO[kf_re][0] < within
    assert gas.references()[0].value == TWO[kf_re][0]


def test_energies_are_in_units_of_the_free_gas():
    """A product of plane waves in a large system: E -> E_FG, without the attraction."""
    gas = FermiGas(33, 33)
    assert gas.free_energy == pytest.approx(1, abs=0.03)
    assert gas.length_scale == pytest.approx((3 * math.pi**2 * 66) ** (1 / 3))
    wave = 2 * math.pi / FermiGas(1, 1).length_scale

    def psi(params, x):
        value = 2 + jnp.cos(wave * (x[0, 0] - x[1, 0]))
        return LogPsi(jnp.sign(value), jnp.log(jnp.abs(value)))

    pair = FermiGas(1, 1)
    x = jnp.array([[0.1, 0.2, 0.3], [0.9, 0.2, 0.1]])
    cos = math.cos(wave * 0.8)
    terms = pair.terms(Function(psi), {}, x)
    expected = wave**2 * cos / (2 + cos) / 0.6
    assert float(terms["kinetic"]) == pytest.approx(expected, rel=1e-10)
    r = math.hypot(0.8, 0.2)
    expected = -2 * 25 / math.cosh(5 * r) ** 2 / 0.6
    assert float(terms["potential"]) == pytest.approx(expected, rel=1e-6)


def test_four_are_held_against_their_free_energy():
    (published,) = FermiGas(2, 2).references()
    gas = FermiGas(2, 2)
    free = (2 * math.pi / gas.length_scale) ** 2 / 1.2
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


@pytest.mark.slow
def test_a_run(tmp_path, compiled, without_figures):
    options = dataclasses.replace(TINY, directory=str(tmp_path / "gas"))
    result = options.start()()
    assert set(result["terms"]) == {"kinetic", "potential"}
    assert result["energy_unit"] == "E_FG"
    assert math.isfinite(result["energy"])


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"kf_re": 0.0}, "kf_re must be finite and positive, got 0.0"),
        ({"n": 0}, "at least one fermion"),
        ({"n_up": 5}, "n_down must be a number of fermions >= 0, got -1"),
        ({"ansatz": Part("singlet")}, "closed shells are 1 and 7; pairing takes any"),
    ],
)
def test_impossible_options_are_refused_before_anything_runs(tmp_path, fields, message):
    options = dataclasses.replace(TINY, directory=str(tmp_path / "never"), **fields)
    with pytest.raises(ValueError, match=message):
        options.start()
    assert not (tmp_path / "never").exists()

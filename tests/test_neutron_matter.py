"""Neutron matter: its forces, its spins, its Hartree-Fock energies."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import NeutronMatter
from hamiltonians.forces.image_sums import PeriodicGaussian
from hamiltonians.forces.pionless import HBAR_C
from nqs.ansatze import PlaneWaveSlater
from nqs.ratios.exchange import exchange_ratios, total_spin
from nqs.space.spins import Spins
from nqs.statistics import Evaluation
from samplers import Metropolis
from tests.cases import further
from tests.tiny import evaluate

# MeV per neutron of 14 in plane waves, images summed, R3 = 1.0 fm: closed form.
HARTREE_FOCK = {
    0.01: (5.602863394219471, -2.162793657247967, 0.005269189627686709),
    0.04: (14.118331060125097, -7.32075955973194, 0.18261729981707678),
    0.08: (22.411453576877875, -13.416753088161064, 1.0189190129014367),
}


@pytest.mark.parametrize("length", [3.0, 7.0, 30.0])
def test_a_periodic_gaussian_is_the_sum_over_images(length):
    gaussian = PeriodicGaussian(-2.0, 1.8, length)
    r = np.random.default_rng(0).uniform(-length, length, (20, 3))
    images = np.array(list(itertools.product(range(-8, 9), repeat=3))) * length
    squares = np.sum((r[:, None, :] + images[None]) ** 2, axis=-1)
    expected = -2.0 * np.sum(np.exp(-squares / 1.8**2), axis=1)
    np.testing.assert_allclose(gaussian(jnp.asarray(r)), expected, rtol=0, atol=1e-9)


def test_transform_of_a_gaussian_is_its_integral_over_the_cube():
    gaussian = PeriodicGaussian(-2.0, 1.8, 5.0)
    axis = np.arange(24) * 5.0 / 24
    grid = np.stack(np.meshgrid(axis, axis, axis), axis=-1)
    k = 2 * math.pi / 5.0 * np.array([1, -1, 2])
    expected = np.mean(gaussian(jnp.asarray(grid)) * np.cos(grid @ k)) * 5.0**3
    np.testing.assert_allclose(gaussian.transform(k), expected, rtol=1e-9)


def test_the_force_is_30_mev_deep():
    matter = NeutronMatter(Spins(1, 1), 0.001)
    # in a large cube the nearest image dominates the sum
    assert float(matter.pair(jnp.zeros(3))) == pytest.approx(-30.48, abs=0.01)
    assert matter.pair.height == pytest.approx(
        HBAR_C * -5.27518671 / (math.pi**1.5 * 1.83039397**3), rel=1e-12
    )


@pytest.mark.parametrize("density", HARTREE_FOCK)
def test_hartree_fock_energies_equal_tabulated_values(density):
    found = NeutronMatter(Spins(7, 7), density).hartree_fock_terms
    assert [term / 14 for term in found.values()] == pytest.approx(
        HARTREE_FOCK[density], rel=2e-8
    )


def test_open_shells_have_no_hartree_fock_reference():
    assert NeutronMatter(Spins(2, 2), 0.01).references() == ()
    (bound,) = NeutronMatter(Spins(2, 2), 0.01, three_body=False).references()
    assert (bound.value, bound.kind) == (14.92621, "upper_bound")


# Edge of the cube in fm and ground-state energy of two neutrons in MeV, images summed.
TWO = {
    20.0: -0.3345586407845097,
    11.186889420813966: -1.247187797397787,
    8.879040017426005: -2.123490077901881,
    7.047298732064891: -3.6768429906224496,
    5.593444710406984: -6.570724719254528,
}


@pytest.mark.parametrize("length", TWO)
def test_two_neutrons_have_an_exact_reference(length):
    exact, _ = NeutronMatter(Spins(1, 1), 2 / length**3).references()
    assert exact.kind == "exact"
    assert exact.value == pytest.approx(TWO[length], abs=3e-8)


def test_a_cube_too_large_for_its_plane_waves_has_no_exact_reference():
    (bound,) = NeutronMatter(Spins(1, 1), 1e-6).references()
    assert bound.kind == "upper_bound"


@pytest.mark.parametrize("three_body", [True, False])
def test_fourteen_neutrons_have_a_coupled_cluster_estimate(three_body):
    matter = NeutronMatter(Spins(7, 7), 0.04, three_body)
    bound, estimate = matter.references()
    assert (bound.kind, estimate.kind) == ("upper_bound", "estimate")
    repulsion = 14 * HARTREE_FOCK[0.04][2] if three_body else 0
    assert estimate.value == pytest.approx(14 * 6.205609529336055 + repulsion, rel=1e-5)
    # a tenth of the correlation energy, 6.797572 - 6.205610 MeV a neutron
    assert estimate.error == pytest.approx(14 * 0.0591963, rel=1e-3)


@pytest.mark.parametrize(
    "density, four, fourteen",
    [
        (0.01, 14.92621312, 2.8957160948),
        (0.02, 24.84160966, 4.2896909531),
        (0.04, 39.03782808, 6.2056095293),
        (0.08, None, 8.4936099741),
    ],
)
def test_published_references_of_four_and_fourteen_neutrons(density, four, fourteen):
    def values(n):
        references = NeutronMatter(Spins(n, n), density, three_body=False).references()
        return [known.value for known in references]

    assert values(2) == ([pytest.approx(four, abs=1e-5)] if four else [])
    assert values(7)[1] / 14 == pytest.approx(fourteen, abs=1e-4)


def antisymmetric(n_up, n_down, density=0.02):
    """Neutron matter, a psi with antisymmetry alone, and a configuration."""
    matter = NeutronMatter(Spins(n_up, n_down), density)
    sizes = [m for m in (n_up, n_down) if m > 1]

    def psi(params, x):
        """Sums of products of smooth periodic orbitals, antisymmetrized by hand."""
        waves = jnp.concatenate([jnp.sin(x @ K.T), jnp.cos(x @ K.T)], axis=1)
        orbitals = waves @ COEFFICIENTS[:, : matter.n]  # (n, n)
        up = jnp.linalg.det(orbitals[:n_up, :n_up])
        if n_down == 0:
            return up
        jastrow = jnp.sum(jnp.cos((x[:n_up, None] - x[None, n_up:]) @ K[0]))
        down = jnp.linalg.det(orbitals[n_up:, 1 : 1 + n_down])
        return up * down * jnp.exp(0.2 * jastrow)

    rng = np.random.default_rng(len(sizes))
    K = 2 * math.pi / matter.length_scale * rng.integers(-2, 3, (6, 3))
    COEFFICIENTS = rng.normal(size=(12, 12))
    x = rng.uniform(0, matter.length_scale, (matter.n, 3))
    return matter, psi, jnp.asarray(x)


def log_psi(psi):
    from nqs.types import Function, LogPsi

    def value(params, x):
        found = psi(params, x)
        return LogPsi(jnp.sign(found), jnp.log(jnp.abs(found)))

    return Function(value)


PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def two_body_in_spin_space(matter, psi, x):
    """V psi / psi by Pauli matrices, on all 2^n amplitudes of the spins at x."""
    n = matter.n
    labels = (0,) * matter.spins.up + (1,) * matter.spins.down
    psi = jax.jit(psi)
    amplitudes = np.zeros((2,) * n, complex)
    for spins in set(itertools.permutations(labels)):
        order = np.argsort(spins, kind="stable")
        swaps = sum(a > b for a, b in itertools.combinations(order.tolist(), 2))
        amplitudes[spins] = (-1) ** swaps * psi({}, x[order])
    result, pair = np.zeros_like(amplitudes), jax.jit(matter.pair)
    for i, j in itertools.combinations(range(n), 2):
        dot = np.zeros_like(amplitudes)
        for sigma in PAULI:
            once = np.moveaxis(np.tensordot(sigma, amplitudes, (1, i)), 0, i)
            dot += np.moveaxis(np.tensordot(sigma, once, (1, j)), 0, j)
        result += float(pair(x[i] - x[j])) * (amplitudes - dot) / 4
    spin = sum(
        np.moveaxis(np.tensordot(s, amplitudes, (1, i)), 0, i)
        for s in PAULI[2:]
        for i in range(n)
    )
    assert np.allclose(spin, (matter.spins.up - matter.spins.down) * amplitudes)
    return (result[labels] / amplitudes[labels]).real


def two_body(matter, psi, x):
    """The two-body energy alone, from one program."""
    return jax.jit(lambda x: matter.terms(log_psi(psi), {}, x)["two_body"])(x)


@pytest.mark.parametrize("n_up, n_down", [*further((1, 1), (1, 2)), (2, 2)])
def test_two_body_force_matches_pauli_matrices(n_up, n_down):
    matter, psi, x = antisymmetric(n_up, n_down)
    np.testing.assert_allclose(
        two_body(matter, psi, x), two_body_in_spin_space(matter, psi, x), rtol=1e-10
    )


def test_two_body_energy_of_equal_spins_vanishes():
    matter, psi, x = antisymmetric(3, 0)
    assert float(two_body(matter, psi, x)) == 0


def test_three_body_energy_is_the_sum_over_triples():
    matter = NeutronMatter(Spins(3, 2), 0.05)
    x = np.random.default_rng(0).uniform(0, matter.length_scale, (5, 3))
    triple = jax.jit(matter.triple)
    t = lambda i, j: float(triple(x[i] - x[j]))  # noqa: E731
    expected = sum(
        t(i, j) * t(j, k) + t(j, k) * t(k, i) + t(k, i) * t(i, j)
        for i, j, k in itertools.combinations(range(5), 3)
    )
    found = float(jax.jit(matter.three_body_energy)(x))
    assert found == pytest.approx(expected, rel=1e-12)


def test_three_body_false_omits_the_term():
    for three_body in (True, False):
        found = NeutronMatter(Spins(7, 7), 0.04, three_body).hartree_fock_terms
        assert ("three_body" in found) == three_body


@pytest.mark.further
@pytest.mark.parametrize(
    "density, steps",
    [
        pytest.param(0.01, 160, marks=pytest.mark.slow),
        (0.04, 40),
        pytest.param(0.08, 160, marks=pytest.mark.slow),
    ],
)
def test_sampled_plane_waves_have_their_hartree_fock_energies(density, steps):
    matter = NeutronMatter(Spins(7, 7), density)
    ansatz = PlaneWaveSlater(matter.spins, matter.box)
    walkers = matter.initial_walkers(jax.random.key(0), 128)
    sampler = Metropolis(sweeps=10, width=0.2)
    params = jax.jit(ansatz.init)(jax.random.key(1), walkers[0])
    state, info = sampler.init(walkers), {}
    step = jax.jit(lambda key, s: sampler.step(key, ansatz, params, s))
    for i in range(40):
        state, info = step(jax.random.key(i), state)
        state = sampler.adapt(state, info)
    found = evaluate(
        Evaluation(ansatz, matter, sampler), params, state, jax.random.key(2), steps
    )
    names = ("kinetic", "two_body", "three_body")
    for name, expected in zip(names, HARTREE_FOCK[density], strict=True):
        mean, error = found["terms"][name]
        if name == "kinetic":
            assert mean / 14 == pytest.approx(expected, rel=2e-8)
        else:
            assert abs(mean / 14 - expected) < 3.5 * error / 14, name
            assert error < 0.1 * abs(mean), name


def test_closed_shells_are_singlets():
    matter = NeutronMatter(Spins(7, 7), 0.04)
    x = np.random.default_rng(3).uniform(0, matter.length_scale, (14, 3))
    ansatz = PlaneWaveSlater(matter.spins, matter.box)
    ratios = jax.jit(lambda x: exchange_ratios(ansatz, {}, x, matter.spins))(x)
    assert float(total_spin(ratios)) == pytest.approx(0, abs=1e-9)


def test_triplets_have_spin_one():
    """Two neutrons in an odd state, and three of one spin."""
    _, _, x = antisymmetric(1, 1)
    odd = lambda params, x: jnp.sin((x[0] - x[1]) @ jnp.ones(3))  # noqa: E731
    ratios = jax.jit(lambda x: exchange_ratios(log_psi(odd), {}, x, Spins(1, 1)))(x)
    assert float(total_spin(ratios)) == pytest.approx(2)
    assert float(total_spin(jnp.zeros((3, 0)))) == 15 / 4


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"spins": 2}, "spins must be Spins.up, down., got 2"),
        ({"density": 0.0}, "density must be finite and positive, got 0.0"),
        ({"density": math.inf}, "density must be finite and positive"),
        ({"r3": 1.2}, "r3 must be one of 1.0, 1.1, 1.5, 2.0, got 1.2"),
    ],
)
def test_invalid_fields_of_neutron_matter_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        NeutronMatter(**{"spins": Spins(1, 1), "density": 0.1} | fields)

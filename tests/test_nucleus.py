"""Light nuclei: forces on spins and isospins, symmetries of psi, sampling."""

import dataclasses
import functools
import itertools
import math
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

from experiments.command_line.notation import Part
from experiments.nucleus import NucleusOptions
from hamiltonians import NeutronMatter, Nucleus
from hamiltonians.forces import pionless
from hamiltonians.nucleus import E_SQUARED, HBAR_SQUARED_OVER_M
from nqs.ansatze import CorrelatedNucleons
from nqs.contracts import check_symmetry
from nqs.observables import NucleonDensity, PointRadius
from nqs.space.nucleons import Nucleons
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from samplers import Metropolis, NucleonMove
from tests.cases import at, further
from tests.chi_square import p_value
from tests.differences import kinetic_by_differences
from tests.drawn import parameters

SMALL = CorrelatedNucleons(layers=1, width=4, channels=2)
PAULI = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
ALL = [(2, 1), (3, 1), (3, 2), (4, 2)]


APPLY = jax.jit(SMALL.apply)
APPLY_TO_ALL = jax.jit(jax.vmap(SMALL.apply, (None, 0)))


@functools.cache
def first_walkers():
    """50 walkers of every nucleus, by one program."""
    draw = jax.jit(lambda key: [Nucleus(*a).initial_walkers(key, 50) for a in ALL])
    return dict(
        zip(ALL, jax.tree.map(np.asarray, draw(jax.random.key(0))), strict=True)
    )


def start(a, z):
    """A nucleus, parameters of the small ansatz, and four walkers."""
    walkers = jax.tree.map(lambda leaf: leaf[:4], first_walkers()[a, z])
    params = parameters(SMALL, one_of(walkers), seed=a)
    return Nucleus(a, z), params, walkers


def one_of(walkers, w=0):
    return jax.tree.map(lambda leaf: leaf[w], walkers)


@functools.cache
def terms_of(nucleus, ansatz=SMALL):
    """Compiled terms without the kinetic energy, most of the compilation."""

    def terms(params, x):
        with mock.patch("hamiltonians.nucleus.kinetic_energy", lambda *_: 0.0):
            return nucleus.terms(ansatz, params, x)

    return jax.jit(terms)


def amplitudes(params, positions):
    """psi (2, ..., 2) at all spins, then all isospins, of nucleons at positions."""
    a = len(positions)
    labels = np.array([*itertools.product((0, 1), repeat=2 * a)])
    positions = np.tile(positions, (len(labels), 1, 1))
    psi = APPLY_TO_ALL(params, Nucleons(positions, labels[:, :a], labels[:, a:]))
    return (np.asarray(psi.sign) * np.exp(psi.logabs)).reshape((2,) * (2 * a))


def dot(psi, i, j):
    """sigma_i . sigma_j psi for the labels with numbers i and j."""
    total = np.zeros(psi.shape, complex)
    for sigma in PAULI:
        once = np.moveaxis(np.tensordot(sigma, psi, (1, i)), 0, i)
        total += np.moveaxis(np.tensordot(sigma, once, (1, j)), 0, j)
    return total


def pauli_two_body(psi, positions):
    """V psi from Pauli matrices: projectors on S = 0, T = 1 and on S = 1, T = 0."""
    a, result = len(positions), np.zeros(psi.shape, complex)
    for i, j in itertools.combinations(range(a), 2):
        r = np.linalg.norm(positions[i] - positions[j])
        singlet = (psi - dot(psi, i, j)) / 4
        triplet = (3 * psi + dot(psi, i, j)) / 4
        isotriplet = (3 * singlet + dot(singlet, a + i, a + j)) / 4
        isosinglet = (triplet - dot(triplet, a + i, a + j)) / 4
        strength = {}
        for name, c, length in (
            ("singlet", -5.27518671, 1.83039397),
            ("triplet", -7.04040080, 1.54592984),
        ):
            smeared = math.exp(-((r / length) ** 2)) / (math.pi**1.5 * length**3)
            strength[name] = 197.32697 * c * smeared
        result += strength["singlet"] * isotriplet + strength["triplet"] * isosinglet
    return result


@pytest.mark.parametrize("a, z", at(ALL, 2))
def test_two_body_energy_matches_pauli_matrices(a, z):
    nucleus, params, walkers = start(a, z)
    for w in range(2):
        x = one_of(walkers, w)
        found = terms_of(nucleus)(params, x)["two_body"]
        psi = amplitudes(params, x.positions)
        assert np.std(psi[psi != 0]) > 1e-3 * np.max(np.abs(psi))
        labels = (*x.spins.tolist(), *x.isospins.tolist())
        potential = pauli_two_body(psi, x.positions)
        expected = potential[labels] / psi[labels]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_deuteron_feels_the_triplet_and_two_neutrons_the_singlet():
    x = Nucleons(
        np.array([[0.3, 0, 0], [0, 1.1, 0.2]]), np.zeros(2, int), np.array([0, 1])
    )
    difference = x.positions[0] - x.positions[1]

    def even(params, x):  # in space, for different labels
        sign = jnp.sign(2 * (x.isospins[1] - x.isospins[0]) + x.spins[1] - x.spins[0])
        return LogPsi(sign.astype(float), -jnp.sum(x.positions**2))

    @jax.jit
    def expected(difference):
        triplet = pionless.TRIPLET(jnp.linalg.norm(difference))
        return triplet, NeutronMatter(Spins(1, 1), 1e-5).pair(difference)

    triplet, singlet = expected(difference)
    terms = terms_of(Nucleus(2, 1), Function(even))
    np.testing.assert_allclose(terms({}, x)["two_body"], triplet, rtol=1e-12)
    neutrons = x._replace(spins=np.array([0, 1]), isospins=np.ones(2, int))
    np.testing.assert_allclose(terms({}, neutrons)["two_body"], singlet, rtol=1e-12)


@pytest.mark.parametrize("a", [*further(3), 4])
def test_three_body_energy_is_the_sum_over_triples(a):
    x = np.random.default_rng(0).normal(size=(a, 3))
    height = 1.0786 / (92.4**4 * 1000) * 197.32697**6 / math.pi**3
    square = lambda i, j: np.sum((x[i] - x[j]) ** 2)  # noqa: E731
    expected = sum(
        height * math.exp(-square(j, i) - square(j, k))
        for i, j, k in itertools.permutations(range(a), 3)
        if i < k
    )
    nucleus, params, walkers = start(a, 2)
    one = one_of(walkers)._replace(positions=x)
    terms = terms_of(nucleus)(params, one)
    assert float(terms["three_body"]) == pytest.approx(expected, rel=1e-10)
    without = dataclasses.replace(nucleus, three_body=False)
    assert "three_body" not in jax.eval_shape(terms_of(without), params, one)


def test_protons_alone_repel_each_other():
    nucleus, params, walkers = start(3, 2)
    nucleus = dataclasses.replace(nucleus, point_protons=True)
    x = one_of(walkers)
    i, j = np.flatnonzero(x.isospins == 0)
    expected = 1.43996 / np.linalg.norm(x.positions[i] - x.positions[j])
    terms = terms_of(nucleus)(params, x)
    assert float(terms["coulomb"]) == pytest.approx(expected, rel=1e-12)
    for z in (1, 2):
        names = jax.eval_shape(terms_of(Nucleus(3, z)), params, x).keys()
        assert ("coulomb" in names) == (z == 2)


def test_form_factor_is_that_of_two_dipoles():
    """V(r) is 2 / pi times the integral of e^2 G(q)^2 sin(q r) / (q r)."""
    b, nucleus = 4.27, Nucleus(4, 2)
    for r in (0.05, 0.4, 1.5):

        def transformed(q, r=r):
            return (1 + (q / b) ** 2) ** -4 * np.sinc(q * r / math.pi)

        integral, _ = scipy.integrate.quad(transformed, 0, 200, limit=400)
        found = float(nucleus.coulomb(jnp.asarray(r)))
        assert found == pytest.approx(2 / math.pi * E_SQUARED * integral, rel=1e-6)


def test_deuteron_reference_matches_a_shooting_solution():
    """Binding energy and point radius, sqrt(<r^2>) / 2, of u'' = m (V - E) u."""
    force = pionless.TRIPLET

    def solution(energy, r_max=25.0):
        def slope(r, y):
            v = force.height * math.exp(-((r / force.range) ** 2))
            return [y[1], (v - energy) / HBAR_SQUARED_OVER_M * y[0]]

        grid = np.linspace(0, r_max, 4001)
        found = scipy.integrate.solve_ivp(
            slope, (0, r_max), [0, 1], rtol=1e-11, atol=1e-13, t_eval=grid
        )
        return grid, *found.y

    def mismatch(energy):
        _, u, slope = solution(energy)
        return slope[-1] + math.sqrt(-energy / HBAR_SQUARED_OVER_M) * u[-1]

    energy = scipy.optimize.brentq(mismatch, -3, -1.5)
    exact, published = Nucleus(2, 1).references()
    assert exact.value == pytest.approx(energy, abs=1e-7)
    assert exact.value == pytest.approx(-2.24191, abs=1e-5)
    assert published.value == pytest.approx(energy, abs=5e-4)


def test_kinetic_energy_is_that_of_the_nucleon_mass():
    nucleus, params, walkers = start(3, 2)
    x = one_of(walkers)
    found = jax.jit(lambda x: nucleus.terms(SMALL, params, x)["kinetic"])(x)

    def psi(positions):
        labels = (np.tile(each, (len(positions), 1)) for each in (x.spins, x.isospins))
        return APPLY_TO_ALL(params, Nucleons(positions, *labels))

    expected = 41.47104 * kinetic_by_differences(psi, x.positions)
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("a, z", at(ALL, 2))
def test_psi_has_the_symmetries_of_the_nucleus(a, z):
    nucleus, params, walkers = start(a, z)
    here = APPLY_TO_ALL(params, walkers)
    check_symmetry(Function(APPLY), nucleus, params, walkers)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    turned = walkers._replace(positions=walkers.positions @ rotation + 0.7)
    for i, j in itertools.combinations(range(a), 2):
        order = np.arange(a)
        order[[i, j]] = j, i
        exchanged = jax.tree.map(lambda leaf, order=order: leaf[:, order], walkers)
        there = APPLY_TO_ALL(params, exchanged)
        np.testing.assert_array_equal(there.sign, -np.asarray(here.sign))
        np.testing.assert_allclose(there.logabs, here.logabs, rtol=1e-11)
    there = APPLY_TO_ALL(params, turned)
    np.testing.assert_allclose(there.logabs, here.logabs, rtol=1e-10)
    np.testing.assert_array_equal(there.sign, here.sign)


SPIN_AND_ISOSPIN = {(2, 1): (1, 0), (3, 1): (0.5, 0.5), (3, 2): (0.5, 0.5),
                    (4, 2): (0, 0)}  # fmt: skip


@pytest.mark.parametrize("a, z", ALL)
def test_psi_has_the_spin_and_isospin_of_the_nucleus(a, z):
    _, params, walkers = start(a, z)
    psi = amplitudes(params, walkers.positions[0])
    # of other projections, the same function is no eigenstate
    up, protons = Nucleus(a, z).spins.up, z
    for labels in itertools.product((0, 1), repeat=2 * a):
        if sum(labels[:a]) != a - up or sum(labels[a:]) != a - protons:
            psi[labels] = 0
    for first, s in zip((0, a), SPIN_AND_ISOSPIN[a, z], strict=True):
        # S^2 = 3 a / 4 + sum_{i<j} sigma_i . sigma_j / 2
        total = 3 * a / 4 * psi + sum(
            dot(psi, first + i, first + j) / 2
            for i, j in itertools.combinations(range(a), 2)
        )
        rounding = 1e-12 * np.max(np.abs(psi))
        np.testing.assert_allclose(total, s * (s + 1) * psi, atol=rounding)


def test_pairs_of_the_deuteron_have_no_spin_zero():
    """So psi is independent of u, and positive in space."""
    slopes = jax.jit(jax.grad(lambda p, x: SMALL.apply(p, x).logabs))
    for a, z in ((2, 1), (3, 1)):
        _, params, walkers = start(a, z)
        found = slopes(params, one_of(walkers))
        of_mixing = np.asarray(found["params"]["Dense_4"]["kernel"])
        assert of_mixing.shape[1] == SMALL.channels
        assert np.all(of_mixing == 0) == (a == 2)


def test_contract_refuses_a_psi_that_depends_on_the_center_of_mass():
    nucleus, params, walkers = start(3, 1)

    def bound_to_the_origin(params, x):
        sign, logabs = SMALL.apply(params, x)
        return LogPsi(sign, logabs - 0.1 * jnp.sum(x.positions**2))

    ansatz = Function(jax.jit(bound_to_the_origin))
    with pytest.raises(ValueError, match="1 under a translation of all particles"):
        check_symmetry(ansatz, nucleus, params, walkers)


def test_labels_and_positions_are_sampled_from_psi_squared():
    """|psi|^2 of arrangements, times a Gaussian of relative positions."""

    def psi(params, x):
        s, t = 1.0 - 2.0 * x.spins, 1.0 - 2.0 * x.isospins
        logabs = 0.3 * s[0] * t[0] + 0.2 * s[1] * s[2] - 0.25 * t[1] * s[2]
        center = jnp.mean(x.positions, axis=0, keepdims=True)
        return LogPsi(jnp.ones(()), logabs - jnp.sum((x.positions - center) ** 2) / 2)

    start = Nucleons(
        np.zeros((4096, 3, 3)),
        np.tile([0, 0, 1], (4096, 1)),
        np.tile([0, 1, 1], (4096, 1)),
    )
    sampler = Metropolis(80, 0.8, NucleonMove())

    @jax.jit
    def run(key):
        return sampler.step(key, Function(psi), {}, sampler.init(start))[0].walkers

    walkers = jax.tree.map(np.asarray, run(jax.random.key(0)))
    spins = sorted(set(itertools.permutations([0, 0, 1])))
    isospins = sorted(set(itertools.permutations([0, 1, 1])))
    every = np.array([s + t for s in spins for t in isospins])
    s, t = 1.0 - 2.0 * every[:, :3], 1.0 - 2.0 * every[:, 3:]
    logs = 0.6 * s[:, 0] * t[:, 0] + 0.4 * s[:, 1] * s[:, 2] - 0.5 * t[:, 1] * s[:, 2]
    samples = np.concatenate([walkers.spins, walkers.isospins], axis=1)
    weights = np.exp(logs)
    assert p_value(samples, every, weights / weights.sum()) > 1e-4
    wrong = weights**1.2
    assert p_value(samples, every, wrong / wrong.sum()) < 1e-4
    np.testing.assert_allclose(np.mean(walkers.positions, axis=1), 0, atol=1e-12)
    # 1/2 for each of the two relative coordinates, of three, along an axis
    assert abs(np.mean(walkers.positions**2) - 1 / 3) < 0.01


def test_densities_count_nucleons_and_radii_are_about_the_center_of_mass():
    _, params, walkers = start(3, 1)
    x = one_of(walkers)
    moved = x._replace(positions=x.positions + 5.0)
    observables = (NucleonDensity(30.0, 200), PointRadius("proton"))
    observables += (PointRadius("neutron"),)
    measure = jax.jit(lambda x: [observe(SMALL, params, x) for observe in observables])
    for y in (x, moved):
        rho, *found = measure(y)
        edges = np.linspace(0, 30.0, 201)
        volumes = 4 * math.pi / 3 * np.diff(edges**3)
        np.testing.assert_allclose(rho @ volumes, [1, 2], rtol=1e-12)
        radii = np.sum(x.positions**2, axis=1)
        expected = [np.mean(radii[x.isospins == isospin]) for isospin in (0, 1)]
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_first_walkers_have_the_numbers_of_the_nucleus_and_no_center():
    for a, z in ALL:
        walkers = first_walkers()[a, z]
        assert np.all(np.sum(walkers.isospins == 0, axis=1) == z)
        assert np.all(np.sum(walkers.spins == 0, axis=1) == Nucleus(a, z).spins.up)
        np.testing.assert_allclose(np.mean(walkers.positions, axis=1), 0, atol=1e-12)
        assert len(np.unique(walkers.isospins, axis=0)) > 1


def test_references_are_those_of_the_forces():
    def values(*arguments, **settings):
        return [known.value for known in Nucleus(*arguments, **settings).references()]

    assert values(3, 1) == [-8.475] and values(3, 2) == [-7.811]
    assert values(4, 2) == [-28.17] and values(4, 2, three_body=False) == [-37.06]
    assert values(3, 1, three_body=False) == [-9.744]
    assert values(4, 2, r3=1.1) == []
    assert values(3, 2, point_protons=True) == []
    assert values(3, 1, point_protons=True) == [-8.475]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"a": 5}, "a must be an integer >= 2 and <= 4, got 5"),
        ({"a": 1, "z": 1}, "a must be an integer >= 2 and <= 4, got 1"),
        ({"a": 2, "z": 3}, "z must be an integer >= 0 and <= 2, got 3"),
        ({"a": 2, "z": 0}, "z must be 1 for a bound nucleus of a=2, got 0"),
        ({"a": 3, "z": 3}, "z must be 1 or 2 for a bound nucleus of a=3, got 3"),
        ({"a": 4, "z": 1}, "z must be 2 for a bound nucleus of a=4, got 1"),
        ({"r3": 1.2}, "r3 must be one of 1.0, 1.1, 1.5, 2.0, got 1.2"),
        ({"ansatz": Part("backflow")}, "unknown ansatz 'backflow'"),
        ({"sampler": Part("metropolis", (("move", "hop"),))}, "move must be one of"),
        ({"sampler": Part("langevin")}, "unknown sampler 'langevin'"),
    ],
)
def test_impossible_options_are_refused_before_anything_runs(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(NucleusOptions(), **fields).start()

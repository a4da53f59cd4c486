"""One table of all ansätze through the same contracts, then the physics of each."""

import functools
import itertools
import re
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.command_line.builders.traps import trap_ansatz
from experiments.command_line.notation import Part
from hamiltonians import (
    HarmonicPairs,
    HarmonicTrap,
    InverseSquare,
    oscillator_levels,
)
from nqs import ansatze
from nqs.ansatze import (
    Backflow,
    DeepSets,
    Envelope,
    FeedForward,
    GaussianBinaryRBM,
    GaussianJastrow,
    PadeJastrow,
    PowerJastrow,
    Product,
    Slater,
    SlaterJastrow,
)
from nqs.ansatze.layers import INITIALIZERS, KINKED, silu
from nqs.ansatze.slater import hermite_orbitals
from nqs.files import config as settings
from nqs.laplacian.kinetic import kinetic_energy
from nqs.space.oscillator import filled_levels
from nqs.space.spins import Spins
from nqs.types import LogPsi
from tests.cases import at, few, further
from tests.drawn import parameters

W = 8


class Case(NamedTuple):
    """An ansatz, its system, and its symmetry."""

    ansatz: Any
    n: int
    d: int
    statistics: str = "none"  # or bosons, fermions
    spins: Spins | None = None

    @property
    def is_complex(self):
        return "phase = True" in repr(self.ansatz)


RBM = GaussianBinaryRBM(3, stddev=0.4)
ROOT = GaussianBinaryRBM(2, root=True, sigma=0.8, learn_sigma=True)
FFNN = FeedForward((5, 5), residual=True, omega=0.7)
PHASE = FeedForward((4,), "silu", "he_normal", omega=(1.0, 1.5), phase=True)
SETS = DeepSets((4, 4), (3,), residual=True)
SETS_1D = DeepSets((4,), (3,), "gelu", phase=True)

# Four particles in all tests, because folx is slow for every new shape.
ANSATZE = {
    "rbm": Case(RBM, 4, 2),
    "rbm root": Case(ROOT, 4, 2),
    "rbm jastrow": Case(Product((RBM, PadeJastrow())), 4, 2),
    "feed-forward": Case(FFNN, 4, 2),
    "phase": Case(PHASE, 4, 2),
    "phase jastrow": Case(Product((PHASE, PadeJastrow(Spins(2, 2), beta=0.5))), 4, 2),
    "deep sets": Case(SETS, 4, 2, "bosons"),
    "deep sets power": Case(Product((SETS_1D, PowerJastrow(1.7))), 4, 1, "bosons"),
    "slater closed shell": Case(
        Slater(Spins(4, 0), 0.28), 4, 3, "fermions", Spins(4, 0)
    ),
    "slater open shell": Case(Slater(Spins(2, 2), 0.6), 4, 2, "fermions", Spins(2, 2)),
    "slater all down": Case(Slater(Spins(0, 4), 1.3), 4, 1, "fermions", Spins(0, 4)),
    "slater anisotropic": Case(
        Slater(Spins(3, 1), (1.0, 1.7)), 4, 2, "fermions", Spins(3, 1)
    ),
    "slater jastrow 2d": Case(
        SlaterJastrow(Spins(2, 2)), 4, 2, "fermions", Spins(2, 2)
    ),
    "slater jastrow 3d": Case(
        SlaterJastrow(Spins(2, 2), 0.5), 4, 3, "fermions", Spins(2, 2)
    ),
    "slater power": Case(
        Product((Slater(Spins(3, 1)), PowerJastrow(2.5, Spins(3, 1)))),
        4,
        1,
        "fermions",
        Spins(3, 1),
    ),
    "slater gaussian": Case(
        Product((Slater(Spins(4)), GaussianJastrow())), 4, 1, "fermions", Spins(4)
    ),
}

SYMMETRIC = [name for name, case in ANSATZE.items() if case.statistics != "none"]


ONE_OF_A_KIND = (
    *("rbm root", "feed-forward", "phase", "deep sets power"),
    *("slater open shell", "slater anisotropic", "slater jastrow 3d"),
)


@pytest.fixture(params=few(ANSATZE, *ONE_OF_A_KIND))
def name(request):
    return request.param


@functools.cache
def first_params(name):
    """Parameters of a table entry, not those of `init`."""
    case = ANSATZE[name]
    params = parameters(case.ansatz, np.ones((case.n, case.d)), seed=len(name))
    # a negative exponent of the Gaussian would not decay
    return jax.tree.map(np.abs, params) if name == "slater gaussian" else params


@functools.cache
def start(name):
    """Walkers (8, n, d) and parameters.

    Of 32 walkers those with the largest |psi|, away from nodes, where rounding grows.
    """
    case = ANSATZE[name]
    walkers = np.random.default_rng(3).normal(size=(4, W, case.n, case.d))
    logabs = [evaluate(name, some)["logabs"] for some in walkers]
    best = np.argsort(np.concatenate(logabs))[-W:]
    return walkers.reshape(-1, case.n, case.d)[best], first_params(name)


def initial(name):
    """Parameters that `init` returns."""
    case = ANSATZE[name]
    return jax.jit(case.ansatz.init)(jax.random.key(0), np.ones((case.n, case.d)))


@functools.cache
def evaluator(name):
    """Compiled psi and derivatives of 8 walkers."""
    ansatz = ANSATZE[name].ansatz

    def at(params, x):
        def logabs(params, x):
            psi = ansatz.apply(params, x)
            return psi.logabs, psi

        slopes, psi = jax.grad(logabs, argnums=(0, 1), has_aux=True)(params, x)
        return {
            "sign": psi.sign,
            "logabs": psi.logabs,
            "parameter_slopes": jax.flatten_util.ravel_pytree(slopes[0])[0],
            "slopes": slopes[1],
        }

    return jax.jit(jax.vmap(at, (None, 0)))


def evaluate(name, walkers, params=None):
    """Results of `evaluator` as NumPy arrays, at perturbed parameters by default."""
    params = first_params(name) if params is None else params
    return jax.tree.map(np.asarray, evaluator(name)(params, jnp.asarray(walkers)))


@functools.cache
def kinetic_evaluator(name):
    """Compiled kinetic energies of 8 walkers; folx is slow for every new shape."""
    ansatz = ANSATZE[name].ansatz
    laplacian = "forward" if name == "slater jastrow 2d" else "loop"

    def energy(params, x):
        return kinetic_energy(ansatz, params, x, laplacian=laplacian)

    return jax.jit(jax.vmap(energy, (None, 0)))


def kinetic(name, walkers, params=None):
    """Kinetic energies, at perturbed parameters by default."""
    params = first_params(name) if params is None else params
    return np.asarray(kinetic_evaluator(name)(params, jnp.asarray(walkers)))


# Contracts.


def test_all_ansatze_are_in_the_table():
    shown = " ".join(repr(case.ansatz) for case in ANSATZE.values())
    modules = [m for m in ansatze.__all__ if isinstance(getattr(ansatze, m), type)]
    no_log_psi = {"Envelope", "MessagePassing"}
    elsewhere = {"Backflow", "PlaneWaveSlater", "BinaryRBM", "Boltzmann", "LatticeConv"}
    elsewhere |= {"LatticeSlater", "LatticeTransformer"}
    elsewhere |= {"LatticeProduct", "ProjectedBCS"}
    elsewhere |= {"RecurrentGRU", "SpinJastrow", "Symmetrized", "SymmetrizedOrbits"}
    elsewhere |= {"CorrelatedNucleons", "SingletBackflow", "SpinExplicit"}
    elsewhere |= {"MolecularBackflow"}
    elsewhere |= {"ComplexParameters", "ComplexSites", "Shifted"}
    assert {
        m for m in modules if not re.search(rf"\b{m}\(", shown)
    } == no_log_psi | elsewhere


def test_psi_is_a_finite_log_psi_of_scalars(name):
    case, (walkers, params) = ANSATZE[name], start(name)
    psi = jax.eval_shape(case.ansatz.apply, params, walkers[0])
    assert isinstance(psi, LogPsi) and psi.sign.shape == psi.logabs.shape == ()
    assert psi.logabs.dtype == jnp.float64
    assert psi.sign.dtype == (jnp.complex128 if case.is_complex else jnp.float64)
    found = evaluate(name, walkers)
    np.testing.assert_allclose(np.abs(found["sign"]), 1, rtol=1e-14)
    assert all(np.all(np.isfinite(values)) for values in found.values())
    assert np.all(np.any(found["slopes"], axis=0))
    if not case.is_complex:  # some parameters move the phase alone
        assert np.all(np.any(found["parameter_slopes"], axis=0))  # each matters


def test_psi_decays_far_away(name):
    walkers = start(name)[0]
    unit = walkers / np.linalg.norm(walkers, axis=(1, 2), keepdims=True)
    near, far, further = (evaluate(name, r * unit)["logabs"] for r in (1, 20, 40))
    assert np.all(far < near - 20)
    # From r = 20 to 40 a Gaussian falls by three times as much as up to 20.
    assert np.all(further - far < 2 * (far - near))


def permutations_of(case):
    """Permutations (n,) that keep the spins, with their parities."""
    rng = np.random.default_rng(0)
    n_up = case.spins.up if case.spins else 0
    for _ in range(4):
        up, down = rng.permutation(n_up), n_up + rng.permutation(case.n - n_up)
        order = np.concatenate([up, down])
        yield order, np.linalg.det(np.eye(case.n)[order])


@pytest.mark.parametrize(
    "name", few(SYMMETRIC, *(n for n in SYMMETRIC if n in ONE_OF_A_KIND))
)
def test_exchange_of_equal_particles_has_the_sign_of_the_statistics(name):
    case, walkers = ANSATZE[name], start(name)[0]
    before, parities = evaluate(name, walkers), set()
    for order, parity in permutations_of(case):
        after = evaluate(name, walkers[:, order])
        expected = parity if case.statistics == "fermions" else 1
        np.testing.assert_allclose(after["sign"], expected * before["sign"], atol=1e-12)
        # Rounding of a determinant near its nodes.
        np.testing.assert_allclose(after["logabs"], before["logabs"], atol=1e-10)
        parities.add(round(parity))
    assert parities == {1, -1}


def test_ansatz_is_restored_from_its_configuration(name):
    ansatz = ANSATZE[name].ansatz
    again = settings.from_json(settings.to_json(ansatz))
    assert again == ansatz and hash(again) == hash(ansatz)
    assert type(ansatz).__name__ in repr(ansatz)
    others = [case.ansatz for key, case in ANSATZE.items() if key != name]
    assert ansatz not in others


def test_precision_follows_the_positions(name):
    """Float64 is enabled, so that any promotion is visible."""
    case = ANSATZE[name]
    x = jax.ShapeDtypeStruct((case.n, case.d), jnp.float32)
    params = jax.eval_shape(case.ansatz.init, jax.random.key(0), x)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} <= {"float32"}
    psi = jax.eval_shape(case.ansatz.apply, params, x)
    assert psi.logabs.dtype == jnp.float32
    assert psi.sign.dtype == (jnp.complex64 if case.is_complex else jnp.float32)


def test_real_psi_promotes_no_dtypes(name, strict_dtypes):
    case = ANSATZE[name]
    if not case.is_complex:
        x = jax.ShapeDtypeStruct((case.n, case.d), jnp.float64)
        jax.eval_shape(case.ansatz.init_with_output, jax.random.key(0), x)


@pytest.mark.parametrize(
    "name", [*further("rbm jastrow"), "slater jastrow 2d", *further("phase")]
)
def test_psi_in_single_precision_equals_double_precision(name):
    walkers, params = start(name)
    expected = evaluate(name, walkers)["logabs"]
    ansatz = ANSATZE[name].ansatz
    with jax.enable_x64(False):
        single = jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float32), (params, walkers)
        )
        found = jax.jit(jax.vmap(ansatz.apply, (None, 0)))(*single).logabs
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)  # float32


# The restricted Boltzmann machine.


@pytest.mark.parametrize("name", ["rbm", "rbm root"])
def test_rbm_is_the_sum_over_its_hidden_units(name):
    ansatz, (walkers, params) = ANSATZE[name].ansatz, start(name)
    p = {key: np.asarray(leaf) for key, leaf in params["params"].items()}
    sigma = np.exp(p["log_sigma"]) if ansatz.learn_sigma else ansatz.sigma
    expected = []
    for x in np.asarray(walkers):
        f = 0.0
        for h in itertools.product((0, 1), repeat=ansatz.n_hidden):
            pairs = np.sum((x / sigma**2)[..., None] * p["weights"] * np.array(h))
            gaussian = -np.sum((x - p["visible_bias"]) ** 2 / (2 * sigma**2))
            f += np.exp(gaussian + p["hidden_bias"] @ h + pairs)
        expected.append(np.log(f) / 2 if ansatz.root else np.log(f))
    found = evaluate(name, walkers)
    np.testing.assert_allclose(found["logabs"], expected, rtol=1e-12)
    np.testing.assert_array_equal(found["sign"], 1)


@pytest.mark.parametrize("name", ["rbm", "rbm root"])
def test_conditionals_of_the_rbm_match_its_marginal(name):
    """Bayes: p(h|x) |psi(x)|^2 / p(x|h) = p(h) does not depend on x, for any h."""
    ansatz, (walkers, params) = ANSATZE[name].ansatz, start(name)
    key, layers = jax.random.key(0), 1 if ansatz.root else 2
    log_density = 2 * evaluate(name, walkers)["logabs"]
    configurations = itertools.product((0.0, 1.0), repeat=layers * ansatz.n_hidden)
    for h in np.reshape([*configurations], (-1, layers, ansatz.n_hidden))[::3]:
        # The means and widths of the draws, from draws whose noise is known.
        with mock.patch.object(jax.random, "normal", lambda key, *a: jnp.zeros(a[0])):
            mean = np.asarray(ansatz.sample_visible(params, key, jnp.asarray(h)))
        with mock.patch.object(jax.random, "normal", lambda key, *a: jnp.ones(a[0])):
            width = (
                np.asarray(ansatz.sample_visible(params, key, jnp.asarray(h))) - mean
            )
        log_prior = []
        for x, log_p in zip(walkers, log_density, strict=True):
            with mock.patch.object(
                jax.random,
                "bernoulli",
                lambda key, p, shape: jnp.broadcast_to(p, shape),
            ):
                p_on = np.asarray(ansatz.sample_hidden(params, key, x))
            log_hidden = np.sum(np.log(np.where(h == 1, p_on, 1 - p_on)))
            log_visible = -np.sum(((np.asarray(x) - mean) / width) ** 2) / 2
            log_prior.append(log_hidden + log_p - log_visible)
        np.testing.assert_allclose(log_prior, log_prior[0], rtol=0, atol=1e-12)


def test_hidden_units_are_independent_and_zero_or_one():
    ansatz = GaussianBinaryRBM(500)
    shapes = jax.eval_shape(ansatz.init, jax.random.key(0), np.ones((2, 1)))
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes)
    sample = jax.jit(ansatz.sample_hidden)
    hidden = np.asarray(sample(params, jax.random.key(1), np.ones((2, 1))))
    assert hidden.shape == (2, 500) and {*np.unique(hidden)} == {0.0, 1.0}
    # Fair coins: 1000 of them, and 500 pairs that agree half of the time.
    np.testing.assert_allclose(np.mean(hidden), 0.5, atol=4 * 0.5 / 1000**0.5)
    np.testing.assert_allclose(np.mean(hidden[0] == hidden[1]), 0.5, atol=0.09)


def test_rbm_without_weights_is_the_oscillator_ground_state():
    """At sigma = 1/sqrt(omega), or 1/sqrt(2 omega) for the root."""
    x = np.array([[0.3, -1.1], [0.9, 0.4]])
    for root, sigma in ((False, 0.7**-0.5), (True, 1.4**-0.5)):
        ansatz = GaussianBinaryRBM(2, root, sigma)
        params = parameters(ansatz, x, scale=0.0)
        here, center = jax.jit(jax.vmap(ansatz.apply, (None, 0)))(
            params, np.stack([x, 0 * x])
        ).logabs
        shifts = here - center
        np.testing.assert_allclose(shifts, -0.7 * np.sum(x * x) / 2, rtol=1e-12)


@pytest.mark.parametrize(
    "settings", [*further({}), {"root": True}, *further({"learn_sigma": True})]
)
def test_initial_psi_of_free_bosons_in_an_elliptical_trap_is_exact(settings):
    trap = HarmonicTrap(2, 3, (1.0, 1.0, 2.8), interaction=None)
    ansatz = trap_ansatz(Part("rbm", tuple(settings.items())), trap)
    walkers = trap.initial_walkers(jax.random.key(0), 8)

    @jax.jit
    def energies(key):
        params = ansatz.init(key, walkers[0])
        return jax.vmap(lambda x: trap.local_energy(ansatz, params, x))(walkers)

    np.testing.assert_allclose(energies(jax.random.key(1)), 4.8, rtol=1e-12)


# Networks, by the formulas of their docstrings.


def dense(h, layer):
    return h @ np.asarray(layer["kernel"]) + np.asarray(layer.get("bias", 0.0))


def test_feed_forward_matches_its_formula():
    walkers, params = start("feed-forward")
    leaves = params["params"]
    layers = leaves["Perceptron_0"]
    expected = []
    for x in np.asarray(walkers):
        h = np.tanh(dense(np.sqrt(0.7) * x.reshape(-1), layers["Dense_0"]))
        h = h + np.tanh(dense(h, layers["Dense_1"]))  # a residual layer
        envelope = np.exp(leaves["Envelope_0"]["log_alpha"]) * 0.7 * np.sum(x * x) / 2
        expected.append(dense(h, layers["Dense_2"])[0] - envelope)
    found = evaluate("feed-forward", walkers)["logabs"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_phase_is_the_second_output():
    walkers, params = start("phase")
    leaves = params["params"]
    layers = leaves["Perceptron_0"]
    omegas, found = np.array([1.0, 1.5]), evaluate("phase", walkers)
    for i, x in enumerate(np.asarray(walkers)):
        z = dense((np.sqrt(omegas) * x).reshape(-1), layers["Dense_0"])
        logabs, phase = dense(z / (1 + np.exp(-z)), layers["Dense_1"])
        envelope = np.exp(leaves["Envelope_0"]["log_alpha"]) * np.sum(omegas * x**2) / 2
        np.testing.assert_allclose(found["logabs"][i], logabs - envelope, rtol=1e-12)
        np.testing.assert_allclose(found["sign"][i], np.exp(1j * phase), rtol=1e-12)


def test_deep_sets_match_their_formula():
    walkers, params = start("deep sets")
    leaves = params["params"]
    phi, rho = leaves["Perceptron_0"], leaves["Perceptron_1"]
    expected = []
    for x in np.asarray(walkers):
        h = np.tanh(dense(x, phi["Dense_0"]))
        h = h + np.tanh(dense(h, phi["Dense_1"]))
        out = dense(np.tanh(dense(h.mean(axis=0), rho["Dense_0"])), rho["Dense_1"])
        envelope = np.exp(leaves["Envelope_0"]["log_alpha"]) * np.sum(x * x) / 2
        expected.append(out[0] - envelope)
    found = evaluate("deep sets", walkers)["logabs"]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@functools.cache
def first_kernels():
    """Kernels (30, 40) by every initializer."""

    @jax.jit
    def draw(key, x):
        ansatze = {name: FeedForward((40,), kernel_init=name) for name in INITIALIZERS}
        return {name: ansatz.init(key, x) for name, ansatz in ansatze.items()}

    drawn = draw(jax.random.key(0), np.ones((10, 3)))
    return {
        name: np.asarray(params["params"]["Perceptron_0"]["Dense_0"]["kernel"])
        for name, params in drawn.items()
    }


@pytest.mark.parametrize("kernel_init", INITIALIZERS)
def test_every_initializer_spreads_the_weights(kernel_init):
    kernel = first_kernels()[kernel_init]
    variance = {
        "glorot_normal": 2 / 70,
        "glorot_uniform": 2 / 70,
        "he_normal": 2 / 30,
        "he_uniform": 2 / 30,
        "lecun_normal": 1 / 30,
        "normal": 0.01,
        "orthogonal": 1 / 40,
    }[kernel_init]
    # A variance from 1200 numbers is good to sqrt(2 / 1200) = 4 %.
    np.testing.assert_allclose(np.var(kernel), variance, rtol=0.16)


# Slater determinants.

# (spins, d, omega)
FREE_FERMIONS = [
    (Spins(0, 10), 1, 1.3),
    pytest.param(Spins(6, 4), 2, 0.28, marks=pytest.mark.further),
    (Spins(5, 5), 3, (1.0, 1.5, 2.0)),
]


def assert_ground_state(energies, trap):
    (reference,) = trap.references()
    np.testing.assert_allclose(energies, reference.value, rtol=1e-10)  # rounding
    assert np.var(energies) <= 1e-20 * reference.value**2


@pytest.mark.parametrize("spins, d, omega", at(FREE_FERMIONS, 2))
def test_bare_determinant_is_the_ground_state_of_free_fermions(spins, d, omega):
    trap, ansatz = HarmonicTrap(spins.n, d, omega, spins=spins), Slater(spins, omega)
    spread = np.sqrt(trap.references()[0].value / (spins.n * d)) / trap.omegas
    walkers = spread * np.random.default_rng(0).normal(size=(32, spins.n, d))
    params = {"params": {"log_alpha": jnp.zeros(())}}

    def at(x):
        potential = jnp.sum((jnp.array([trap.omegas]) * x) ** 2) / 2
        energy = kinetic_energy(ansatz, params, x, laplacian="loop") + potential
        return ansatz.apply(params, x).logabs, energy

    logabs, energies = jax.jit(jax.vmap(at))(walkers)
    assert_ground_state(np.asarray(energies)[np.argsort(logabs)[-W:]], trap)


def test_alpha_scales_the_determinant():
    walkers, params = start("slater open shell")[0], initial("slater open shell")
    scaled = {"params": {"log_alpha": jnp.asarray(np.log(1.7))}}
    found = evaluate("slater open shell", walkers, scaled)
    expected = evaluate("slater open shell", np.sqrt(1.7) * walkers, params)
    for part in ("sign", "logabs"):
        np.testing.assert_allclose(found[part], expected[part], rtol=1e-12)
    assert np.all(found["logabs"] != evaluate("slater open shell", walkers)["logabs"])


def test_exchange_of_all_spins_leaves_the_determinants_unchanged():
    walkers = start("slater jastrow 2d")[0]
    before = evaluate("slater jastrow 2d", walkers)
    after = evaluate("slater jastrow 2d", walkers[:, [2, 3, 0, 1]])
    np.testing.assert_allclose(after["sign"], before["sign"])
    np.testing.assert_allclose(after["logabs"], before["logabs"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("omegas", [(1.0,), (0.3, 0.3), (1.0, 2.5), (1.0, 1.0, 2.83)])
def test_orbitals_are_filled_in_the_order_of_their_energies(omegas):
    for n in (1, 2, 4, 7, 20):
        levels = oscillator_levels(n, omegas)
        assert len(set(levels)) == n
        every = np.array(list(itertools.product(range(n), repeat=len(omegas))))
        lowest = np.sort(every @ omegas)[:n]
        np.testing.assert_allclose(np.array(levels) @ omegas, lowest, rtol=1e-12)


def test_open_shells_of_trap_and_determinant_are_filled_along_the_first_axes():
    expected = [[0, 0, 0], [1, 0, 0], [0, 0, 0]]
    np.testing.assert_array_equal(filled_levels(3, Spins(2, 1), np.ones(3)), expected)
    x = np.array([[0.3, 1.0, 0.1], [-0.5, 0.2, 0.7], [1.0, 0.0, 0.0]])
    psi, _ = jax.jit(Slater(Spins(2, 1)).init_with_output)(jax.random.key(0), x)
    # the determinant of 1 and x of the first two electrons
    logabs = psi.logabs + np.sum(x**2) / 2
    np.testing.assert_allclose(logabs, np.log(np.sqrt(2) * 0.8), rtol=1e-12)


def test_orbitals_are_orthonormal():
    nodes, weights = np.polynomial.hermite.hermgauss(12)
    grid = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    measure = np.outer(weights, weights).reshape(-1) / np.pi  # of exp(-q^2)
    orbitals = hermite_orbitals(
        jnp.asarray(grid), np.array(oscillator_levels(15, np.ones(2)))
    )
    gram = np.asarray(orbitals).T @ (measure[:, None] * np.asarray(orbitals))
    np.testing.assert_allclose(gram, np.eye(15), atol=1e-12)


# Jastrow factors at short distances.


def approach(name, pair, distances):
    """8 equal walkers except for the distance of one pair."""
    walkers = np.repeat(start(name)[0][-1:], W, axis=0)
    direction = np.array([0.6, -0.8, 0.0])[: walkers.shape[-1]]
    direction /= np.linalg.norm(direction)
    i, j = pair
    walkers[:, j] = walkers[:, i] + np.multiply.outer(distances, direction)
    return walkers


@pytest.mark.parametrize(
    "pair", [(0, 1), (0, -1)], ids=["equal spins", "opposite spins"]
)
@pytest.mark.parametrize("name", [*further("slater jastrow 2d"), "slater jastrow 3d"])
def test_coulomb_cusp_keeps_the_local_energy_finite(name, pair):
    r = np.geomspace(1e-2, 1e-5, W)
    energies = kinetic(name, approach(name, pair, r))
    found = energies + 1 / r
    # The limit is approached linearly in r; at r = 1e-5 rounding is 1e-16 / r^2 = 1e-6.
    np.testing.assert_allclose(found[4:], found[-1], rtol=0, atol=0.05)
    assert np.max(np.abs(found)) < 100
    for wrong in (0.5, 2.0):
        assert np.abs(energies + wrong / r)[-1] > 0.4 / r[-1]


def test_bosons_have_the_cusp_of_opposite_spins():
    r = np.geomspace(1e-2, 1e-5, W)
    found = kinetic("rbm jastrow", approach("rbm jastrow", (0, 1), r)) + 1 / r
    np.testing.assert_allclose(found[4:], found[-1], rtol=0, atol=0.05)


@pytest.mark.parametrize(
    "name, pair, exponent",
    [
        *further(("deep sets power", (0, 1), 1.7)),
        ("slater power", (0, 1), 2.5),
        ("slater power", (0, 3), 2.5),
    ],
)
def test_power_factor_cancels_the_inverse_square(name, pair, exponent):
    r = np.geomspace(0.1, 1e-3, W)
    potential = exponent * (exponent - 1) / r**2
    found = kinetic(name, approach(name, pair, r)).real + potential
    # The limit depends on the other pairs; rounding is 1e-16 / r^2.
    np.testing.assert_allclose(found[-2:], found[-1], rtol=0.01, atol=0.1)
    assert abs(found[-1]) < 1e-3 * potential[-1]


def test_determinant_and_power_are_the_ground_state_of_calogero():
    """Up to the sign, psi = prod |x_ij|^lam exp(-sum x^2 / 2)."""
    walkers, params = start("slater power")[0], initial("slater power")
    trap = HarmonicTrap(4, 1, interaction=InverseSquare(2.5), spins=Spins(3, 1))
    assert_eigenstate("slater power", walkers, params, trap, 4 / 2 + 2.5 * 4 * 3 / 2)


def test_determinant_and_gaussian_are_the_ground_state_of_harmonic_pairs():
    """With c = (Omega - omega) / n between all pairs."""
    walkers, params = start("slater gaussian")[0], initial("slater gaussian")
    trap = HarmonicTrap(4, 1, interaction=HarmonicPairs(0.6), spins=Spins(4))
    stiff = np.sqrt(1 + 4 * 0.6)
    factors = params["params"] | {"factors_1": {"c": jnp.asarray((stiff - 1) / 4)}}
    energy = 8 * stiff - stiff / 2 + 1 / 2
    assert_eigenstate("slater gaussian", walkers, {"params": factors}, trap, energy)


def assert_eigenstate(name, walkers, params, trap, energy):
    i, j = np.triu_indices(4, 1)
    distances = np.abs(walkers[:, i, 0] - walkers[:, j, 0])
    potential = np.sum(walkers**2, axis=(1, 2)) / 2
    potential += np.sum(trap.interaction(distances), axis=1)
    found = kinetic(name, walkers, params) + potential
    np.testing.assert_allclose(found, energy, rtol=1e-10)


def test_pade_factor_matches_its_formula():
    walkers = np.random.default_rng(0).normal(size=(3, 3))
    for spins, cusps in (
        (None, [1, 1, 1]),
        (Spins(2, 1), [1 / 2, 1, 1]),
        (Spins(0, 3), [1 / 2] * 3),
    ):
        ansatz = PadeJastrow(spins, strength=1.4, beta=0.7)
        params = jax.jit(ansatz.init)(jax.random.key(0), walkers)
        i, j = np.triu_indices(3, 1)  # 01, 02, 12
        r = np.linalg.norm(walkers[i] - walkers[j], axis=-1)
        # In three dimensions a = c/2 for opposite and c/4 for equal spins.
        expected = np.sum(1.4 / 2 * np.array(cusps) * r / (1 + 0.7 * r))
        np.testing.assert_allclose(
            ansatz.apply(params, walkers).logabs, expected, rtol=1e-12
        )


def test_pade_factor_has_one_beta_per_kind_of_pair():
    walkers = np.random.default_rng(0).normal(size=(3, 3))
    ansatz = PadeJastrow(Spins(2, 1), strength=1.4)
    found = ansatz.apply(
        {"params": {"log_beta_same": 0.2, "log_beta_opposite": -0.7}}, walkers
    )
    i, j = np.triu_indices(3, 1)  # 01 are the equal spins
    r = np.linalg.norm(walkers[i] - walkers[j], axis=-1)
    beta, cusp = np.exp([0.2, -0.7, -0.7]), 1.4 / np.array([4, 2, 2])
    np.testing.assert_allclose(
        found.logabs, np.sum(cusp * r / (1 + beta * r)), rtol=1e-12
    )


def test_product_multiplies_its_factors():
    walkers, params = start("phase jastrow")
    alone = [
        jax.jit(factor.apply)({"params": params["params"][f"factors_{i}"]}, walkers[0])
        for i, factor in enumerate(ANSATZE["phase jastrow"].ansatz.factors)
    ]
    found = evaluate("phase jastrow", walkers)
    np.testing.assert_allclose(found["logabs"][0], sum(psi.logabs for psi in alone))
    np.testing.assert_allclose(found["sign"][0], np.prod([psi.sign for psi in alone]))


# Refusals.


@pytest.mark.parametrize(
    "part, setting, message",
    [
        (FeedForward, {"activation": "tangent"}, "activation must .*got 'tangent'"),
        (FeedForward, {"activation": "pi"}, "activation must .*got 'pi'"),
        (DeepSets, {"activation": "tangent"}, "activation must .*got 'tangent'"),
        (FeedForward, {"kernel_init": "he"}, "kernel_init must be one of .*he_normal"),
        (DeepSets, {"kernel_init": "he"}, "kernel_init must be one of .*got 'he'"),
        (FeedForward, {"hidden": (8, 0)}, r"hidden must .*positive .*\(8, 0\)"),
        (FeedForward, {"hidden": (2.5,)}, r"hidden must .*positive .*\(2.5,\)"),
        (DeepSets, {"features": (-1,)}, r"features must .*positive .*\(-1,\)"),
        (GaussianBinaryRBM, {"n_hidden": 0}, "n_hidden must .*got 0"),
        (GaussianBinaryRBM, {"n_hidden": 2.5}, "n_hidden must .*got 2.5"),
        (
            GaussianBinaryRBM,
            {"sigma": 0.0},
            "sigma must be finite and positive, got 0.0",
        ),
        (
            GaussianBinaryRBM,
            {"sigma": np.nan},
            "sigma must be finite and positive, got nan",
        ),
        (PadeJastrow, {"beta": -1.0}, "beta must be finite and positive, got -1.0"),
        (FeedForward, {"omega": 0.0}, "omega must be finite and positive, got 0.0"),
    ],
)
def test_invalid_settings_are_refused(part, setting, message):
    with pytest.raises(ValueError, match=message):
        part(**setting)


@pytest.mark.parametrize(
    "ansatz, message",
    [
        (Slater(Spins(3)), r"spins must add up to n=2, got Spins.up=3"),
        (DeepSets(omega=(1.0, 1.0)), r"d=1 of them, got \(1.0, 1.0\)"),
        (PadeJastrow(), "d must be 2 or 3 for a Coulomb cusp, got d=1"),
    ],
)
def test_ansatz_that_does_not_fit_the_configuration_is_refused(ansatz, message):
    with pytest.raises(ValueError, match=message):
        ansatz.init(jax.random.key(0), jnp.ones((2, 1)))


def test_silu_and_its_derivatives_match_jax():
    x = np.concatenate([np.linspace(-60, 60, 401), np.logspace(-300, 0, 50)])

    @jax.jit
    def orders(x):
        every = []
        for f in (silu, jax.nn.silu):
            first = jax.grad(f)
            every.append([jax.vmap(g)(x) for g in (f, first, jax.grad(first))])
        return every, silu(x.astype(np.float32))

    (ours, theirs), single = orders(x)
    for found, expected in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14, atol=3e-14)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, theirs[0], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("activation", ["softmax", "standardize", "logsumexp", "sort"])
def test_backflow_requires_an_elementwise_activation(activation):
    with pytest.raises(ValueError, match=f"must be elementwise, got '{activation}'"):
        Backflow(activation=activation)


@pytest.mark.parametrize("activation", [*KINKED, jax.nn.relu, jnp.abs])
def test_activations_with_kinks_warn(activation):
    for part in (FeedForward, DeepSets):
        with pytest.warns(UserWarning, match="no upper bound"):
            part(activation=activation)


@pytest.mark.parametrize(
    "activation", ["tanh", "silu", "gelu", "softplus", "elu", "sin"]
)
def test_smooth_activations_do_not_warn(activation):
    FeedForward(activation=activation)  # a warning would be an error


def test_envelope_is_the_ground_state_of_its_trap():
    x = jnp.array([[0.3, -1.1], [0.9, 0.4]])
    for omega in (0.7, (0.5, 2.0)):
        envelope = Envelope(omega)
        params = jax.jit(envelope.init)(jax.random.key(0), x)
        expected = -np.sum(np.broadcast_to(omega, (2,)) * np.square(x)) / 2
        np.testing.assert_allclose(envelope.apply(params, x), expected, rtol=1e-14)

"""Wave functions in a box: periodicity, translations, twists, and initial states."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.ansatze import Backflow, PadeJastrow, PlaneWaveSlater, Product
from nqs.laplacian.kinetic import kinetic_energy
from nqs.space.box import Box
from nqs.space.spins import Spins
from tests.cases import few, further
from tests.drawn import parameters

CUBE = Box.shaped("cubic", 14.0, 3)
SKEW = Box(((2.5, 0.3, 0.1), (-0.4, 2.2, 0.5), (0.2, -0.3, 2.8)))
TWIST = (0.1, -0.2, 0.3)
SQUARE = Box.shaped("square", 10.0, 2)


def gas(spins, box, twist=None, **settings):
    """The ansatz of the electron gas, small."""
    settings = {"layers": 1, "width": 4} | settings
    network = Backflow(spins, box=box, twist=twist, **settings)
    return Product((network, PadeJastrow(spins, 2.0, 0.9, box)))


CASES = {
    "closed shells": (gas(Spins(7, 7), CUBE, layers=2, ranges=(0.5, 1.0)), 14),
    "polarized, flat": (gas(Spins(5), SQUARE), 5),
    "bosons, skew": (gas(None, SKEW), 3),
    "twist, skew": (gas(Spins(3, 2), SKEW, TWIST, ranges=(0.7,), pair_width=3), 5),
    "twist, two determinants": (
        gas(Spins(2, 1), SQUARE, TWIST[:2], determinants=2, ranges=(0.6,)),
        3,
    ),
}


@functools.cache
def start(name):
    """An ansatz, its compiled psi, walkers (3, n, d) and random parameters."""
    ansatz, n = CASES[name]
    box = ansatz.factors[0].box
    walkers = np.random.default_rng(0).uniform(size=(3, n, box.d)) @ box.vectors
    params = parameters(ansatz, walkers[0], scale=0.5)
    apply = jax.jit(jax.vmap(ansatz.apply, (None, 0)))
    return ansatz, apply, walkers, params


def twist_of(ansatz):
    return ansatz.factors[0].twist


@pytest.mark.parametrize("name", few(CASES, "twist, skew"))
def test_translation_by_a_lattice_vector_adds_the_phase_of_the_twist(name):
    ansatz, apply, walkers, params = start(name)
    box = ansatz.factors[0].box
    before = apply(params, walkers)
    for a in range(box.d):
        moved = walkers.copy()
        moved[:, 1] += box.vectors[a]
        after = apply(params, moved)
        np.testing.assert_allclose(after.logabs, before.logabs, atol=1e-10)
        phase = np.exp(2j * np.pi * (twist_of(ansatz) or (0,) * box.d)[a])
        np.testing.assert_allclose(after.sign, phase * before.sign, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_common_translation_changes_only_the_phase(name):
    ansatz, apply, walkers, params = start(name)
    box = ansatz.factors[0].box
    shift = np.linspace(0.3, -0.7, box.d)
    before, after = apply(params, walkers), apply(params, walkers + shift)
    np.testing.assert_allclose(after.logabs, before.logabs, atol=1e-10)
    if twist_of(ansatz) is None:
        np.testing.assert_array_equal(after.sign, before.sign)
    else:  # the momentum of all particles
        spins = ansatz.factors[0].spins
        momentum = sum(
            box.wave_vectors(m, twist_of(ansatz)).sum(0) for m in (spins.up, spins.down)
        )
        phase = np.exp(1j * momentum @ shift)
        np.testing.assert_allclose(after.sign, phase * before.sign, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_exchange_of_equal_particles_has_the_sign_of_the_statistics(name):
    ansatz, apply, walkers, params = start(name)
    swapped = walkers[:, np.array([1, 0, *range(2, walkers.shape[1])])]
    before, after = apply(params, walkers), apply(params, swapped)
    sign = 1 if ansatz.factors[0].spins is None else -1
    np.testing.assert_allclose(after.logabs, before.logabs, atol=1e-10)
    np.testing.assert_allclose(after.sign, sign * before.sign, atol=1e-10)


@pytest.mark.parametrize("name", [*further("closed shells"), "twist, skew"])
def test_initial_psi_is_the_plane_wave_determinant_with_its_jastrow(name):
    ansatz, apply, walkers, _ = start(name)
    params = jax.jit(ansatz.init)(jax.random.key(1), walkers[0])
    network, jastrow = ansatz.factors
    slater = PlaneWaveSlater(network.spins, network.box, network.twist)
    expected = jax.jit(jax.vmap(lambda x: slater.apply({}, x)))(walkers)
    factor = {"params": params["params"]["factors_1"]}
    with_jastrow = jax.jit(jax.vmap(lambda x: jastrow.apply(factor, x).logabs))
    found = apply(params, walkers)
    np.testing.assert_allclose(
        found.logabs, expected.logabs + with_jastrow(walkers), atol=1e-10
    )
    np.testing.assert_allclose(found.sign, expected.sign, atol=1e-12)


@pytest.mark.parametrize(
    "spins, twist", [*further((Spins(7), None)), (Spins(2, 3), TWIST)]
)
def test_plane_waves_are_eigenstates_of_the_kinetic_energy(spins, twist):
    box = CUBE if twist is None else SKEW
    slater = PlaneWaveSlater(spins, box, twist)
    walkers = np.random.default_rng(3).uniform(size=(64, spins.n, 3)) @ box.vectors
    logabs = jax.jit(jax.vmap(lambda x: slater.apply({}, x).logabs))(walkers)
    kept = walkers[np.argsort(logabs)[-16:]]  # rounding grows as 1/r^2 at a node
    found = jax.jit(jax.vmap(lambda x: kinetic_energy(slater, {}, x)))(kept)
    expected = sum(
        (box.wave_vectors(m, twist) ** 2).sum() / 2 for m in (spins.up, spins.down)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-11)


@pytest.mark.parametrize(
    "spins, cusp", [*further((Spins(1, 1), 2.0 / 2)), (Spins(2), 2.0 / 4)]
)
def test_jastrow_factor_has_the_cusp_of_its_spins(spins, cusp):
    jastrow = PadeJastrow(spins, 2.0, 0.9, SKEW)
    params = {"params": {"log_beta_same": 0.1, "log_beta_opposite": 0.2}}
    direction = jnp.array([0.36, -0.48, 0.8])

    def log_psi(r):
        x = jnp.stack([jnp.ones(3), jnp.ones(3) + r * direction])
        return jastrow.apply(params, x).logabs

    np.testing.assert_allclose(jax.jit(jax.grad(log_psi))(1e-7), cusp, rtol=1e-6)


def trigonometry(jaxpr):
    """Number of sines and cosines in a program."""
    count = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("sin", "cos"):
            count += equation.outvars[0].aval.size
        for inner in equation.params.values():
            if hasattr(inner, "jaxpr"):
                count += trigonometry(inner.jaxpr)
    return count


def test_number_of_sines_and_cosines_is_linear_in_particles():
    ansatz, _, walkers, params = start("closed shells")
    program = jax.make_jaxpr(lambda x: ansatz.apply(params, x))(walkers[0]).jaxpr
    n, d, waves = 14, 3, 7  # of a closed shell
    assert trigonometry(program) == 2 * n * waves + 2 * (2 * n * d)


def test_open_shell_and_twist_without_a_box_are_refused():
    with pytest.raises(ValueError, match="nearest closed shells are 1 and 7"):
        jax.eval_shape(gas(Spins(4, 4), CUBE).init, jax.random.key(0), np.ones((8, 3)))
    with pytest.raises(ValueError, match="twist must be None without a box"):
        Backflow(Spins(1), twist=TWIST)

"""A wave function that contradicts its Hamiltonian is refused before compiling."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hamiltonians import (
    ClassicalIsing,
    Coulomb,
    ElectronGas,
    FermiGas,
    HarmonicTrap,
    Heisenberg,
    NeutronMatter,
    TransverseFieldIsing,
)
from nqs.ansatze import FeedForward, PlaneWaveSlater, Product, Slater, SlaterJastrow
from nqs.optimizers import SR, FirstOrder, MinSR, Spring
from nqs.space.lattice import Lattice
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from nqs.vmc import VMC
from samplers import Metropolis, Periodic, SiteMetropolis
from tests.cases import further
from tests.tiny import Still

DOT = HarmonicTrap(4, 2, 1.0, Coulomb(), Spins(2, 2))
ADAM, WALK = FirstOrder("adam"), Metropolis()


def started(ansatz, hamiltonian=DOT, sampler=WALK, optimizer=ADAM, **settings):
    """A driver and its first state, compiled as in a run."""
    vmc = VMC(ansatz, hamiltonian, sampler, optimizer, **settings)
    walkers = first_walkers(hamiltonian)
    state = jax.jit(vmc.init)(jax.random.key(1), walkers)
    vmc.check_numbers(state.params, walkers, lambda f, *of: jax.jit(f)(*of))
    return vmc, state


def first_walkers(hamiltonian):
    if not isinstance(hamiltonian, HarmonicTrap):
        initial = jax.jit(lambda key: hamiltonian.initial_walkers(key, 8))
        return initial(jax.random.key(0))
    shape = 8, hamiltonian.n, hamiltonian.d
    return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize(
    "ansatz, field",
    [
        (SlaterJastrow(Spins(1, 3), omega=1.0), "spins of Slater"),
        (SlaterJastrow(Spins(2, 2), omega=5.0), "omega of Slater"),
        (Product((Slater(Spins(1, 3), omega=1.0), FeedForward())), "spins of Slater"),
    ],
)
def test_error_names_the_field_that_differs(ansatz, field):
    with pytest.raises(ValueError, match=f"{field}.* must equal"):
        started(ansatz)
    jax.eval_shape(lambda: started(ansatz, check=False)[1])


def test_bosonic_network_is_refused_for_fermions():
    with pytest.raises(ValueError, match="factor -1 under an exchange of the equal"):
        started(FeedForward())
    bosons = VMC(FeedForward((4,)), HarmonicTrap(4, 2, 1.0), WALK, ADAM)
    bosons.init(jax.random.key(1), first_walkers(DOT))  # operation by operation


def test_matching_ansatz_is_accepted():
    started(SlaterJastrow(Spins(2, 2), omega=1.0))
    four = Spins(4, 0)  # whose cycle is an odd permutation
    started(SlaterJastrow(four, omega=1.0), HarmonicTrap(4, 2, 1.0, Coulomb(), four))


def test_psi_is_compared_by_one_program():
    programs = []

    def call(f, *arguments):
        programs.append(f)
        return jax.jit(f)(*arguments)

    vmc, state = started(FeedForward(), check=False)
    vmc = dataclasses.replace(vmc, check=True)
    with pytest.raises(ValueError, match="factor -1 under an exchange"):
        vmc.check_numbers(state.params, state.sampler.walkers, call)
    assert len(programs) == 1


def test_compiled_initialization_skips_the_comparison_of_psi():
    vmc = VMC(SlaterJastrow(Spins(2, 2), omega=1.0), DOT, WALK, ADAM)
    walkers, key = first_walkers(DOT), jax.random.key(1)
    expected = vmc.init(key, walkers)
    for state in (
        jax.jit(lambda key: vmc.init(key, walkers))(key),
        jax.jit(lambda walkers: vmc.init(key, walkers))(walkers),
    ):
        jax.tree.map(np.testing.assert_array_equal, state, expected)


GAS_BOX = ElectronGas(Spins(1, 1), rs=1.0).box
TWISTED = ElectronGas(Spins(1, 1), rs=1.0, twist=(0.1, 0.2, 0.3))


@dataclasses.dataclass(frozen=True)
class Waves:
    """A determinant-free psi with the phase exp(i k . x) of a twist, or without."""

    twist: tuple[float, ...]
    box: object
    sign: float = 1.0

    def init(self, key, x):
        return {}

    def apply(self, params, x):
        k = jnp.asarray(np.asarray(self.twist) @ self.box.reciprocal)
        phase = self.sign * jnp.sum(x @ k)
        return LogPsi(jax.lax.complex(jnp.cos(phase), jnp.sin(phase)), 0.0 * phase)


def test_phase_of_a_translation_is_that_of_the_twist():
    started(Waves(TWISTED.twist, TWISTED.box), TWISTED)
    with pytest.raises(ValueError, match="under a translation by lattice vector 0"):
        started(Waves(TWISTED.twist, TWISTED.box, -1.0), TWISTED)


def test_function_that_is_not_periodic_is_refused():
    gas = ElectronGas(Spins(1, 0), rs=1.0)
    gaussian = Function(lambda p, x: LogPsi(jnp.ones(()), -0.1 * jnp.sum(x**2)))
    with pytest.raises(ValueError, match="translation"):
        started(gaussian, gas)


def test_ansatz_of_another_box_raises():
    gas, other = (
        ElectronGas(Spins(1, 1), rs=1.0, cell=cell) for cell in ("cubic", "bcc")
    )
    with pytest.raises(ValueError, match="box of PlaneWaveSlater"):
        started(PlaneWaveSlater(Spins(1, 1), box=other.box), gas)


def test_psi_that_is_zero_is_refused():
    zero = Function(lambda p, x: LogPsi(jnp.ones(()), -jnp.inf * jnp.sum(x[0] ** 2)))
    with pytest.raises(ValueError, match="must be finite and not zero"):
        started(zero, HarmonicTrap(1, 1, 1.0))


def test_neutrons_check_exchanges_of_equal_spins():
    matter = NeutronMatter(Spins(2, 2), density=0.04)
    flat = Function(lambda p, x: LogPsi(jnp.ones(()), 0.0 * jnp.sum(x)))
    with pytest.raises(ValueError, match="exchange"):
        started(flat, matter)


@pytest.mark.parametrize(
    "sampler, hamiltonian, ansatz",
    [
        (Metropolis(), TransverseFieldIsing(Lattice((8,))), FeedForward()),
        (SiteMetropolis(), HarmonicTrap(2, 1, 1.0), FeedForward()),
    ],
)
def test_samplers_of_another_kind_of_configuration_are_refused(
    sampler, hamiltonian, ansatz
):
    with pytest.raises(ValueError, match="sampler must be one of"):
        started(ansatz, hamiltonian, sampler)


BOSON = HarmonicTrap(1, 1, 1.0)


class Network(nn.Module):
    layer: nn.Module

    @nn.compact
    def __call__(self, x):
        y = jnp.sum(self.layer(x.reshape(1, -1)))
        return LogPsi(jnp.ones_like(y), y - jnp.sum(x**2) / 2)


@pytest.mark.parametrize(
    "layer, message",
    [
        (nn.BatchNorm(use_running_average=True), "'batch_stats'"),
        (nn.Dropout(0.5, deterministic=False), "must be deterministic"),
    ],
)
def test_flax_modules_with_state_or_randomness_are_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        started(Network(layer), BOSON)


def test_parameters_of_lower_precision_raise_a_warning():
    with pytest.warns(UserWarning, match="float32 in a float64 run"):
        started(Network(nn.Dense(3)), BOSON)


def test_error_for_a_plain_function_names_nqs_function():
    with pytest.raises(ValueError, match=r"nqs.Function\(f, initial\)"):
        started(lambda params, x: None, BOSON)


def test_factor_of_a_product_must_be_an_ansatz():
    with pytest.raises(ValueError, match=r"nqs.Function\(f, initial\)"):
        Product((FeedForward(), lambda params, x: None))


def test_product_with_a_function_is_the_product_of_both():
    def steep(params, x):
        return LogPsi(jnp.sign(x[0, 0] - params), -params * jnp.sum(x**2))

    network, x = FeedForward((3,)), np.random.default_rng(0).normal(size=(2, 2))
    psi = Product((Function(steep, lambda key, x: jnp.ones(())), network))
    params = psi.init(jax.random.key(1), x)
    factors = params["params"]
    one = steep(factors["factors_0"], x)
    other = network.apply({"params": factors["factors_1"]}, x)
    found = psi.apply(params, x)
    np.testing.assert_allclose(found.logabs, one.logabs + other.logabs, rtol=1e-12)
    assert found.sign == one.sign * other.sign == -1
    step, _ = started(psi, BOSON)
    assert step.ansatz is psi


GAUSSIAN = Function(lambda p, x: LogPsi(jnp.ones(()), -jnp.sum(x**2) / 2))


@pytest.mark.parametrize(
    "optimizer", [*further(ADAM, SR()), MinSR(), *further(Spring()), optax.adam(0.1)]
)
def test_ansatz_without_parameters_takes_steps(optimizer):
    vmc, state = started(GAUSSIAN, BOSON, optimizer=optimizer)
    _, info = jax.jit(vmc.step)(jax.random.key(2), state)
    np.testing.assert_allclose(info["energy"], 0.5, rtol=1e-12)


def wide(a, x):
    return LogPsi(jnp.ones_like(a), -a * jnp.sum(x**2))


WIDE = Function(wide, lambda key, x: np.float64(0.3))


def test_optax_transformation_is_an_optimizer():
    decay = optax.cosine_decay_schedule(0.03, 15)
    states = []
    for optimizer in (
        optax.adam(decay),
        FirstOrder("adam", learning_rate=decay),
        FirstOrder("adam", learning_rate=0.03),
    ):
        vmc, state = started(WIDE, BOSON, Still(), optimizer=optimizer)
        step = jax.jit(vmc.step)
        for i in range(3):
            state, _ = step(jax.random.key(i), state)
        states.append(np.asarray(state.params))
    np.testing.assert_allclose(states[0], states[1], rtol=1e-12)
    assert np.abs(states[0] - states[2]).max() > 1e-6
    vmc, state = started(WIDE, BOSON, Still(), Spring(learning_rate=decay))
    state, info = jax.jit(vmc.step)(jax.random.key(0), state)
    assert np.isfinite(info["update_norm"])


def test_periodic_sampler_of_particles_is_refused_on_a_lattice():
    sampler = Periodic(Metropolis(), GAS_BOX)
    with pytest.raises(ValueError, match="sampler must be one of lattice"):
        started(FeedForward(), TransverseFieldIsing(Lattice((8,))), sampler)


@pytest.mark.parametrize("kind", [np.float64, np.float32, jnp.asarray])
def test_numpy_and_jax_scalars_equal_python_numbers_in_every_system(kind):
    half, two = kind(0.5), np.int64(2)
    assert HarmonicTrap(two, omega=half) == HarmonicTrap(2, omega=0.5)
    assert ElectronGas(Spins(1, 1), rs=half) == ElectronGas(Spins(1, 1), rs=0.5)
    assert FermiGas(Spins(two, two), kf_re=half) == FermiGas(Spins(2, 2), kf_re=0.5)
    assert NeutronMatter(Spins(two, two), density=half) == NeutronMatter(
        Spins(2, 2), density=0.5
    )
    ring = Lattice((8,))
    assert TransverseFieldIsing(ring, field=half) == TransverseFieldIsing(
        ring, field=0.5
    )
    assert Heisenberg(ring, j=half) == Heisenberg(ring, j=0.5)


@pytest.mark.parametrize(
    "system",
    [
        HarmonicTrap(2),
        ElectronGas(Spins(1, 1), 1.0),
        TransverseFieldIsing(Lattice((4,))),
        ClassicalIsing(Lattice((4,))),
    ],
)
def test_zero_walkers_raise(system):
    with pytest.raises(ValueError, match="n_walkers must be an integer >= 1, got 0"):
        system.initial_walkers(jax.random.key(0), 0)

"""The energy gradient, clipping, and one step of variational Monte Carlo."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from hamiltonians import Coulomb, HarmonicTrap
from nqs.ansatze import FeedForward, GaussianBinaryRBM, Slater, SlaterJastrow
from nqs.gradient import clip_local_energy, energy_gradient, median
from nqs.optimizers import FirstOrder, NaturalGradient
from nqs.runs.devices import shardings, walker_mesh
from nqs.space.spins import Spins
from nqs.types import Function, Hamiltonian, LogPsi
from nqs.vmc import VMC, local_terms, running_average
from samplers import Gibbs, Langevin, Metropolis, OneParticle
from tests.cases import few, further, most
from tests.drawn import flat, parameters

# The gradient against finite differences of the exact energy: one particle in an
# anisotropic trap in two dimensions, all integrals by quadrature.

TRAP = HarmonicTrap(n=1, d=2, omega=(1.0, 1.3))
AXIS = np.linspace(-6.5, 6.5, 53)  # the trapezoid rule is spectrally exact here
W = 16
NODES = np.stack(np.meshgrid(AXIS, AXIS), axis=-1).reshape(-1, 1, 2)

GRADIENT_ANSATZE = {
    "rbm": GaussianBinaryRBM(3, learn_sigma=True, stddev=0.6),
    "feed-forward": FeedForward((6,)),
    "feed-forward with a phase": FeedForward((6,), phase=True),
}


class Exact(NamedTuple):
    """Exact expectations at given parameters."""

    energy: jax.Array
    gradient: dict
    without_imaginary: dict  # the gradient from the real part of the local energies
    imaginary: jax.Array  # root mean square of the local energy's imaginary part


@functools.cache
def exact(name):
    """Parameters, and a compiled function from parameters to `Exact`."""
    ansatz = GRADIENT_ANSATZE[name]
    params = jax.jit(ansatz.init)(jax.random.key(3), NODES[0])

    @jax.jit
    def expectations(params):
        def at_node(x):
            return ansatz.apply(params, x).logabs, TRAP.local_energy(ansatz, params, x)

        logabs, local_energy = jax.vmap(at_node)(jnp.asarray(NODES))
        weights = jax.nn.softmax(2 * logabs)
        nodes = jnp.asarray(NODES)
        return Exact(
            jnp.sum(weights * local_energy),
            energy_gradient(ansatz, params, nodes, local_energy, weights),
            energy_gradient(ansatz, params, nodes, local_energy.real, weights),
            jnp.sqrt(jnp.sum(weights * local_energy.imag**2)),
        )

    return params, expectations


def like(tree, vector):
    """The numbers of a vector in the shapes of a tree."""
    leaves, structure = jax.tree.flatten(tree)
    parts = np.split(vector, np.cumsum([np.size(leaf) for leaf in leaves])[:-1])
    pairs = zip(parts, leaves, strict=True)
    return structure.unflatten(part.reshape(np.shape(leaf)) for part, leaf in pairs)


def slopes(name):
    """Finite differences (3,) along random directions, and the directions."""
    params, expectations = exact(name)
    step = 1e-4  # fourth order: truncation and rounding are both below 1e-9
    directions = np.random.default_rng(0).normal(size=(3, len(flat(params))))
    found = []
    for v in directions:
        e = {}
        for k in (-2, -1, 1, 2):
            moved = jax.tree.map(np.add, params, like(params, k * step * v))
            e[k] = np.asarray(expectations(moved).energy)
        found.append((8 * (e[1] - e[-1]) - (e[2] - e[-2])).real / (12 * step))
    return np.array(found), directions


def along(gradient, directions):
    return directions @ flat(gradient)


def agree(found, expected):
    return np.allclose(found, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("name", few(GRADIENT_ANSATZE, "feed-forward with a phase"))
def test_energy_gradient_is_the_slope_of_the_exact_energy(name):
    params, expectations = exact(name)
    gradient = expectations(params).gradient
    expected, directions = slopes(name)
    assert np.min(np.abs(expected)) > 1e-2
    found = along(gradient, directions)
    assert agree(found, expected)
    assert not agree(-found, expected)  # a wrong sign
    assert not agree(found / 2, expected)  # a missing factor 2


def test_gradient_of_a_phase_uses_the_imaginary_local_energy():
    name = "feed-forward with a phase"
    params, expectations = exact(name)
    found = expectations(params)
    assert found.imaginary > 0.1
    np.testing.assert_allclose(found.energy.imag, 0, atol=1e-10)  # H is Hermitian
    expected, directions = slopes(name)
    assert not agree(along(found.without_imaginary, directions), expected)


@pytest.fixture(scope="module")
def sample():
    """A complex psi with walkers and complex local energies, as if measured."""
    ansatz = FeedForward((5,), phase=True)
    rng = np.random.default_rng(0)
    walkers = rng.normal(size=(24, 2, 2))
    local_energy = 3 + rng.normal(size=(24, 2)) @ [1, 1j]
    return ansatz, parameters(ansatz, walkers[0]), walkers, local_energy


# one function, so that programs are compiled once
gradient = jax.jit(energy_gradient, static_argnames=("ansatz", "chunk_size"))


@pytest.mark.parametrize("chunk_size", [5, 100])
def test_gradient_in_chunks_is_the_same(chunk_size, sample):
    ansatz, *rest = sample
    found = gradient(ansatz, *rest, chunk_size=chunk_size)
    expected = gradient(ansatz, *rest)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-14),
        found,
        expected,
    )


def test_equal_weights_are_the_default(sample):
    ansatz, params, walkers, local_energy = sample
    found = gradient(ansatz, params, walkers, local_energy, np.full(24, 1 / 24))
    expected = gradient(ansatz, params, walkers, local_energy)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12), found, expected
    )


def test_gradient_ignores_a_shift_of_the_energy(sample):
    ansatz, params, walkers, local_energy = sample
    shifted = gradient(ansatz, params, walkers, local_energy + 7 - 2j)
    expected = gradient(ansatz, params, walkers, local_energy)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-13),
        shifted,
        expected,
    )


# The median.

HEAVY = np.concatenate([np.linspace(-1, 1, 31), [1e12, -3e12, 1e12, 7e12]])
SETS_OF_VALUES = {
    "one": [3.0],
    "two": [1.0, 2.0],
    "odd": np.random.default_rng(0).normal(size=101),
    "even": np.random.default_rng(1).normal(size=64) - 300,
    "constant": np.full(10, -0.123456789),
    "ties": [1.0, 1.0, 1.0, 2.0, 5.0, 5.0],
    "halves": [-1.0] * 8 + [1.0] * 8,
    "nearly all one": [0.0] * 15 + [1.0],
    "lognormal": np.exp(3 * np.random.default_rng(2).normal(size=333)),
    "outliers": HEAVY,
    "outliers on one side": np.abs(HEAVY),
}


@functools.cache
def medians(dtype):
    """Of all sets of values, by one program."""
    values = {k: np.sort(np.asarray(v, dtype)) for k, v in SETS_OF_VALUES.items()}
    with jax.numpy_dtype_promotion("strict"):
        return values, jax.jit(lambda sets: jax.tree.map(median, sets))(values)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", SETS_OF_VALUES)
def test_median_lies_between_the_middle_values(name, dtype):
    values, found = (each[name] for each in medians(dtype))
    assert found.dtype == dtype and found.shape == ()
    below, above = values[(len(values) - 1) // 2], values[len(values) // 2]
    # To 16^-16 = 5e-20 of the range, and to rounding.
    slack = 2 * np.finfo(dtype).eps * abs(below) + 1e-19 * np.ptp(values)
    assert below - slack <= found <= above + slack
    if len(values) % 2:
        np.testing.assert_allclose(found, np.median(values), rtol=0, atol=slack)


def test_energies_whose_squares_overflow_are_clipped():
    values = jnp.array([1.0, 2.0, 3.0, 1e30, -1e25], jnp.float32)
    assert abs(median(values)) < 1e-19 * 1e30
    found = clip_local_energy(values, 1.0)
    np.testing.assert_allclose(found[3], 2e29, rtol=1e-4)  # a mean of five numbers
    np.testing.assert_array_equal(found[:3], values[:3])


def test_median_of_nan_is_nan():
    assert np.isnan(median(jnp.array([1.0, np.nan, 2.0])))


# Clipping.


@pytest.mark.parametrize("width", [1.0, 2.5])
def test_only_outliers_are_pulled_to_the_window(width, strict_dtypes):
    energies = np.append(np.random.default_rng(0).normal(size=98), [60.0, -45.0, 0.0])
    found = np.asarray(clip_local_energy(jnp.asarray(energies), width))
    center = np.median(energies)
    window = width * np.mean(np.abs(energies - center))
    inside = np.abs(energies - center) <= window
    assert 2 <= np.sum(~inside) < 50
    np.testing.assert_array_equal(found[inside], energies[inside])
    expected = center + np.sign(energies - center) * window
    np.testing.assert_allclose(found[~inside], expected[~inside], rtol=1e-14)


def test_real_and_imaginary_part_are_clipped_separately():
    real, imaginary = np.random.default_rng(0).normal(size=(2, 50))
    real[3], imaginary[7] = 100.0, -100.0
    clip = jax.jit(lambda energies: clip_local_energy(energies, 3.0))
    found = np.asarray(clip(real + 1j * imaginary))
    np.testing.assert_array_equal(found.real, clip(real))
    np.testing.assert_array_equal(found.imag, clip(imaginary))
    assert found.real[3] < 10 and found.imag[3] == imaginary[3]
    assert found.imag[7] > -10 and found.real[7] == real[7]


def test_clipping_does_not_change_equal_energies():
    np.testing.assert_array_equal(clip_local_energy(jnp.full(9, 1 / 3)), 1 / 3)


# One step, of toys that compile quickly.


@dataclasses.dataclass(frozen=True)
class Toy(Hamiltonian):
    """A potential energy that is huge, or not finite, beyond x = 1."""

    beyond: float = 0.0
    imaginary: bool = False
    n = 2
    energy_unit = "hartree"
    length_unit = "bohr"

    def terms(self, ansatz, params, x):
        cliff = jnp.where(jnp.max(x) > 1, jnp.asarray(self.beyond, x.dtype), 0)
        terms = {"trap": jnp.sum(x * x) / 2, "cliff": cliff}
        if self.imaginary:
            return {name: jax.lax.complex(v, v / 7) for name, v in terms.items()}
        return terms

    def initial_walkers(self, key, n_walkers):
        walkers = 0.3 * jax.random.normal(key, (n_walkers, 2, 2))
        return walkers.at[:3, 0, 0].set(1.5)  # three walkers beyond x = 1

    def references(self):
        return ()


class StillState(NamedTuple):
    walkers: jax.Array
    width: jax.Array


@dataclasses.dataclass(frozen=True)
class Still:
    """A sampler that leaves the walkers where they are."""

    sweeps = 1
    requires = None

    def init(self, walkers):
        return StillState(walkers, jnp.ones((), walkers.dtype))

    def step(self, key, ansatz, params, state):
        acceptance = jax.random.uniform(key)
        return state, {"acceptance": acceptance, "non_finite": jnp.asarray(5)}

    def adapt(self, state, info):
        return state._replace(width=state.width * (1 + info["acceptance"]))


def gaussian(params, x):
    return LogPsi(jnp.ones((), x.dtype), -jnp.exp(params["log_alpha"]) * jnp.sum(x * x))


def first_width(key, x):
    return {"log_alpha": jnp.asarray(0.1, x.dtype)}


GAUSSIAN = Function(gaussian, first_width)
KEY = jax.random.key(2)


def first_state(vmc):
    walkers = 0.3 * np.random.default_rng(0).normal(size=(W, 2, 2))
    walkers[:3, 0, 0] = 1.5  # three walkers beyond x = 1
    return vmc.init(jax.random.key(1), jnp.asarray(walkers))


TERMS = jax.jit(local_terms, static_argnums=(0, 1))


def one_step(vmc):
    """The first state, the state after one step, and the info."""
    state = first_state(vmc)
    return state, *jax.jit(vmc.step)(KEY, state)


def test_step_lowers_the_energy_of_a_state_of_wrong_width():
    trap = HarmonicTrap(n=2, d=1)  # log alpha = log 1/2 is exact
    vmc = VMC(GAUSSIAN, trap, Metropolis(sweeps=3), FirstOrder("sgd", 0.3))
    alpha = np.exp(0.1)
    exact = alpha + 1 / (4 * alpha)
    equilibrated = np.random.default_rng(0).normal(size=(128, 2, 1))
    equilibrated = jnp.asarray(equilibrated / np.sqrt(4 * alpha))
    state = vmc.init(jax.random.key(0), equilibrated)
    step, energies = jax.jit(vmc.step), []
    for i in range(40):
        state, info = step(jax.random.fold_in(KEY, i), state)
        energies.append(info["energy"])
    assert state.step == 40
    # The variance is (2 alpha - 1 / (2 alpha))^2 / 4 = 0.97; four standard errors.
    assert exact > 1.3 and abs(energies[0] - exact) < 4 * np.sqrt(0.97 / 128)
    np.testing.assert_allclose(energies[-1], 1, atol=1e-3)
    np.testing.assert_allclose(np.exp(state.params["log_alpha"]), 0.5, rtol=0.02)


COMMON = {"energy", "variance", "acceptance", "update_norm", "non_finite"}
COMMON |= {"trap", "cliff"}


@pytest.mark.parametrize(
    "sampler, optimizer, imaginary, more",
    [
        (Metropolis(), FirstOrder(), False, {"width", "gradient_norm"}),
        (Langevin(), NaturalGradient(), False, {"time_step"}),
        (
            Metropolis(),
            FirstOrder(),
            True,
            {"width", "gradient_norm", "energy_imaginary"},
        ),
    ],
)
def test_info_holds_the_documented_real_scalars(sampler, optimizer, imaginary, more):
    vmc = VMC(GAUSSIAN, Toy(imaginary=imaginary), sampler, optimizer)
    _, info = jax.eval_shape(vmc.step, KEY, jax.eval_shape(lambda: first_state(vmc)))
    assert {*info} == COMMON | more
    for value in info.values():
        assert value.shape == () and value.dtype in (jnp.float64, jnp.int64)


def test_reported_energies_are_those_of_the_walkers_and_never_clipped():
    toy = Toy(beyond=1e6, imaginary=True)
    vmc = VMC(GAUSSIAN, toy, Still(), FirstOrder("sgd", 0.1), clip=3.0)
    state, new, info = one_step(vmc)
    terms = TERMS(GAUSSIAN, toy, state.params, new.sampler.walkers)
    local_energy = np.asarray(terms["trap"]) + terms["cliff"]
    np.testing.assert_allclose(info["energy"], np.mean(local_energy).real, rtol=1e-12)
    np.testing.assert_allclose(info["energy"], 3e6 / W, rtol=1e-4)
    np.testing.assert_allclose(info["energy_imaginary"], info["energy"] / 7, rtol=1e-12)
    np.testing.assert_allclose(info["variance"], np.var(local_energy), rtol=1e-12)
    np.testing.assert_allclose(info["cliff"], 3e6 / W, rtol=1e-12)
    np.testing.assert_allclose(info["energy"], info["cliff"] + info["trap"], rtol=1e-12)


@pytest.mark.parametrize("clip", [3.0, None])
def test_parameters_follow_the_gradient_of_the_clipped_energies(clip):
    toy = Toy(beyond=1e6)
    vmc = VMC(GAUSSIAN, toy, Still(), FirstOrder("sgd", 0.1), clip=clip)
    state, new, info = one_step(vmc)
    terms = TERMS(GAUSSIAN, toy, state.params, state.sampler.walkers)
    local_energy = np.asarray(terms["trap"]) + terms["cliff"]
    seen = local_energy if clip is None else clip_local_energy(local_energy, clip)
    assert (np.max(seen) < 9e5) == (clip is not None)
    slope = gradient(GAUSSIAN, state.params, state.sampler.walkers, seen)["log_alpha"]
    found = np.asarray(new.params["log_alpha"]) - state.params["log_alpha"]
    np.testing.assert_allclose(found, -0.1 * np.asarray(slope), rtol=1e-10)
    np.testing.assert_allclose(info["gradient_norm"], np.abs(found) / 0.1, rtol=1e-10)
    np.testing.assert_allclose(info["update_norm"], np.abs(found), rtol=1e-10)


def test_numbers_that_are_not_finite_are_counted():
    _, _, info = one_step(VMC(GAUSSIAN, Toy(np.nan), Still(), FirstOrder()))
    assert info["non_finite"] == 3 + 5  # walkers beyond x = 1, proposals
    assert np.isnan(info["energy"])  # not hidden


@pytest.mark.parametrize("number", [0.1, np.float64(0.1), jnp.asarray(0.1)], ids=repr)
def test_step_is_pure_and_compiles_once(number):
    """A Python number as parameter must not change its type in the first step."""
    ansatz = Function(gaussian, lambda key, x: {"log_alpha": number})
    vmc = VMC(ansatz, Toy(), Still(), FirstOrder())
    state = first_state(vmc)
    step = jax.jit(vmc.step)
    first, again = step(KEY, state), step(KEY, state)
    jax.tree.map(np.testing.assert_array_equal, first, again)
    step(KEY, first[0])
    assert step._cache_size() == 1


def test_sampler_is_adapted_once_after_the_step():
    state, new, info = one_step(VMC(GAUSSIAN, Toy(), Still(), FirstOrder()))
    assert 0 < info["acceptance"] < 1
    np.testing.assert_allclose(new.sampler.width, 1 + info["acceptance"], rtol=1e-14)
    assert new.step == state.step + 1 == 1


@dataclasses.dataclass(frozen=True)
class Recorder:
    """An optimizer that stores its arguments and returns zero updates."""

    seen: list = dataclasses.field(default_factory=list, compare=False)

    def build(self):
        def update(gradient, state, params, **more):
            self.seen.append((gradient, params, more))
            return jax.tree.map(jnp.zeros_like, gradient), state

        return optax.GradientTransformationExtraArgs(lambda params: (), update)


def test_optimizer_receives_ansatz_walkers_and_local_energy():
    toy = Toy(beyond=1e6)
    vmc = VMC(GAUSSIAN, toy, Still(), Recorder(), chunk_size=4, clip=2.0)
    state = first_state(vmc)
    vmc.step(KEY, state)  # not compiled, so that numbers arrive
    ((gradient, params, more),) = vmc.optimizer.seen
    assert params is state.params and more["ansatz"] is GAUSSIAN
    assert more["chunk_size"] == 4 and more["weights"] is None
    np.testing.assert_array_equal(more["walkers"], state.sampler.walkers)
    terms = TERMS(GAUSSIAN, toy, params, state.sampler.walkers)
    clipped = clip_local_energy(np.asarray(terms["trap"]) + terms["cliff"], 2.0)
    np.testing.assert_allclose(more["local_energy"], clipped, rtol=1e-12)
    expected = energy_gradient(GAUSSIAN, params, state.sampler.walkers, clipped)
    np.testing.assert_allclose(gradient["log_alpha"], expected["log_alpha"], rtol=1e-10)


def test_ansatz_without_parameters_makes_a_step():
    ansatz = Function(lambda params, x: gaussian({"log_alpha": jnp.zeros(())}, x))
    _, new, info = one_step(VMC(ansatz, Toy(), Still(), FirstOrder()))
    assert new.params == {} and info["gradient_norm"] == 0


PRECISION_CASES = {
    "rbm": (GaussianBinaryRBM(2), Gibbs(1)),
    "phase": (FeedForward((3,), phase=True), Langevin(1)),
    "slater": (SlaterJastrow(Spins(1, 1)), Metropolis(1, move=OneParticle())),
    "anisotropic": (Slater(Spins(1, 1), omega=(1.0, 2.0)), Metropolis(1)),
}


@pytest.mark.parametrize("name", most(PRECISION_CASES, "anisotropic", "phase"))
def test_single_precision_is_kept_through_a_step(name):
    """Only traced, with float64 enabled, so that any promotion is visible."""
    ansatz, sampler = PRECISION_CASES[name]
    trap = HarmonicTrap(2, 2, interaction=Coulomb())
    vmc = VMC(ansatz, trap, sampler, FirstOrder(), chunk_size=3, check=False)

    def start_and_step(key, walkers):
        return vmc.step(key, vmc.init(key, walkers))

    walkers = jax.ShapeDtypeStruct((8, 2, 2), jnp.float32)
    found = jax.eval_shape(start_and_step, jax.random.key(0), walkers)
    dtypes = {leaf.dtype.name for leaf in jax.tree.leaves(found)}
    assert dtypes <= {"float32", "int32", "int64"}


# Refusals.


def returning(output, initial=None):
    """An ansatz that returns `output(x)`."""
    return Function(lambda params, x: output(x), initial)


def real(x):
    return LogPsi(jnp.ones(()), -jnp.sum(x * x))


NO_LOG_PSI = {
    "an array": (returning(lambda x: x.sum()), r"both of shape \(\), got float64\[\]"),
    "a tuple": (returning(lambda x: (x.sum(), x.sum())), r"\('float64\[\]', 'float64"),
    "one log psi a particle": (
        returning(lambda x: LogPsi(jnp.ones(2), x.sum(axis=1))),
        r"got .*sign='float64\[2\]', logabs='float64\[2\]'",
    ),
    "a sign too many": (
        returning(lambda x: LogPsi(jnp.ones(2), x.sum())),
        r"got .*sign='float64\[2\]', logabs='float64\[\]'",
    ),
    "complex logabs": (
        returning(lambda x: LogPsi(jnp.ones(()), x.sum() * 1j)),
        "logabs of Function must be real, got complex128; the phase",
    ),
    "integer logabs": (
        returning(lambda x: LogPsi(jnp.ones(()), jnp.zeros((), int))),
        "logabs of Function must be real, got int64",
    ),
    "integer parameter": (
        returning(real, lambda key, x: {"a": jnp.ones(2), "n": jnp.arange(3)}),
        r"parameter \['n'\] of Function must be real, got int64.*two real",
    ),
    "complex parameter": (
        returning(real, lambda key, x: {"c": jnp.ones(2) * 1j}),
        r"parameter \['c'\] of Function must be real, got complex128",
    ),
    "complex number": (
        returning(real, lambda key, x: [2j]),
        "must be real, got complex128",
    ),
}


@pytest.mark.parametrize("name", NO_LOG_PSI)
def test_output_must_be_real_log_psi_of_two_scalars(name):
    ansatz, message = NO_LOG_PSI[name]
    vmc = VMC(ansatz, Toy(), Metropolis(), FirstOrder())
    with pytest.raises(ValueError, match=message):
        vmc.init(jax.random.key(0), jnp.ones((4, 2, 2)))


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"chunk_size": 0}, "chunk_size must be an integer >= 1, got 0"),
        ({"chunk_size": -4}, "chunk_size .* got -4"),
        ({"chunk_size": 2.5}, "chunk_size .* got 2.5"),
        ({"clip": 0.0}, "clip must be finite and positive, got 0.0"),
        ({"clip": -1.0}, "clip .* got -1.0"),
        ({"clip": np.nan}, "clip .* got nan"),
        ({"clip": np.inf}, "clip .* got inf"),
        ({"averaging": -0.1}, "averaging .* got -0.1"),
        ({"averaging": 1.5}, "averaging .* got 1.5"),
        ({"averaging": np.nan}, "averaging .* got nan"),
    ],
)
def test_invalid_settings_raise(setting, message):
    with pytest.raises(ValueError, match=message):
        VMC(GAUSSIAN, Toy(), Metropolis(), FirstOrder(), **setting)


@pytest.mark.parametrize("width", [0.0, -2.0, np.nan])
def test_window_must_be_positive(width):
    with pytest.raises(ValueError, match="width must be finite and positive"):
        clip_local_energy(jnp.ones(3), width)


# Averages over training.


def averaged(values, part):
    average: Any = {"a": np.float64(7)}  # before the first step, without effect
    for step, value in enumerate(values):
        average = running_average(average, {"a": value}, np.asarray(step), part)
    return average["a"]


def test_running_average_extends_over_the_given_part_of_training():
    values = np.random.default_rng(0).normal(size=400)
    assert averaged(values, 0.0) == values[-1]
    np.testing.assert_allclose(averaged(values, 1.0), np.mean(values), rtol=1e-12)
    # step t of T counts as (t / T)^(1 / part - 1), up to corrections of 1 / T
    ramp = np.linspace(0, 1, 10_000)
    last = 1.0 * (ramp > 0.9)
    for part in (0.05, 0.1, 0.5):
        exact = 1 - 0.9 ** (1 / part)
        np.testing.assert_allclose(averaged(last, part), exact, atol=0.003)
        np.testing.assert_allclose(averaged(ramp, part), 1 / (1 + part), atol=0.003)


def test_average_is_over_the_parameters_after_every_step():
    vmc = VMC(GAUSSIAN, Toy(), Still(), FirstOrder("sgd", 0.1), averaging=1.0)
    state, seen, step = first_state(vmc), [], jax.jit(vmc.step)
    assert state.average == state.params
    for i in range(3):
        state, _ = step(jax.random.fold_in(KEY, i), state)
        seen.append(state.params["log_alpha"])
    assert len({*map(float, seen)}) == 3
    np.testing.assert_allclose(state.average["log_alpha"], np.mean(seen), rtol=1e-12)
    assert state.average["log_alpha"].dtype == seen[0].dtype


# Several devices.

DOT = HarmonicTrap(n=2, d=2, interaction=Coulomb())
SHARDED = {
    "complex psi": (FeedForward((3,), phase=True), DOT, Metropolis(2), None),
    "one particle": (
        SlaterJastrow(Spins(1, 1)),
        DOT,
        Metropolis(2, move=OneParticle()),
        8,
    ),
    "langevin": (Slater(Spins(1, 1)), Toy(), Langevin(2), 4),
    "gibbs": (GaussianBinaryRBM(2), Toy(), Gibbs(2), None),
}


@functools.cache
def start(name):
    """The first state, and the way to the next one."""
    *parts, chunk_size = SHARDED[name]
    vmc = VMC(*parts, FirstOrder("sgd", 0.1), chunk_size)
    return vmc, jax.jit(lambda: first_state(vmc))()


@functools.cache
def stepped(name, n_devices):
    """One step on some devices: the compiled text, the new state and the info."""
    vmc, state = start(name)
    mesh = walker_mesh(W, jax.devices()[:n_devices])
    assert mesh.size == n_devices
    placed = shardings(state, mesh, W)
    everywhere = NamedSharding(mesh, PartitionSpec())
    step = jax.jit(vmc.step, out_shardings=(placed, everywhere))
    arguments = KEY, jax.device_put(state, placed)
    compiled = step.lower(*arguments).compile()
    new, info = compiled(*arguments)
    return (
        compiled.as_text(),
        *jax.device_get((new, info)),
        new.sampler.walkers.sharding,
    )


@pytest.mark.parametrize(
    "name, n_devices",
    [
        ("complex psi", 4),
        *further(("gibbs", 2)),
        pytest.param("one particle", 2, marks=pytest.mark.slow),
        pytest.param("langevin", 4, marks=pytest.mark.slow),
    ],
)
def test_result_is_independent_of_the_number_of_devices(name, n_devices):
    text, state, info, sharding = stepped(name, n_devices)
    assert "all-reduce" in text  # the means over all walkers
    for collective in ("all-gather", "all-to-all", "collective-permute"):
        assert collective not in text
    assert len(sharding.device_set) == n_devices and not sharding.is_fully_replicated
    _, expected, expected_info, _ = stepped(name, 1)
    np.testing.assert_array_equal(state.sampler.walkers, expected.sampler.walkers)
    for key, value in expected_info.items():
        np.testing.assert_allclose(info[key], value, rtol=1e-11, err_msg=key)
    np.testing.assert_allclose(info["energy"], expected_info["energy"], rtol=1e-12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-13),
        state.params,
        expected.params,
    )

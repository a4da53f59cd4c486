"""Sampling in single precision: the density, with and without the correction."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from hamiltonians import HarmonicTrap
from nqs.files.reading import read
from nqs.optimizers import FirstOrder
from nqs.runs import Experiment, run
from nqs.single import in_double, rounded, single_step
from nqs.space.box import Box
from nqs.types import Function, LogPsi
from nqs.vmc import VMC
from samplers import Gibbs, Langevin, Metropolis, Periodic
from tests.benchmarks.systems import SYSTEMS

N_CHAINS, STEPS = 4096, 30
SAMPLERS = {
    "langevin": Langevin(sweeps=4, time_step=0.3),
    "metropolis": Metropolis(sweeps=4, width=0.8),
}


def of_precision(params, x):
    """A Gaussian of standard deviation 1 / sqrt(2), in single precision of 1."""
    rate = 0.25 if x.dtype == np.float32 else 0.5
    return LogPsi(jnp.ones((), x.dtype), -rate * jnp.sum(params * x**2))


def wave_of_precision(params, x):
    """exp(cos x) on a ring, in single precision exp(0.5 cos x)."""
    rate = 0.5 if x.dtype == np.float32 else 1.0
    return LogPsi(jnp.ones((), x.dtype), rate * jnp.sum(params * jnp.cos(x)))


def last_states(sampler, psi, walkers, exact):
    """The walkers after some steps in single precision."""
    params = jnp.ones(())

    def step(state, key):
        return single_step(sampler, key, Function(psi), params, state, exact)[0], None

    keys = jax.random.split(jax.random.key(0), STEPS)
    return jax.lax.scan(step, sampler.init(walkers), keys)[0].walkers


@pytest.mark.parametrize("name", SAMPLERS)
def test_correction_gives_the_density_of_double_precision(name):
    start = np.random.default_rng(0).normal(1.5, 0.3, (N_CHAINS, 1, 1))
    run = jax.jit(lambda exact: last_states(SAMPLERS[name], of_precision, start, exact))
    for exact, width in ((True, 0.5**0.5), (False, 1.0)):
        ends = np.asarray(run(exact)).reshape(-1)
        assert ends.dtype == np.float64
        assert scipy.stats.kstest(ends, scipy.stats.norm(scale=width).cdf)[1] > 1e-4


def test_correction_on_a_ring():
    box = Box(((2 * np.pi,),))
    sampler = Periodic(SAMPLERS["langevin"], box)
    start = np.random.default_rng(0).uniform(0, 1, (N_CHAINS, 1, 1))
    run = jax.jit(lambda exact: last_states(sampler, wave_of_precision, start, exact))
    for exact, rate in ((True, 1.0), (False, 0.5)):
        ends = np.asarray(run(exact)).reshape(-1)
        assert np.all(np.asarray(box.wrap(ends[:, None]))[:, 0] == ends)
        angles = (ends + np.pi) % (2 * np.pi) - np.pi
        assert scipy.stats.kstest(angles, scipy.stats.vonmises(2 * rate).cdf)[1] > 1e-4


def test_arrays_in_single_precision():
    given = {"x": jnp.ones(2), "z": jnp.ones(2) * 1j, "n": jnp.arange(2), "b": True}
    given["b"] = jnp.asarray(True)
    low = jax.tree.map(rounded, given)
    kinds = {name: leaf.dtype for name, leaf in low.items()}
    assert kinds == {"x": "float32", "z": "complex64", "n": "int64", "b": "bool"}
    assert in_double(given) and not in_double(low)


def test_single_precision_has_nothing_to_correct():
    sampler, walkers = SAMPLERS["metropolis"], np.ones((8, 2, 1), np.float32)
    with jax.enable_x64(False):
        state, params = sampler.init(jnp.asarray(walkers)), jnp.ones(())
        given = jax.random.key(1), Function(of_precision), params, state
        found, _ = single_step(sampler, *given, exact=True)
        expected, _ = sampler.step(*given)
    np.testing.assert_array_equal(found.walkers, expected.walkers)


@pytest.mark.parametrize("single", [True, False])
def test_switch_of_the_loop(single):
    sampler, walkers = SAMPLERS["metropolis"], np.full((16, 2, 1), 1 / 3)
    parts = Function(of_precision), HarmonicTrap(2, 1), sampler, FirstOrder("sgd", 0.1)
    vmc = VMC(*parts, single_sampling=single)
    state = sampler.init(jnp.asarray(walkers))
    found, _ = vmc.sample(jax.random.key(0), jnp.ones(()), state)
    assert found.walkers.dtype == np.float64
    assert in_walkers_of_single(found.walkers) == single


def in_walkers_of_single(walkers):
    return bool(np.all(np.asarray(walkers, np.float32) == np.asarray(walkers)))


def in_a_trap(psi, directory, **changes):
    """The result of a short run of a psi without parameters, two bosons on a line."""
    settings = dict(
        ansatz=Function(psi),
        hamiltonian=HarmonicTrap(2, 1),
        sampler=SAMPLERS["metropolis"],
        optimizer=FirstOrder("sgd", 0.1),
        directory=str(directory),
    )
    return run(Experiment(**settings | changes))


@pytest.mark.parametrize("changes", [{}, {"single_sampling": False}], ids=str)
def test_evaluation_of_a_run_has_the_density_of_double_precision(changes, tmp_path):
    changes = changes | {"iterations": 3, "burn_in": 20, "evaluation_steps": 40}
    result = in_a_trap(
        lambda params, x: of_precision(1.0, x),
        tmp_path / "run",
        n_walkers=4096,
        **changes,
    )
    trained = np.mean(read(tmp_path / "run").metrics["trap"])
    # <x^2> of two particles is 1, and 2 in the density of single precision
    assert result["terms"]["trap"][0] == pytest.approx(0.5, abs=0.04)
    single = "single_sampling" not in changes
    assert trained == pytest.approx(1.0 if single else 0.5, abs=0.06)


def of_doubles_only(params, x):
    """The Gaussian with a product of JAX that takes two numbers of one dtype."""
    logabs = jax.lax.mul(jnp.sum(x**2), jnp.asarray(-0.5))
    return LogPsi(jnp.ones_like(logabs), logabs)


def test_psi_without_a_value_in_single_precision_is_sampled_in_double(tmp_path):
    steps = {"iterations": 1, "burn_in": 1, "evaluation_steps": 8}
    result = in_a_trap(of_doubles_only, tmp_path / "run", n_walkers=16, **steps)
    assert result["energy"] == pytest.approx(1.0, rel=1e-12)
    assert sum("sampling in double precision" in w for w in result["warnings"]) == 1


def dtypes(program):
    """Of all results in a program."""
    found = set()
    for equation in program.eqns:
        found |= {str(getattr(v.aval, "dtype", "")) for v in equation.outvars}
        inner = jax.tree.leaves(tuple(equation.params.values()), is_leaf=is_program)
        for one in filter(is_program, inner):
            found |= dtypes(getattr(one, "jaxpr", one))
    return found


def is_program(value):
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


@pytest.mark.parametrize("name", ["electron_gas_14", "beryllium", "neutrons_14"])
def test_sampling_of_walkers_in_single_precision_has_no_doubles(name):
    vmc, key = SYSTEMS[name].vmc(), jax.random.key(0)

    def start(key):
        walkers = vmc.hamiltonian.initial_walkers(key, 8)
        params = vmc.ansatz.init(key, walkers[0])
        return jax.tree.map(rounded, (params, vmc.sampler.init(walkers)))

    program = jax.make_jaxpr(vmc.sample)(key, *jax.eval_shape(start, key))
    assert "float32" in dtypes(program.jaxpr)
    assert "float64" not in dtypes(program.jaxpr)


def test_samplers_without_a_reversible_step_keep_their_own():
    assert not hasattr(Gibbs(), "reversible_step")
    assert not hasattr(Periodic(Gibbs(), Box(((1.0,),))), "reversible_step")
    assert hasattr(Periodic(Langevin(), Box(((1.0,),))), "reversible_step")

"""Collectives of a step, and its result on several devices."""

import dataclasses
from collections import Counter
from typing import Any

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.sharding import NamedSharding, PartitionSpec

from experiments.command_line.notation import Part
from experiments.electron_gas import ElectronGasOptions
from experiments.harmonic_oscillator import HarmonicOscillatorOptions
from experiments.heisenberg import HeisenbergOptions
from nqs.capabilities import Orbits
from nqs.optimizers import Spring
from nqs.runs.devices import shardings, walker_mesh
from nqs.runs.state import shapes
from nqs.types import Function
from tests.benchmarks.collectives import collectives, of_step
from tests.benchmarks.weak_scaling import ELECTRONS, PRODUCTS, Step
from tests.cases import at, few, further
from tests.test_natural import ANSATZE, W, compiled_update, problem

G = 4  # devices, of conftest.py
SYSTEMS = {
    "first order": HarmonicOscillatorOptions(n_walkers=16),
    "natural gradient": ElectronGasOptions(
        rs=(1.0,),
        n_up=1,
        n_down=1,
        n_walkers=16,
        check=False,
        ansatz=Part("backflow", (("layers", 1), ("width", 8))),
    ),  # fmt: skip
    "lattice": HeisenbergOptions(length=(8,), n_walkers=16),
}
SYSTEMS["conjugate gradients"] = dataclasses.replace(
    SYSTEMS["natural gradient"], optimizer=Part("spring", (("solver", "cg"),))
)


LARGE = {  # kinds of the collectives of more than one number a row
    ("real", "samples"): {"all-reduce", "all-to-all"},  # more columns than rows
    ("complex", "samples"): {"all-reduce", "all-gather"},  # more rows than columns
    ("layers", "samples"): {"all-reduce", "all-gather"},  # inputs and signals
    ("complex", "parameters"): {"all-reduce"},
    ("real", "cg"): {"all-reduce"},
    ("layers", "cg"): {"all-reduce"},
}


@pytest.mark.parametrize("name, way", at(LARGE, 1, 4))
def test_natural_gradient_on_several_devices_is_that_of_one(name, way):
    ansatz = ANSATZE["real" if name == "layers" else name]
    if name != "layers":  # derivatives by every parameter
        ansatz = Function(ansatz.apply, ansatz.init)
    params, walkers, weights, energy = problem(ansatz)
    optimizer = Spring(solver="cg") if way == "cg" else Spring(space=way)
    program = compiled_update(optimizer, ansatz)
    mesh = walker_mesh(W, jax.devices()[:G])
    split = NamedSharding(mesh, PartitionSpec("walkers"))
    everywhere = NamedSharding(mesh, PartitionSpec())
    state: Any = Spring().build().init(params)
    state = state._replace(direction=jax.tree.map(lambda leaf: 0.1 * leaf, params))
    given = jax.device_put((state, params), everywhere)
    given += jax.device_put((walkers, weights, energy), split)
    compiled = program.lower(*given).compile()
    found, expected = compiled(*given)[0], program(state, *problem(ansatz))[0]
    found, expected = (ravel_pytree(step)[0] for step in (found, expected))
    # conjugate gradients amplify the rounding of sums in another order
    atol = 1e-11 if way == "cg" else 1e-13
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
    rows = W * (1 + (name == "complex"))
    moved = collectives(compiled.as_text() or "")
    p = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert {kind for kind, _, size in moved if size > 8 * rows} == LARGE[name, way]
    exchanged = sum(size for kind, _, size in moved if kind == "all-to-all")
    columns = (name, way) == ("real", "samples")
    assert exchanged == (8 * rows * -(-p // G) if columns else 0)
    if way == "cg":  # energies and vectors of the parameters, nothing gathered
        assert {kind for kind, *_ in moved} == {"all-reduce"}
        assert max(size for *_, size in moved) <= 8 * 2 * (p + 1)


@pytest.mark.further
def test_training_by_orbits_is_the_same_on_several_devices():
    symmetrized = Part("rbm", (("symmetrized", True), ("stddev", 0.1)))
    options = HeisenbergOptions(length=(6,), n_walkers=16, ansatz=symmetrized)
    vmc = options.experiment().vmc()
    walkers = vmc.hamiltonian.initial_walkers(jax.random.key(0), 16)
    start, ends = vmc.init(jax.random.key(1), walkers), []
    assert isinstance(vmc.ansatz, Orbits) and vmc.ansatz.n_orbits < 16
    for n_devices in (1, G):
        mesh = walker_mesh(16, jax.devices()[:n_devices])
        state = jax.device_put(start, shardings(start, mesh, 16))
        state, _ = jax.jit(vmc.step)(jax.random.key(2), state)
        ends.append(ravel_pytree(state.params)[0])
    moved = np.max(np.abs(ends[0] - ravel_pytree(start.params)[0]))
    assert moved > 1e-3
    np.testing.assert_allclose(*ends, rtol=0, atol=1e-12)


GATHERED = {  # numbers of a walker that every device receives
    "first order": 0,
    "natural gradient": 1,  # its energy
    "conjugate gradients": 0,
    "lattice": 16 + 30,  # its row of the Gram matrix, inputs and signals of layers
}


@pytest.mark.parametrize("name", few(SYSTEMS, "lattice"))
def test_devices_exchange_sums_and_parts_of_the_derivatives(name):
    experiment, w = SYSTEMS[name].experiment(), 16
    found = of_step(experiment, G)
    assert not found["local_terms"]  # walkers stay where they are
    assert sum(size for *_, size in found["sample"]) < 128  # counts of moves
    sizes = Counter()
    for kind, _, size in found["update"]:
        sizes[kind] += size
    state, _ = shapes(experiment)
    p = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    natural = name == "natural gradient"
    part = -(-p // G)  # of the columns, on each device
    assert sizes["all-to-all"] == (8 * w * part if natural else 0)
    assert sizes["all-gather"] <= 8 * w * GATHERED[name]
    # energies, gradient, mean derivatives, and the Gram matrix
    vectors = 4 if name == "conjugate gradients" else 2
    assert sizes["all-reduce"] <= 8 * (vectors * p + natural * w**2 + 10 * w)
    assert sizes.keys() <= {"all-reduce", "all-gather", "all-to-all"}


@pytest.mark.parametrize("name", ["first order", *further("lattice")])
def test_work_of_a_device_depends_on_its_own_walkers_alone(name):
    def counted(n_devices, w):
        experiment = dataclasses.replace(SYSTEMS[name], n_walkers=w).experiment()
        vmc, mesh = experiment.vmc(), walker_mesh(w, jax.devices()[:n_devices])
        state, _ = shapes(experiment)
        params, sampler = jax.tree.map(
            lambda leaf, to: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=to),
            (state.params, state.sampler),
            (shardings(state.params, mesh, w), shardings(state.sampler, mesh, w)),
        )
        program = jax.jit(vmc.local_terms).lower(params, sampler.walkers)
        cost: Any = program.compile().cost_analysis()
        return cost["flops"]

    one = counted(1, 8)
    assert one == counted(2, 16) == counted(G, 8 * G)
    assert one != counted(1, 16)


def test_model_of_weak_scaling():
    p, tau = ELECTRONS[54]
    for walkers in (64, 256):
        step = Step(p, tau, walkers)
        assert all(step.efficiency(devices) >= 0.9 for devices in (2, 4, 8))
    for system in ELECTRONS.values():  # by work and bytes
        step = Step(*system, 64, PRODUCTS)
        assert all(step.efficiency(devices, False) >= 0.9 for devices in (2, 4, 8))
        assert step.efficiency(8) < step.efficiency(8, False)
    # 5 parameters and 4 devices of 1 walker each; operations and bytes by hand
    units = dict(speed=1, bandwidth=1, latency=1, memory=1)
    parts = Step(5, 0.5, 1, **units).parts(4)
    assert parts["walkers"] == 0.5 and parts["latency"] == 30
    assert parts["bytes"] == pytest.approx(3 / 4 * (8 * 5 + 16 * 16 + 32 * 5))
    assert parts["solve"] == pytest.approx(2 * 16 * 5 / 4 + 64 / 3)
    parts = Step(3, 0.5, 4, **units).parts(4)  # more walkers than parameters
    assert parts["bytes"] == pytest.approx(3 / 4 * (16 * 9 + 32 * 3))
    assert parts["solve"] == pytest.approx(2 * 9 * 16 / 4 + 27 / 3)
    parts = Step(5, 0.5, 2, products=7, **units).parts(4)  # sums of 5 numbers
    assert parts["bytes"] == pytest.approx(3 / 4 * 2 * 8 * 5 * (7 + 3))
    assert parts["solve"] == 7 * 2 * (8 * 2 * 5) and parts["latency"] == 2 * (10 + 7)


def test_collectives_are_read_from_the_text_of_a_program():
    text = """
  %all-reduce.1 = (f64[], f64[3,2]{1,0}) all-reduce(%a, %b), channel_id=1
  %x = f64[4]{0} add(%a, %b)
  %all-gather-start = f32[8]{0} all-gather-start(%a), dimensions={0}
"""
    found = [(kind, size) for kind, _, size in collectives(text)]
    assert found == [("all-reduce", 56), ("all-gather", 32)]

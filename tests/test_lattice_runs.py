"""Runs on lattices: compilation, resume, training, and options."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.bose_hubbard import BoseHubbardOptions
from experiments.classical_ising import ClassicalIsingOptions
from experiments.classical_potts import ClassicalPottsOptions
from experiments.command_line.notation import Part
from experiments.command_line.series import Series
from experiments.heisenberg import HeisenbergOptions
from experiments.hubbard import HubbardOptions
from experiments.ising import IsingOptions
from experiments.potts import PottsOptions
from experiments.tv import TVOptions
from experiments.xxz import XXZOptions
from nqs.ansatze import BinaryRBM, Symmetrized, SymmetrizedOrbits
from nqs.space.lattice import Lattice
from samplers import Exchange, Flip, Recolor
from tests.cases import few
from tests.tiny import evaluate

QUICK = {"n_walkers": 32, "optimizer": Part("sgd"), "iterations": 2}
CASES = {
    "ising": IsingOptions(length=(4,), **QUICK),
    "heisenberg": HeisenbergOptions(length=(4,), **QUICK),
    "potts": PottsOptions(length=(4,), ansatz=Part("jastrow"), **QUICK),
    "xxz": XXZOptions(length=(4,), **QUICK),
    "bose_hubbard": BoseHubbardOptions(length=(4,), **QUICK),
    "tv": TVOptions(length=(2, 3), fermions=3, **QUICK),
    "hubbard": HubbardOptions(length=(4,), **QUICK),
    "classical": ClassicalIsingOptions(
        length=(2,), ansatz=Part("gru", (("hidden", 3),)), **QUICK
    ),
}


@pytest.mark.parametrize("name", few(CASES, "ising"))
def test_steps_compile_once(name):
    experiment = CASES[name].experiment()
    vmc = experiment.vmc()
    walkers = experiment.hamiltonian.initial_walkers(jax.random.key(0), 32)
    state = jax.jit(vmc.init)(jax.random.key(1), walkers)
    step = jax.jit(vmc.step)
    for i in range(3):
        state, info = step(jax.random.key(i), state)
        assert np.isfinite(info["energy"]) and info["non_finite"] == 0
    assert step._cache_size() == 1


@pytest.mark.slow
def test_resumed_lattice_run_equals_an_uninterrupted_one(tmp_path, without_figures):
    """Two steps, resumed to four, against four; the cache is not saved."""
    ring = dataclasses.replace(CASES["ising"], burn_in=1, evaluation_steps=3)

    def run_to(iterations, name, resume=False):
        options = dataclasses.replace(
            ring,
            iterations=iterations,
            directory=str(tmp_path / name),
            resume=resume,
            checkpoint_every=0.0,
        )
        return options.start()()

    run_to(2, "stopped")
    resumed, straight = run_to(4, "stopped", resume=True), run_to(4, "straight")
    for key in ("energy", "energy_error", "variance", "terms", "acceptance"):
        assert resumed[key] == straight[key], key
    metrics = [
        (tmp_path / name / "metrics.jsonl").read_text()
        for name in ("stopped", "straight")
    ]
    assert metrics[0] == metrics[1] and len(metrics[0].splitlines()) == 4


@pytest.mark.further
def test_a_trained_ring_has_the_exact_energy():
    """An RBM of four spins that can be exact, from random weights."""
    options = IsingOptions(length=(4,), n_walkers=256, field=1.5)
    experiment = options.experiment()
    vmc = experiment.vmc()
    walkers = experiment.hamiltonian.initial_walkers(jax.random.key(0), 256)
    state = vmc.init(jax.random.key(1), walkers)

    @jax.jit
    def train(state):
        def step(i, state):
            return vmc.step(jax.random.fold_in(jax.random.key(2), i), state)[0]

        return jax.lax.fori_loop(0, 60, step, state)

    state = train(state)
    measured = evaluate(
        experiment.evaluation(), state.params, state.sampler, jax.random.key(3), 40
    )
    (exact,) = experiment.hamiltonian.references()
    assert measured["energy"] == pytest.approx(exact.value, abs=5e-3)
    assert measured["energy"] > exact.value - 4 * measured["energy_error"]


def test_options_set_lattice_and_parts():
    ising = IsingOptions(length=(6,), lattice="square", open_ends=True).experiment()
    assert ising.hamiltonian.lattice == Lattice((6, 6), "square", False)
    assert ising.sampler.move == Flip() and ising.ansatz == BinaryRBM(4)
    assert ising.n_walkers == 512
    assert ising.clip is None and IsingOptions(clip=3.0).experiment().clip == 3.0
    frustrated = HeisenbergOptions(length=(4, 6), lattice="square", j2=0.5, sweeps=3)
    experiment = frustrated.experiment()
    lattice = Lattice((4, 6), "square")
    assert experiment.hamiltonian.j2 == 0.5 and experiment.sampler.sweeps == 3
    assert experiment.sampler.move == Exchange(lattice)
    averaged = Part("ffnn", (("hidden", (4,)), ("symmetrized", True)))
    potts = PottsOptions(length=(5,), q=4, ansatz=averaged).experiment()
    assert isinstance(potts.ansatz, Symmetrized) and potts.ansatz.base.levels == 4
    assert potts.sampler.move == Recolor(4)
    staggered = Part("rbm", (("momentum", (3,)), ("irrep", "A1")))
    ring = HeisenbergOptions(length=(6,), ansatz=staggered).experiment().ansatz
    assert ring == SymmetrizedOrbits(
        BinaryRBM(), Lattice((6,)), True, (3,), totals=(3,)
    )
    sums = BoseHubbardOptions(length=(5,), ansatz=averaged).experiment().ansatz
    assert isinstance(sums, SymmetrizedOrbits) and sums.totals == (5,)
    invariant = Part("rbm", (("symmetric", True), ("alpha", 2)))
    rbm = IsingOptions(length=(5,), ansatz=invariant).experiment().ansatz
    assert rbm.lattice == Lattice((5,)) and rbm.point_group and rbm.alpha == 2
    tied = IsingOptions(length=(5,)).experiment().ansatz
    assert tied == BinaryRBM(4, lattice=Lattice((5,)))
    sampled = ClassicalPottsOptions(ansatz=Part("boltzmann"), sampler=Part("wolff"))
    assert sampled.experiment().iterations == 0
    assert sampled.experiment().hamiltonian.sampled
    assert sampled.experiment().name == "classical_potts"


@pytest.mark.parametrize(
    "options, message",
    [
        (
            IsingOptions(ansatz=Part("cnn")),
            "known are rbm, jastrow, ffnn, conv, transformer, gru",
        ),
        (
            IsingOptions(ansatz=Part("rbm", (("symmetric", "rotations"),))),
            "symmetric must be one of False, True, translations, got 'rotations'",
        ),
        (
            IsingOptions(ansatz=Part("ffnn", (("symmetrized", 3),))),
            "symmetrized must be one of False, True, got 3",
        ),
        (
            IsingOptions(ansatz=Part("ffnn", (("symmetrized", True), ("phase", "no")))),
            "ansatz.base.phase must be True or False, got 'no'",
        ),
        (
            IsingOptions(ansatz=Part("gru", (("width", 8),))),
            "ansatz gru has no field 'width'",
        ),
        (
            IsingOptions(ansatz=Part("rbm", (("momentum", 3),))),
            "momentum must be a tuple of 1 integers, got 3",
        ),
        (IsingOptions(length=(4, 4)), "tuple of 1 numbers of sites"),
        (IsingOptions(sampler=Part("wolff")), "known are metropolis, direct"),
        (
            IsingOptions(sampler=Part("direct"), sweeps=2),
            "sampler direct has no field 'sweeps'",
        ),
        (
            IsingOptions(sampler=Part("direct")),
            "ansatz must have a DirectSampling",
        ),
        (HeisenbergOptions(length=(5,), marshall=True), "requires a bipartite lattice"),
        (
            ClassicalIsingOptions(sampler=Part("wolff")),
            "ansatz must have a Clusters",
        ),
        (
            ClassicalIsingOptions(temperature=(-1.0,)),
            "temperature must be finite and positive",
        ),
    ],
)
def test_invalid_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        options.experiment()


def test_several_temperatures_make_a_series():
    spins = dataclasses.replace(CASES["classical"], temperature=(3.0, 2.0))
    members = spins.members()
    assert {name: member.temperature for name, member in members.items()} == {
        "temperature_3": (3.0,),
        "temperature_2": (2.0,),
    }
    series = spins.start().__self__
    assert isinstance(series, Series) and series.name == "classical_ising"
    with pytest.raises(ValueError, match="temperature must be one or several"):
        dataclasses.replace(spins, temperature=(2.0, 2.0)).start()


def test_initial_walkers_are_integers():
    for options in CASES.values():
        walkers = options.experiment().hamiltonian.initial_walkers(jax.random.key(0), 3)
        assert jnp.issubdtype(walkers.dtype, jnp.integer)

"""The systems whose steps are timed."""

import dataclasses

import jax
from jax.flatten_util import ravel_pytree

from experiments.bose_hubbard import BoseHubbardOptions
from experiments.command_line.notation import Part
from experiments.electron_gas import ElectronGasOptions
from experiments.heisenberg import HeisenbergOptions
from experiments.ising import IsingOptions
from experiments.molecule import MoleculeOptions
from experiments.neutron_matter import NeutronMatterOptions
from experiments.quantum_dot import QuantumDotOptions
from hamiltonians import HarmonicTrap
from nqs.ansatze import FeedForward
from nqs.optimizers import FirstOrder, Spring
from nqs.runs.experiment import Experiment
from nqs.vmc import VMC, VMCState
from samplers import Metropolis


def bosons(hidden: tuple[int, ...], optimizer, n_walkers: int) -> Experiment:
    """Ten bosons in three dimensions."""
    return Experiment(
        ansatz=FeedForward(hidden),
        hamiltonian=HarmonicTrap(10, 3),
        sampler=Metropolis(),
        optimizer=optimizer,
        n_walkers=n_walkers,
    )


# the work of the first measurements
GAS = ElectronGasOptions(n_walkers=256, ansatz=Part("backflow", (("pair_width", 0),)))
SYSTEMS = {
    "bosons_10": bosons((64, 64), FirstOrder("adam", 0.01), 1024),
    "electrons_2": QuantumDotOptions(n=2).experiment(),
    "electrons_6": QuantumDotOptions(n=6).experiment(),
    "electrons_20": QuantumDotOptions(n=20).experiment(),
    "electron_gas_14": GAS.experiment(),
    "electron_gas_14_metropolis": dataclasses.replace(
        GAS, sampler=Part("metropolis"), sweeps=10
    ).experiment(),
    "neutrons_14": NeutronMatterOptions(ansatz=Part("singlet")).experiment(),
    "neutrons_14_pairing": NeutronMatterOptions().experiment(),
    "beryllium": MoleculeOptions(atoms="Be 0 0 0").experiment(),
    "ising_40": IsingOptions(
        length=(40,), n_walkers=1024, ansatz=Part("rbm")
    ).experiment(),
    "heisenberg_20": HeisenbergOptions(
        length=(20,), ansatz=Part("rbm", (("alpha", 2),))
    ).experiment(),
    "bose_hubbard_8": BoseHubbardOptions().experiment(),
    "j1j2_4x4": HeisenbergOptions(
        lattice="square",
        length=(4,),
        j2=0.5,
        ansatz=Part(
            "rbm",
            (("alpha", 3), ("complex", True), ("symmetrized", True), ("stddev", 0.1)),
        ),
    ).experiment(),
    "feed_forward_20000": bosons((128, 128), Spring(), 512),
}


def started(experiment: Experiment, **changes) -> tuple[VMC, VMCState]:
    """The loop and its state after some steps, away from the initial zeros."""
    experiment = dataclasses.replace(experiment, **changes)
    vmc, n_walkers = experiment.vmc(), experiment.n_walkers
    walkers = vmc.hamiltonian.initial_walkers(jax.random.key(0), n_walkers)
    state = vmc.init(jax.random.key(1), walkers)
    leaves, unravel = ravel_pytree(state.params)
    noise = 0.02 * jax.random.normal(jax.random.key(2), leaves.shape)
    return vmc, state._replace(params=unravel(leaves + noise))

"""Spins in a transverse field: the quantum Ising model."""

import dataclasses

from experiments.command_line.lattices import LatticeOptions, lattice_ansatz
from experiments.command_line.options import main
from hamiltonians import TransverseFieldIsing
from nqs.runs.experiment import Experiment
from samplers import Flip


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsingOptions(LatticeOptions):
    """The Ising model in a transverse field, -J sum zz - h sum x, energies with J."""

    j: float = 1.0
    """Coupling J of neighbors, ferromagnetic where positive."""
    field: float = 1.0
    """Transverse field h."""

    def move(self) -> Flip:
        """Flip of one spin."""
        return Flip()

    def experiment(self) -> Experiment:
        """The model, its ansatz and sampler."""
        return Experiment(
            name="ising",
            hamiltonian=TransverseFieldIsing(self.sites, self.j, self.field),
            ansatz=lattice_ansatz(self.ansatz, self.sites),
            **self.settings(),
        )


if __name__ == "__main__":
    main(IsingOptions)

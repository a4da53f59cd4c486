"""Spins in a transverse field: the quantum Ising model."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.choices import LatticeAnsatz
from experiments.command_line.lattices import QuantumLatticeOptions
from experiments.command_line.notation import Part
from experiments.command_line.options import main

if TYPE_CHECKING:
    from nqs.runs import Experiment
    from samplers import Flip


@dataclasses.dataclass(frozen=True, kw_only=True)
class IsingOptions(QuantumLatticeOptions):
    """The Ising model in a transverse field, -J sum zz - h sum x, energies with J."""

    j: float = 1.0
    """Coupling J of neighbors, ferromagnetic where positive."""
    field: float = 1.0
    """Transverse field h."""
    ansatz: LatticeAnsatz = Part("rbm", (("alpha", 4), ("symmetric", "translations")))
    n_walkers: int = 512

    def move(self) -> "Flip":
        """Flip of one spin."""
        from samplers import Flip

        return Flip()

    def experiment(self) -> "Experiment":
        """The model, its ansatz and sampler."""
        from experiments.command_line.builders.lattices import quantum
        from hamiltonians import TransverseFieldIsing

        model = TransverseFieldIsing(self.sites, self.j, self.field)
        return quantum("ising", model, self)


if __name__ == "__main__":
    main(IsingOptions)

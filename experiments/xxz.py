"""Antiferromagnets of spins 1/2 with an easy axis or plane: the XXZ model."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.choices import LatticeAnsatz
from experiments.command_line.lattices import QuantumLatticeOptions
from experiments.command_line.notation import Part
from experiments.command_line.options import main

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class XXZOptions(QuantumLatticeOptions):
    """J sum (SxSx + SySy + delta SzSz) over neighbors, at fixed sum S^z."""

    j: float = 1.0
    """Coupling J of neighbors, antiferromagnetic where positive."""
    delta: float = 0.5
    """Anisotropy; 1 for the Heisenberg model."""
    down: int | None = None
    """Spins down; None for half of all."""
    ansatz: LatticeAnsatz = Part("rbm", (("alpha", 4), ("symmetric", True)))

    def experiment(self) -> "Experiment":
        """The model, its ansatz and sampler."""
        from experiments.command_line.builders.lattices import quantum
        from hamiltonians import XXZ

        model = XXZ(self.sites, self.j, n_down=self.down, delta=self.delta)
        return quantum("xxz", model, self)


if __name__ == "__main__":
    main(XXZOptions)

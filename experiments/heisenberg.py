"""Antiferromagnets of spins 1/2: Heisenberg and J1-J2 models."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.choices import AntiferromagnetAnsatz
from experiments.command_line.lattices import QuantumLatticeOptions
from experiments.command_line.notation import Part
from experiments.command_line.options import main

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeisenbergOptions(QuantumLatticeOptions):
    """J sum S.S over neighbors, J2 sum S.S over second neighbors, at sum S^z = 0."""

    j: float = 1.0
    """Coupling J of neighbors, antiferromagnetic where positive."""
    j2: float = 0.0
    """Coupling of second neighbors."""
    marshall: bool | None = None
    """Turn the spins of one sublattice, which makes psi positive without j2; None where
    the lattice is bipartite."""
    ansatz: AntiferromagnetAnsatz = Part("rbm")

    def experiment(self) -> "Experiment":
        """The model, its ansatz and sampler."""
        from experiments.command_line.builders.lattices import antiferromagnet
        from hamiltonians import J1J2, Heisenberg

        model = Heisenberg(self.sites, self.j, self.marshall)
        if self.j2:
            model = J1J2(self.sites, self.j, self.marshall, j2=self.j2)
        if self.marshall is None and not model.marshall:
            print("no sign rule: the lattice is not bipartite (marshall=False)")
        return antiferromagnet("heisenberg", model, self)


if __name__ == "__main__":
    main(HeisenbergOptions)

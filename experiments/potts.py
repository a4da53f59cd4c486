"""The quantum Potts (clock) model."""

import dataclasses

from experiments.command_line.lattices import LatticeOptions, lattice_ansatz
from experiments.command_line.options import main
from hamiltonians import Potts
from nqs.runs.experiment import Experiment
from samplers import Recolor


@dataclasses.dataclass(frozen=True, kw_only=True)
class PottsOptions(LatticeOptions):
    """-J sum (Z^+ Z + h.c.) - f sum (X + X^+) with q levels a site, energies with J."""

    q: int = 3
    """Levels of each site."""
    j: float = 1.0
    """Coupling J of neighbors, ferromagnetic where positive."""
    field: float = 1.0
    """Field f, critical at J on a chain of three levels."""

    def move(self) -> Recolor:
        """Change of one site."""
        return Recolor(self.q)

    def experiment(self) -> Experiment:
        """The model, its ansatz and sampler."""
        return Experiment(
            name="potts",
            hamiltonian=Potts(self.sites, self.q, self.j, self.field),
            ansatz=lattice_ansatz(self.ansatz, self.sites, self.q),
            **self.settings(),
        )


if __name__ == "__main__":
    main(PottsOptions)

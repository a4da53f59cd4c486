"""The quantum Potts (clock) model."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.lattices import QuantumLatticeOptions
from experiments.command_line.options import main

if TYPE_CHECKING:
    from nqs.runs import Experiment
    from samplers import Recolor


@dataclasses.dataclass(frozen=True, kw_only=True)
class PottsOptions(QuantumLatticeOptions):
    """-J sum (Z^+ Z + h.c.) - f sum (X + X^+) with q levels a site, energies with J."""

    q: int = 3
    """Levels of each site."""
    j: float = 1.0
    """Coupling J of neighbors, ferromagnetic where positive."""
    field: float = 1.0
    """Field f, critical at J on a chain of three levels."""

    def move(self) -> "Recolor":
        """Change of one site."""
        from samplers import Recolor

        return Recolor(self.q)

    def experiment(self) -> "Experiment":
        """The model, its ansatz and sampler."""
        from experiments.command_line.builders.lattices import quantum
        from hamiltonians import Potts

        model = Potts(self.sites, self.q, self.j, self.field)
        return quantum("potts", model, self)


if __name__ == "__main__":
    main(PottsOptions)

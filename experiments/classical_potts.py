"""The classical Potts model at a temperature, by free energy or by sampling."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.lattices import ClassicalOptions
from experiments.command_line.options import main

if TYPE_CHECKING:
    from hamiltonians import ClassicalPotts
    from samplers import Recolor


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassicalPottsOptions(ClassicalOptions):
    """-J sum delta at a temperature: a variational free energy, or sampled energies."""

    name = "classical_potts"

    length: tuple[int, ...] = (4,)
    q: int = 3
    """Levels of each site."""
    temperature: tuple[float, ...] = (0.994973,)
    """Temperature, k_B = 1; the default is critical for three levels on the square
    lattice. Several make a series of runs, each started from the one before."""

    def move(self) -> "Recolor":
        """Change of one site."""
        from samplers import Recolor

        return Recolor(self.q)

    def model(self, sampled: bool) -> "ClassicalPotts":
        """The model."""
        from hamiltonians import ClassicalPotts

        return ClassicalPotts(self.sites, self.temperature[0], self.q, self.j, sampled)


if __name__ == "__main__":
    main(ClassicalPottsOptions)

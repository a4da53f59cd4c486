"""Classical Ising spins at a temperature, by free energy or by sampling."""

import dataclasses

from experiments.command_line.lattices import ClassicalOptions
from experiments.command_line.options import main
from hamiltonians import ClassicalIsing as Model
from samplers import Flip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassicalIsing(ClassicalOptions):
    """-J sum s s at a temperature: a variational free energy, or sampled energies."""

    name = "classical_ising"

    temperature: tuple[float, ...] = (2.269185,)
    """Temperature, k_B = 1; that of the default is the critical one of the square
    lattice. Several make a chain of runs, each started from the one before."""

    def move(self) -> Flip:
        """One spin at a time."""
        return Flip()

    def model(self, sampled: bool) -> Model:
        """The model."""
        return Model(self.sites, self.temperature[0], self.j, sampled)


if __name__ == "__main__":
    main(ClassicalIsing)

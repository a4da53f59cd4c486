"""Classical Ising spins at a temperature, by free energy or by sampling."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.lattices import ClassicalOptions
from experiments.command_line.options import main

if TYPE_CHECKING:
    from hamiltonians import ClassicalIsing
    from samplers import Flip


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassicalIsingOptions(ClassicalOptions):
    """-J sum s s at a temperature: a variational free energy, or sampled energies."""

    name = "classical_ising"

    temperature: tuple[float, ...] = (2.269185,)
    """Temperature, k_B = 1; the default is critical on the square lattice. Several make
    a series of runs, each started from the one before."""

    def move(self) -> "Flip":
        """Flip of one spin."""
        from samplers import Flip

        return Flip()

    def model(self, sampled: bool) -> "ClassicalIsing":
        """The model."""
        from hamiltonians import ClassicalIsing

        return ClassicalIsing(self.sites, self.temperature[0], self.j, sampled)


if __name__ == "__main__":
    main(ClassicalIsingOptions)

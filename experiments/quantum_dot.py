"""Electrons in a harmonic trap with Coulomb repulsion: quantum dots in 2D and 3D."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.choices import OptimizerOption, TrapAnsatz, TrapSampler
from experiments.command_line.notation import Part
from experiments.command_line.options import Options, StatesOptions, main

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantumDotOptions(Options, StatesOptions):
    """Electrons in a harmonic trap with Coulomb repulsion, in hartree and bohr."""

    n: int = 2
    """Number of electrons."""
    n_up: int | None = None
    """Electrons with spin up; None for (n + 1) // 2."""
    d: int = 2
    """Dimensions, 2 or 3."""
    omega: float = 1.0
    """Trap frequency, hartree."""
    ansatz: TrapAnsatz = Part("backflow")
    sampler: TrapSampler = Part("langevin")
    optimizer: OptimizerOption = Part("spring")
    iterations: int = 500
    n_walkers: int = 256
    evaluation_steps: int = 400

    @property
    def learning_rate(self) -> float:
        """A tenth of the trap's own unit of time."""
        return 0.1 / self.omega

    def experiment(self) -> "Experiment":
        """The dot, its ansatz and the observables of a trap."""
        from experiments.command_line.builders.traps import trapped
        from hamiltonians import Coulomb, HarmonicTrap
        from nqs.space.spins import Spins

        spins = Spins.of(self.n, self.n_up)
        trap = HarmonicTrap(self.n, self.d, self.omega, Coulomb(), spins)
        return self.lowest_states(trapped("quantum_dot", trap, self, self.states))


if __name__ == "__main__":
    main(QuantumDotOptions)

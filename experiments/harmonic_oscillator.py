"""Bosons or fermions in a harmonic trap, free or with a pair interaction."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from experiments.command_line.choices import InteractionOption, TrapAnsatz
from experiments.command_line.notation import Part
from experiments.command_line.options import Options, StatesOptions, main

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class HarmonicOscillatorOptions(Options, StatesOptions):
    """Particles in a harmonic trap, with hbar = mass = 1."""

    n: int = 2
    """Number of particles."""
    d: int = 1
    """Dimensions, 1 to 3."""
    omega: tuple[float, ...] = (1.0,)
    """Trap frequency, hartree: one number, or one per axis."""
    statistics: Literal["bosons", "fermions"] = "bosons"
    """Exchange symmetry."""
    n_up: int | None = None
    """Fermions with spin up; None for (n + 1) // 2."""
    interaction: InteractionOption = Part("none")
    ansatz: TrapAnsatz = Part("ffnn")

    def experiment(self) -> "Experiment":
        """The trap, its ansatz and the observables of a trap."""
        from experiments.command_line.builders.traps import INTERACTIONS, trapped
        from hamiltonians import HarmonicTrap
        from nqs.space.spins import Spins

        omega = self.omega[0] if len(self.omega) == 1 else self.omega
        spins = None
        if self.statistics == "fermions":
            spins = Spins.of(self.n, self.n_up)
        elif self.n_up is not None:
            raise ValueError(f"bosons have no spin, got n_up={self.n_up}")
        interaction = self.interaction.build("interaction", INTERACTIONS)
        trap = HarmonicTrap(self.n, self.d, omega, interaction, spins)
        return self.lowest_states(
            trapped("harmonic_oscillator", trap, self, self.states)
        )


if __name__ == "__main__":
    main(HarmonicOscillatorOptions)

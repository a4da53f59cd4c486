"""Bosons or fermions in a harmonic trap, free or with a pair interaction."""

import dataclasses
from typing import Literal

from experiments.command_line.options import Options, Part, PartOption, main
from experiments.command_line.traps import trap_ansatz
from hamiltonians import Coulomb, Gaussian, HarmonicPairs, HarmonicTrap, InverseSquare
from nqs.observables import (
    Density,
    MeanSquareRadius,
    PairCorrelation,
    RadialDensity,
    SpinSquared,
)
from nqs.runs.experiment import Experiment
from nqs.space.spins import Spins

INTERACTIONS = {
    "none": lambda: None,
    "coulomb": Coulomb,
    "gaussian": Gaussian,
    "harmonic_pairs": HarmonicPairs,
    "inverse_square": InverseSquare,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class HarmonicOscillatorOptions(Options):
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
    interaction: PartOption = Part("none")
    """none, coulomb, gaussian, harmonic_pairs(kappa=...), inverse_square(...)."""
    ansatz: PartOption = Part("ffnn")
    """ffnn, deep_sets, rbm, backflow; for fermions also slater or slater_jastrow."""

    def experiment(self) -> Experiment:
        """The trap, its ansatz and the observables of a trap."""
        omega = self.omega[0] if len(self.omega) == 1 else self.omega
        spins = None
        if self.statistics == "fermions":
            spins = Spins.of(self.n, self.n_up)
        elif self.n_up is not None:
            raise ValueError(f"bosons have no spin, got n_up={self.n_up}")
        interaction = self.interaction.build("interaction", INTERACTIONS)
        trap = HarmonicTrap(self.n, self.d, omega, interaction, spins)
        return Experiment(
            name="harmonic_oscillator",
            hamiltonian=trap,
            ansatz=trap_ansatz(self.ansatz, trap),
            observables=(
                MeanSquareRadius(),
                RadialDensity(trap.extent),
                Density(trap.extent, self.d),
                *((PairCorrelation(1.5 * trap.extent, spins),) if self.n > 1 else ()),
                *((SpinSquared(spins),) if spins is not None else ()),
            ),
            **self.settings(),
        )


if __name__ == "__main__":
    main(HarmonicOscillatorOptions)

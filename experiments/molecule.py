"""Atoms and small molecules: all electrons, with nuclei at rest."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from experiments.command_line.choices import (
    MoleculeAnsatz,
    MoleculeSampler,
    OptimizerOption,
)
from experiments.command_line.notation import Part
from experiments.command_line.options import Options, main

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class MoleculeOptions(Options):
    """Electrons about nuclei at rest, in hartree and bohr."""

    atoms: str = "He 0 0 0"
    """Element and position of each nucleus, bohr, "Li 0 0 0; H 0 0 3.015"."""
    charge: int = 0
    """Charge of the molecule, elementary charges."""
    n_up: int | None = None
    """Electrons with spin up; None for (n + 1) // 2."""
    ansatz: MoleculeAnsatz = Part("backflow")
    sampler: MoleculeSampler = Part("metropolis")
    optimizer: OptimizerOption = Part("spring", (("noise", 0.3), ("steps", 400)))
    iterations: int = 800
    n_walkers: int = 256
    evaluation_steps: int = 800

    @property
    def learning_rate(self) -> float:
        """Twice that of lattices, 1/hartree, with a slow decay for outer electrons."""
        return 0.1

    def experiment(self) -> "Experiment":
        """The molecule, its ansatz and the observables of electrons."""
        from experiments.command_line.builders.molecules import molecular
        from hamiltonians import Molecule

        return molecular(Molecule.of(self.atoms, self.charge, self.n_up), self)

    def samplers(self) -> dict[str, Callable[..., Any]]:
        """Builders of the samplers by name."""
        from experiments.command_line.builders.molecules import samplers
        from nqs.space.nuclei import Nuclei

        return samplers(Nuclei.parse(self.atoms))


if __name__ == "__main__":
    main(MoleculeOptions)

"""Light nuclei of two to four nucleons, with forces of pionless effective theory."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from experiments.command_line.choices import (
    NucleonAnsatz,
    NucleonSampler,
    OptimizerOption,
)
from experiments.command_line.notation import Part
from experiments.command_line.options import Options, main

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class NucleusOptions(Options):
    """Protons and neutrons bound to each other, energies in MeV and lengths in fm."""

    a: int = 4
    """Nucleons, 2 to 4."""
    z: int = 2
    """Protons."""
    three_body: bool = True
    """The repulsion of three nucleons."""
    r3: float = 1.0
    """Its range, 1.0, 1.1, 1.5 or 2.0 fm."""
    point_protons: bool = False
    """Protons repel as points, instead of with their form factor."""
    ansatz: NucleonAnsatz = Part("correlated")
    sampler: NucleonSampler = Part("metropolis")
    optimizer: OptimizerOption = Part("spring")
    iterations: int = 250
    n_walkers: int = 512
    evaluation_steps: int = 300

    @property
    def learning_rate(self) -> float:
        """A tenth of 1 / binding energy per nucleon, at most 0.03, 1/MeV."""
        from hamiltonians.references.nuclei import hyperspherical

        known = hyperspherical(self.a, self.z, self.three_body)
        return min(0.03, 0.1 * self.a / abs(known.value))

    def samplers(self) -> dict[str, Callable[..., Any]]:
        """Metropolis with moves of nucleons."""
        from experiments.command_line.builders.nuclei import samplers

        return samplers()

    def experiment(self) -> "Experiment":
        """The nucleus, its ansatz and its observables."""
        from experiments.command_line.builders.nuclei import nucleus
        from hamiltonians import Nucleus

        system = Nucleus(self.a, self.z, self.three_body, self.r3, self.point_protons)
        return nucleus(self, system)


if __name__ == "__main__":
    main(NucleusOptions)

"""Neutron matter in a periodic cube, with forces of pionless effective field theory."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from experiments.chain import Chain
from experiments.options import main
from experiments.singlets import SingletOptions
from hamiltonians import NeutronMatter
from hamiltonians.neutron_matter import HBAR_SQUARED_OVER_M, RANGE
from nqs.experiment import Experiment
from nqs.figures import draw_energies

# Of the Gaussians among the features of a pair, fm: the forces of three and of two,
# and the tail of a pair.
RANGES = (1.0, RANGE, 2 * RANGE)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeutronMatterOptions(SingletOptions):
    """Neutrons in a periodic cube, energies in MeV and lengths in fm."""

    density: tuple[float, ...] = (0.04,)
    """Neutrons per fm^3; several make a chain of runs, each started from the one
    before."""
    three_body: bool = True
    """The repulsion of three neutrons."""
    r3: float = 1.0
    """Its range, 1.0, 1.1, 1.5 or 2.0 fm."""
    chain_iterations: int | None = None
    """Training steps of each run of a chain but the first; None for a quarter."""
    iterations: int = 1000
    """Training steps."""
    evaluation_steps: int = 1000
    """Sampler steps with frozen parameters, which give the result."""

    @property
    def time_step(self) -> float:
        """A fifth of 1 / E_F, the Fermi energy of the density, 1/MeV."""
        k_f = (3 * math.pi**2 * self.density[0]) ** (1 / 3)
        return 0.2 / (HBAR_SQUARED_OVER_M * k_f**2 / 2)

    def members(self) -> Mapping[str, Self]:
        """One run for every density.

        Raises:
          ValueError: if a density is missing or twice there.
        """
        given = self.density
        if not given or len(set(given)) < len(given):
            raise ValueError(f"density must be one or several different, got {given}")
        several = given if len(given) > 1 else ()
        return {
            f"density_{density:g}": dataclasses.replace(self, density=(density,))
            for density in several
        }

    def start(self) -> Callable[[], Any]:
        """A single run, or a chain with the equation of state at its end."""
        members, short = self.members(), self.chain_iterations
        if not members:
            return super().start()
        short = self.iterations // 4 if short is None else short
        return Chain("neutron_matter", self, members, draw_equation_of_state, short).run

    def experiment(self) -> Experiment:
        """The matter, its ansatz and its observables."""
        matter = NeutronMatter(*self.spins, self.density[0], self.three_body, self.r3)
        return self.periodic("neutron_matter", matter, RANGES)


def draw_equation_of_state(
    parent: Path, results: list[dict[str, Any]]
) -> dict[str, Any]:
    """Draw the energy per neutron against the density, with what is known of it."""
    density = [result["config"]["hamiltonian"]["density"] for result in results]
    path = parent / "figures" / "equation_of_state.png"
    draw_energies(path, "density (fm$^{-3}$)", density, results)
    return {}


if __name__ == "__main__":
    main(NeutronMatterOptions)

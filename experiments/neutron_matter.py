"""Neutron matter in a periodic cube, with forces of pionless effective field theory."""

import dataclasses
import math
from typing import TYPE_CHECKING

from experiments.command_line.options import main
from experiments.command_line.series import SeriesOptions
from experiments.command_line.singlets import SingletOptions

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class NeutronMatterOptions(SingletOptions, SeriesOptions):
    """Neutrons in a periodic cube, energies in MeV and lengths in fm."""

    along, axis = "density", "density (fm$^{-3}$)"
    figure = "equation_of_state.png"

    density: tuple[float, ...] = (0.04,)
    """Neutrons per fm^3; several make a series of runs, each started from the one
    before."""
    three_body: bool = True
    """The repulsion of three neutrons."""
    r3: float = 1.0
    """Its range, 1.0, 1.1, 1.5 or 2.0 fm."""
    iterations: int = 1000
    evaluation_steps: int = 500

    @property
    def learning_rate(self) -> float:
        """A fifth of 1 / E_F, the Fermi energy of the density, 1/MeV."""
        from hamiltonians.neutron_matter import HBAR_SQUARED_OVER_M

        k_f = (3 * math.pi**2 * self.density[0]) ** (1 / 3)
        return 0.2 / (HBAR_SQUARED_OVER_M * k_f**2 / 2)

    def experiment(self) -> "Experiment":
        """The matter, its ansatz and its observables."""
        from experiments.command_line.builders.singlets import in_a_cube
        from hamiltonians.neutron_matter import RANGE, NeutronMatter

        matter = NeutronMatter(self.spins, self.density[0], self.three_body, self.r3)
        # of the Gaussians among the features of a pair, fm: the forces of three and of
        # two, and the tail of a pair
        ranges = (1.0, RANGE, 2 * RANGE)
        return in_a_cube("neutron_matter", matter, self, ranges)


if __name__ == "__main__":
    main(NeutronMatterOptions)

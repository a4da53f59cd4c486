"""The unitary Fermi gas in a periodic cube: pairing at infinite scattering length."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.options import main
from experiments.command_line.singlets import SingletOptions

if TYPE_CHECKING:
    from nqs.runs import Experiment

# Of the Gaussians among the features of a pair, in effective ranges.
RANGES = (0.5, 1.0, 2.0, 4.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FermiGasOptions(SingletOptions):
    """Fermions in a periodic cube, energies in E_FG = n 3/5 E_F, lengths in 1/k_F."""

    n: int = 2
    kf_re: float = 0.4
    """Effective range of the attraction, 1/k_F."""
    iterations: int = 500
    evaluation_steps: int = 500

    @property
    def learning_rate(self) -> float:
        """A fifth of 1 / E_F, 1/E_FG, less for ranges below 0.4, as their square is."""
        return 0.2 * 0.6 * self.n * min(1.0, self.kf_re / 0.4) ** 2

    def experiment(self) -> "Experiment":
        """The gas, its ansatz and its observables."""
        from experiments.command_line.builders.singlets import in_a_cube
        from hamiltonians import FermiGas

        gas = FermiGas(self.spins, self.kf_re)
        ranges = tuple(part * self.kf_re for part in RANGES)
        return in_a_cube("fermi_gas", gas, self, ranges)


if __name__ == "__main__":
    main(FermiGasOptions)

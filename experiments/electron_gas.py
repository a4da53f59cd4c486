"""The homogeneous electron gas in a periodic box, in three and two dimensions."""

import dataclasses
from functools import partial
from typing import Any

from experiments.options import Options, Part, PartOption, main
from hamiltonians import ElectronGas
from nqs.ansatze import Backflow, PadeJastrow, PlaneWaveSlater, Product
from nqs.experiment import Experiment
from nqs.periodic_observables import (
    MomentumDistribution,
    PairDistribution,
    StructureFactor,
)
from samplers import Periodic


@dataclasses.dataclass(frozen=True, kw_only=True)
class ElectronGasOptions(Options):
    """Electrons in a periodic box with a neutralising background, energies in hartree.

    Lengths are in units of rs bohr, so that the box is the same at every density.
    """

    n_up: int = 7
    """Electrons with spin up, a closed shell: 1, 7, 19, 27 ... in a cube."""
    n_down: int = 7
    """Electrons with spin down, a closed shell; 0 for a polarised gas."""
    rs: float = 1.0
    """Radius of the sphere (disc) that holds one electron, bohr."""
    d: int = 3
    """Dimensions, 3 or 2."""
    cell: str | None = None
    """cubic, bcc, fcc; square, triangular; None for cubic or square."""
    twist: tuple[float, ...] | None = None
    """Fractions of the d reciprocal lattice vectors; psi is complex with one."""
    ansatz: PartOption = Part("backflow")
    """backflow, slater_jastrow or slater."""
    sampler: PartOption = Part("langevin")
    """langevin or metropolis."""
    optimizer: PartOption = Part("spring")
    """spring, sr, minsr, or any of optax's by name: adam(learning_rate=0.01), say."""
    iterations: int = 1000
    """Training steps."""
    n_walkers: int = 256
    """Markov chains."""
    evaluation_steps: int = 1000
    """Sampler steps with frozen parameters, which give the result."""

    @property
    def time_step(self) -> float:
        """A tenth of rs^(3/2), a sixth of the period of plasma oscillations or so."""
        return 0.1 * self.rs**1.5

    def experiment(self) -> Experiment:
        """The gas, its ansatz and the observables of a periodic system."""
        gas = ElectronGas(
            self.n_up, self.n_down, self.rs, self.d, self.cell, self.twist
        )
        spins = gas.box, self.n_up, self.n_down
        settings = self.settings()
        settings["sampler"] = Periodic(settings["sampler"], gas.box)
        return Experiment(
            name="electron_gas",
            hamiltonian=gas,
            ansatz=gas_ansatz(self.ansatz, gas),
            observables=(
                *((PairDistribution(*spins),) if gas.n > 1 else ()),
                StructureFactor(*spins),
                MomentumDistribution(*spins, self.twist),
            ),
            **settings,
        )


def gas_ansatz(part: Part, gas: ElectronGas) -> Any:
    """Build the ansatz that was named; all but slater have a Jastrow factor.

    Raises:
      ValueError: for an unknown name or field.
    """
    plane_waves = partial(PlaneWaveSlater, gas.n_up, gas.box, gas.twist)
    ansatz = part.build(
        "ansatz",
        {
            "backflow": partial(Backflow, gas.n_up, box=gas.box, twist=gas.twist),
            "slater_jastrow": plane_waves,
            "slater": plane_waves,
        },
    )
    if part.name == "slater" or gas.n == 1:
        return ansatz
    # u -> -sqrt(rs / 3) / r far away, the zero-point motion of plasma oscillations in
    # three dimensions (D. Bohm and D. Pines, Phys. Rev. 92, 609 (1953)), where the cusp
    # rs / 2 of opposite spins makes beta^2 = sqrt(3 rs) / 2.
    beta = (3 * gas.rs / 4) ** 0.25
    return Product((ansatz, PadeJastrow(gas.n_up, gas.rs, beta, gas.box)))


if __name__ == "__main__":
    main(ElectronGasOptions)

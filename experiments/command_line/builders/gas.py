"""Ansätze and experiments of the electron gas."""

from functools import partial
from typing import Any

from experiments.command_line.notation import Part
from experiments.command_line.options import Options
from hamiltonians import ElectronGas
from nqs.ansatze import Backflow, PadeJastrow, PlaneWaveSlater, Product
from nqs.observables import (
    MomentumDistribution,
    PairDistribution,
    StructureFactor,
)
from nqs.runs import Experiment
from samplers import Periodic

RANGES = (0.5, 1.0, 2.0)  # of the pair features, rs


def gas_experiment(gas: ElectronGas, options: Options) -> Experiment:
    """The gas, its ansatz and the observables of a periodic system."""
    system = gas.box, gas.spins
    settings = options.settings()
    settings["sampler"] = Periodic(settings["sampler"], gas.box)
    return Experiment(
        name="electron_gas",
        hamiltonian=gas,
        ansatz=gas_ansatz(options.ansatz, gas),
        observables=(
            *((PairDistribution(*system),) if gas.n > 1 else ()),
            StructureFactor(*system),
            MomentumDistribution(*system, gas.twist),
        ),
        **settings,
    )


def gas_ansatz(part: Part, gas: ElectronGas) -> Any:
    """Build the ansatz that was named; all but slater have a Jastrow factor.

    Raises:
      ValueError: for an unknown name or field.
    """
    plane_waves = partial(PlaneWaveSlater, gas.spins, gas.box, gas.twist)
    ansatz = part.build(
        "ansatz",
        {
            "backflow": partial(
                Backflow,
                gas.spins,
                box=gas.box,
                twist=gas.twist,
                ranges=RANGES,
                pair_width=32,
            ),
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
    return Product((ansatz, PadeJastrow(gas.spins, gas.rs, beta, gas.box)))

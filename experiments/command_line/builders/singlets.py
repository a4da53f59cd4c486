"""Ansätze and experiments on fermions in a cube with attracting opposite spins."""

from functools import partial
from typing import Any

from experiments.command_line.notation import Part
from experiments.command_line.options import Options
from hamiltonians import FermiGas, NeutronMatter
from nqs.ansatze import Backflow, PlaneWaveSlater, SingletBackflow
from nqs.observables import (
    Observable,
    OneBodyDensity,
    PairDistribution,
    SpinPairDistribution,
    SpinSquared,
)
from nqs.runs import Experiment
from samplers import Periodic


def in_a_cube(
    name: str,
    system: NeutronMatter | FermiGas,
    options: Options,
    ranges: tuple[float, ...],
) -> Experiment:
    """The experiment with a system, whose pairs have features of these ranges."""
    settings = options.settings()
    settings["sampler"] = Periodic(settings["sampler"], system.box)
    return Experiment(
        name=name,
        hamiltonian=system,
        ansatz=singlet_ansatz(options.ansatz, system, ranges),
        observables=singlet_observables(system),
        **settings,
    )


def singlet_ansatz(
    part: Part, system: NeutronMatter | FermiGas, ranges: tuple[float, ...]
) -> Any:
    """Build the ansatz that was named.

    Args:
      part: name and settings.
      system: gives spins and box.
      ranges: default ranges of the features of pairs.

    Raises:
      ValueError: for an unknown name or field, or an open shell where none may be.
    """
    spins, box = system.spins, system.box
    singlet = partial(SingletBackflow, spins, box, ranges=ranges)
    ansatz = part.build(
        "ansatz",
        {
            "singlet": singlet,
            "pairing": partial(singlet, pairing=True),
            "backflow": partial(Backflow, spins, box=box, ranges=ranges),
            "slater": partial(PlaneWaveSlater, spins, box),
        },
    )
    shells = {"n_up": spins.up, "n_down": spins.down}
    if part.name == "pairing":
        if spins.up < spins.down:
            raise ValueError(f"n_up must be half of all or more, got {spins.up}")
        shells = {"n_up - n_down": spins.up - spins.down}
    for name, k in shells.items():
        try:
            box.wave_numbers(k)
        except ValueError as error:
            raise ValueError(f"{name}: {error}; pairing takes any pairs") from None
    return ansatz


def singlet_observables(system: NeutronMatter | FermiGas) -> tuple[Observable, ...]:
    """Density, spin and pair distributions."""
    density = OneBodyDensity(system.box)
    if system.n == 1:
        return (density,)
    return (
        density,
        SpinSquared(system.spins),
        PairDistribution(system.box, system.spins),
        SpinPairDistribution(system.box, system.spins),
    )

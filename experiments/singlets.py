"""Ansätze and observables of fermions in a cube whose opposite spins attract."""

from functools import partial
from typing import Any

from experiments.options import Part
from hamiltonians import FermiGas, NeutronMatter
from nqs.ansatze import Backflow, PlaneWaveSlater, SingletBackflow
from nqs.observables import Observable
from nqs.periodic_observables import OneBodyDensity, PairDistribution
from nqs.spin_observables import SpinPairDistribution, TotalSpin


def singlet_ansatz(
    part: Part, system: NeutronMatter | FermiGas, ranges: tuple[float, ...]
) -> Any:
    """Build the ansatz that was named.

    Args:
      part: name and settings.
      system: gives spins and box.
      ranges: of the features of pairs, if nothing else is said.

    Raises:
      ValueError: for an unknown name or field, or an open shell where none may be.
    """
    n_up, box = system.n_up, system.box
    singlet = partial(SingletBackflow, n_up, box, ranges=ranges)
    ansatz = part.build(
        "ansatz",
        {
            "singlet": singlet,
            "pairing": partial(singlet, pairing=True),
            "backflow": partial(Backflow, n_up, box=box, ranges=ranges),
            "slater": partial(PlaneWaveSlater, n_up, box),
        },
    )
    if part.name == "pairing":
        return ansatz
    for name in ("n_up", "n_down"):
        try:
            box.wave_numbers(getattr(system, name))
        except ValueError as error:
            raise ValueError(f"{name}: {error}; pairing takes any pairs") from None
    return ansatz


def singlet_observables(system: NeutronMatter | FermiGas) -> tuple[Observable, ...]:
    """Density, total spin and pair distributions."""
    density = OneBodyDensity(system.box)
    if system.n == 1:
        return (density,)
    return (
        density,
        TotalSpin(system.n_up),
        PairDistribution(system.box, system.n_up, system.n_down),
        SpinPairDistribution(system.box, system.n_up),
    )

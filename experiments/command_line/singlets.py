"""Options of experiments on fermions in a cube with attracting opposite spins."""

import dataclasses
from functools import partial
from typing import Any

from experiments.command_line.options import Options, Part, PartOption
from hamiltonians import FermiGas, NeutronMatter
from nqs.ansatze import Backflow, PlaneWaveSlater, SingletBackflow
from nqs.observables import (
    Observable,
    OneBodyDensity,
    PairDistribution,
    SpinPairDistribution,
    SpinSquared,
)
from nqs.runs.experiment import Experiment
from nqs.space.spins import Spins
from samplers import Periodic


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingletOptions(Options):
    """Options of these experiments."""

    n: int = 14
    """Fermions."""
    n_up: int | None = None
    """Fermions with spin up; None for (n + 1) // 2."""
    ansatz: PartOption = Part("pairing")
    """pairing, singlet (both with a spin-independent backflow), backflow or slater;
    pairing takes any number of pairs, and unpaired spins up in a closed shell."""
    sampler: PartOption = Part("langevin", (("sweeps", 3),))
    """langevin or metropolis."""
    optimizer: PartOption = Part("spring")
    """spring, sr, minsr, or any of optax's by name: adam(learning_rate=0.01), say."""
    n_walkers: int = 256
    """Markov chains."""

    @property
    def spins(self) -> Spins:
        """Numbers of each spin."""
        return Spins.of(self.n, self.n_up)

    def periodic(
        self, name: str, system: NeutronMatter | FermiGas, ranges: tuple[float, ...]
    ) -> Experiment:
        """The experiment with a system, whose pairs have features of these ranges."""
        settings = self.settings()
        settings["sampler"] = Periodic(settings["sampler"], system.box)
        return Experiment(
            name=name,
            hamiltonian=system,
            ansatz=singlet_ansatz(self.ansatz, system, ranges),
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

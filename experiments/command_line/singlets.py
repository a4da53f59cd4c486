"""What fermions in a cube whose opposite spins attract have in common."""

import dataclasses
from functools import partial
from typing import Any

from experiments.command_line.options import Options, Part, PartOption
from hamiltonians import FermiGas, NeutronMatter
from nqs.ansatze import Backflow, PlaneWaveSlater, SingletBackflow
from nqs.observables.periodic import OneBodyDensity, PairDistribution
from nqs.observables.spin import SpinPairDistribution, TotalSpin
from nqs.observables.trap import Observable
from nqs.runs.experiment import Experiment
from samplers import Periodic


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingletOptions(Options):
    """Options of every experiment with such fermions."""

    n: int = 14
    """Fermions."""
    n_up: int | None = None
    """Those with spin up; None for half of them, or one more."""
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
    def spins(self) -> tuple[int, int]:
        """How many have spin up and down."""
        n_up = (self.n + 1) // 2 if self.n_up is None else self.n_up
        return n_up, self.n - n_up

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
    shells = {"n_up": n_up, "n_down": system.n_down}
    if part.name == "pairing":
        if n_up < system.n_down:
            raise ValueError(f"n_up must be half of all or more, got {n_up}")
        shells = {"n_up - n_down": n_up - system.n_down}
    for name, k in shells.items():
        try:
            box.wave_numbers(k)
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

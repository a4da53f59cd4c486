"""Ansätze and experiments in a trap, with the trap's own defaults."""

import dataclasses
from functools import partial
from typing import Any

from experiments.command_line.notation import Part
from experiments.command_line.options import Options
from hamiltonians import Coulomb, Gaussian, HarmonicPairs, HarmonicTrap, InverseSquare
from nqs.ansatze import (
    Backflow,
    DeepSets,
    FeedForward,
    GaussianBinaryRBM,
    GaussianJastrow,
    PadeJastrow,
    PowerJastrow,
    Product,
    Slater,
)
from nqs.observables import (
    Density,
    Dipole,
    MeanSquareRadius,
    PairCorrelation,
    RadialDensity,
    SpinSquared,
)
from nqs.runs import Experiment

INTERACTIONS = {
    "none": lambda: None,
    "coulomb": Coulomb,
    "gaussian": Gaussian,
    "harmonic_pairs": HarmonicPairs,
    "inverse_square": InverseSquare,
}


def trapped(
    name: str, trap: HarmonicTrap, options: Options, states: int = 1
) -> Experiment:
    """The experiment with a trap: its ansatz and the observables of a trap.

    For several `states` the ansatz has any total spin, and dipoles are measured.
    """
    extent, spins, part = trap.extent, trap.spins, options.ansatz
    if states > 1 and part.name == "backflow":
        settings = {"flip_symmetric": False} | dict(part.settings)
        part = Part("backflow", tuple(settings.items()))
    return Experiment(
        name=name,
        hamiltonian=trap,
        ansatz=trap_ansatz(part, trap),
        observables=(
            MeanSquareRadius(),
            RadialDensity(extent),
            Density(extent, trap.d),
            *((PairCorrelation(1.5 * extent, spins),) if trap.n > 1 else ()),
            *((SpinSquared(spins),) if spins is not None else ()),
            *(Dipole(axis) for axis in range(trap.d) if states > 1),
        ),
        **options.settings(),
    )


def trap_ansatz(part: Part, trap: HarmonicTrap) -> Any:
    """Build the ansatz that was named; `jastrow=True` multiplies any with a Jastrow.

    slater_jastrow, and backflow of interacting particles, have one without being asked.

    Raises:
      ValueError: for an unknown name or field, a determinant of bosons, fermions of one
        spin without a determinant, or a Jastrow factor for free particles.
    """
    settings = dict(part.settings)
    interacting_backflow = part.name == "backflow" and trap.interaction is not None
    cusped = part.name == "slater_jastrow" or interacting_backflow
    jastrow = settings.pop("jastrow", cusped)
    omega = trap.omega
    if part.name == "rbm":  # |psi|^2 has the oscillator's width in both cases
        scale = 0.5**0.5 if settings.get("root") else 1
        widths = tuple(scale * frequency**-0.5 for frequency in trap.omegas)
        settings.setdefault("sigma", widths if len(set(widths)) > 1 else widths[0])
        if trap.interaction is None:
            settings.setdefault("stddev", 0.0)  # the exact ground state
    known = {
        "backflow": partial(Backflow, trap.spins, omega),
        "rbm": GaussianBinaryRBM,
        "ffnn": partial(FeedForward, omega=omega),
        "deep_sets": partial(DeepSets, omega=omega),
    }
    if trap.spins is not None:
        known["slater"] = partial(Slater, trap.spins, omega)
        known["slater_jastrow"] = partial(Slater, trap.spins, omega)
    elif part.name.startswith("slater"):
        raise ValueError(f"ansatz {part.name} is antisymmetric, but these are bosons")
    _check_exchange(part.name, trap)
    ansatz = dataclasses.replace(part, settings=tuple(settings.items())).build(
        "ansatz", known
    )
    if jastrow:
        ansatz = Product((ansatz, jastrow_factor(trap)))
    return ansatz


def _check_exchange(name: str, trap: HarmonicTrap) -> None:
    """Refuse fermions of one spin without a determinant: they would be bosons."""
    most = max(trap.spins.up, trap.spins.down) if trap.spins else 1
    if most > 1 and name in ("rbm", "ffnn", "deep_sets"):
        raise ValueError(
            f"ansatz {name} is not antisymmetric, but {most} of these fermions have "
            "the same spin; slater, slater_jastrow and backflow are"
        )


def jastrow_factor(trap: HarmonicTrap) -> PadeJastrow | PowerJastrow | GaussianJastrow:
    """The factor that suits the interaction where two particles meet.

    Raises:
      ValueError: if there is no interaction.
    """
    interaction = trap.interaction
    if isinstance(interaction, Coulomb):
        return PadeJastrow(trap.spins, interaction.strength, min(trap.omegas) ** 0.5)
    if isinstance(interaction, InverseSquare):
        return PowerJastrow(interaction.exponent, trap.spins)
    if interaction is None:
        raise ValueError("jastrow=True requires an interaction")
    return GaussianJastrow()

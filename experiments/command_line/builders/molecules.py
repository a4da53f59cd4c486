"""Ansätze, samplers and experiments of molecules."""

from collections.abc import Callable
from functools import partial
from typing import Any

from experiments.command_line.builders.samplers import MOVES, in_a_box, moving
from experiments.command_line.notation import Part
from experiments.command_line.options import Options
from hamiltonians import Molecule
from nqs.ansatze import MolecularBackflow, PadeJastrow, Product
from nqs.observables import PairCorrelation, RadialDensity, SpinSquared
from nqs.runs import Experiment
from nqs.space.nuclei import Nuclei
from samplers import AboutNuclei


def molecular(molecule: Molecule, options: Options) -> Experiment:
    """The experiment with a molecule: its ansatz and observables of electrons."""
    spins = molecule.spins
    return Experiment(
        name="molecule",
        hamiltonian=molecule,
        ansatz=molecular_ansatz(options.ansatz, molecule),
        observables=(
            RadialDensity(molecule.extent),
            *((PairCorrelation(molecule.extent, spins),) if molecule.n > 1 else ()),
            SpinSquared(spins),
        ),
        **options.settings(),
    )


def molecular_ansatz(part: Part, molecule: Molecule) -> Any:
    """Build the ansatz that was named, with a Jastrow factor for two electrons or more.

    Raises:
      ValueError: for an unknown name or field.
    """
    known = {"backflow": partial(MolecularBackflow, molecule.nuclei, molecule.spins)}
    ansatz = part.build("ansatz", known)
    if molecule.n == 1:
        return ansatz
    return Product((ansatz, PadeJastrow(molecule.spins)))


def samplers(nuclei: Nuclei) -> dict[str, Callable]:
    """Samplers of electrons about these nuclei."""
    moves = MOVES | {"about_nuclei": AboutNuclei(nuclei)}

    def metropolis(move="about_nuclei", **settings):
        return moving(moves, move, settings)

    return in_a_box() | {"metropolis": metropolis}

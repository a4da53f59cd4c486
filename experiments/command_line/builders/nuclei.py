"""Ansätze, samplers and experiments on nuclei."""

from collections.abc import Callable
from typing import Any

from experiments.command_line.builders.samplers import MOVES, moving
from experiments.command_line.options import Options
from hamiltonians import Nucleus
from nqs.ansatze import CorrelatedNucleons
from nqs.observables import NucleonDensity, PointRadius
from nqs.runs import Experiment
from samplers import NucleonMove


def nucleus(options: Options, system: Nucleus) -> Experiment:
    """The experiment with a nucleus."""
    return Experiment(
        name="nucleus",
        hamiltonian=system,
        ansatz=options.ansatz.build("ansatz", {"correlated": CorrelatedNucleons}),
        observables=(
            NucleonDensity(system.extent),
            PointRadius("proton"),
            PointRadius("neutron"),
        ),
        **options.settings(),
    )


def samplers() -> dict[str, Callable[..., Any]]:
    """Metropolis by name; each move of positions comes with exchanges of labels."""
    moves = {name: NucleonMove(move) for name, move in MOVES.items()}

    def metropolis(move="all_particles", **settings):
        return moving(moves, move, settings)

    return {"metropolis": metropolis}

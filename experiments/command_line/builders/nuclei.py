"""Ansätze, samplers and experiments on nuclei."""

from collections.abc import Callable
from typing import Any

from experiments.command_line.builders.samplers import MOVES
from experiments.command_line.options import Options
from hamiltonians import Nucleus
from nqs.ansatze import CorrelatedNucleons
from nqs.checks import one_of
from nqs.observables import NucleonDensity, PointRadius
from nqs.runs import Experiment
from samplers import Metropolis, NucleonMove


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

    def metropolis(move="all_particles", **settings):
        one_of("move", move, MOVES)
        return Metropolis(move=NucleonMove(MOVES[move]), **settings)

    return {"metropolis": metropolis}

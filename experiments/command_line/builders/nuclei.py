"""Ansätze, samplers and experiments on nuclei."""

from collections.abc import Callable
from typing import Any

from experiments.command_line.builders.samplers import MOVES
from experiments.command_line.options import Options
from hamiltonians import Nucleus
from nqs.ansatze import CorrelatedNucleons
from nqs.checks import one_of
from nqs.runs import Experiment
from samplers import Metropolis, NucleonMove


def nucleus(
    options: Options, a: int, z: int, three_body: bool, r3: float
) -> Experiment:
    """The experiment with a nucleus."""
    system = Nucleus(a, z, three_body, r3)
    return Experiment(
        name="nucleus",
        hamiltonian=system,
        ansatz=options.ansatz.build("ansatz", {"correlated": CorrelatedNucleons}),
        **options.settings(),
    )


def samplers() -> dict[str, Callable[..., Any]]:
    """Metropolis by name; each move of positions comes with exchanges of labels."""

    def metropolis(move="all_particles", **settings):
        one_of("move", move, MOVES)
        return Metropolis(move=NucleonMove(MOVES[move]), **settings)

    return {"metropolis": metropolis}

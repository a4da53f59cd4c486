"""An experiment: four parts and the settings of their run."""

import dataclasses
from typing import Any, Self

from nqs.excited import SideBySide, StateMatrices, StateOverlaps, States
from nqs.files.config import to_json
from nqs.observables import Observable
from nqs.runs.training import UNSAVED, Training
from nqs.space.lattice import side_by_side
from nqs.statistics import Evaluation
from nqs.types import Ansatz, Hamiltonian, Optimizer, Sampler, is_scalar
from nqs.vmc import VMC


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(Training):
    """Four parts and the settings of their run.

    Attributes:
      ansatz: the wave function.
      hamiltonian: the system.
      sampler: the Markov kernel.
      optimizer: turns a gradient into an update of the parameters.
      observables: measured in the evaluation besides the energy.
      name: of the experiment, in the results.
      options: of the command line, saved in config.json.

    Raises:
      ValueError: for a number out of range, or parts that do not fit together.
    """

    ansatz: Ansatz
    hamiltonian: Hamiltonian
    sampler: Sampler
    optimizer: Optimizer
    observables: tuple[Observable, ...] = ()
    name: str = "experiment"
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        super().__post_init__()
        for field in ("n", "energy_unit", "length_unit"):
            if not hasattr(self.hamiltonian, field):
                name = type(self.hamiltonian).__name__
                raise ValueError(f"hamiltonian must define {field}, got {name}")
        self.vmc()  # checks how the parts fit

    def with_states(self, count: int) -> Self:
        """The experiment with the `count` lowest states instead of the lowest.

        Its scalar observables become matrices between the states.
        """
        system = SideBySide(self.hamiltonian, count)
        operators = tuple(f for f in self.observables if is_scalar(f))
        return dataclasses.replace(
            self,
            ansatz=States(self.ansatz, count),
            hamiltonian=system,
            sampler=_on_systems(self.sampler, count),
            observables=(StateMatrices(system, operators), StateOverlaps()),
        )

    def vmc(self) -> VMC:
        """The training step of these parts."""
        return VMC(**self._fields_of(VMC))

    def evaluation(self) -> Evaluation:
        """The measurement of these parts."""
        return Evaluation(**self._fields_of(Evaluation))

    def config(self) -> dict[str, Any]:
        """The content of config.json: the options first, then every field."""
        fields = self._fields_of(type(self))
        settings = {"options": fields.pop("options")} | fields
        return {k: to_json(v) for k, v in settings.items() if k not in UNSAVED}


def _on_systems(sampler: Any, count: int) -> Sampler:
    """The sampler with the bonds of its move, if there are any, in every system."""
    move: Any = getattr(sampler, "move", None)
    if (lattice := getattr(move, "lattice", None)) is None:
        return sampler
    move = dataclasses.replace(move, lattice=side_by_side(lattice, count))
    return dataclasses.replace(sampler, move=move)

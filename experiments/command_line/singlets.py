"""Options of experiments on fermions in a cube with attracting opposite spins."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from experiments.command_line.choices import (
    BoxSampler,
    OptimizerOption,
    SingletAnsatz,
)
from experiments.command_line.notation import Part
from experiments.command_line.options import Options

if TYPE_CHECKING:
    from nqs.space.spins import Spins


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingletOptions(Options):
    """Options of these experiments."""

    n: int = 14
    """Fermions."""
    n_up: int | None = None
    """Fermions with spin up; None for (n + 1) // 2."""
    ansatz: SingletAnsatz = Part("pairing")
    sampler: BoxSampler = Part("langevin", (("sweeps", 3),))
    optimizer: OptimizerOption = Part("spring")
    n_walkers: int = 256

    @property
    def spins(self) -> "Spins":
        """Numbers of each spin."""
        from nqs.space.spins import Spins

        return Spins.of(self.n, self.n_up)

    def samplers(self) -> dict[str, Callable[..., Any]]:
        """Builders of the samplers in a box, by name."""
        from experiments.command_line.builders.samplers import in_a_box

        return in_a_box()

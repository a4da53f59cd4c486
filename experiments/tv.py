"""Fermions without spin on a lattice: the t-V model."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from experiments.command_line.lattices import FermionOptions
from experiments.command_line.options import main

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class TVOptions(FermionOptions):
    """-t sum (c^+ c + h.c.) + V sum n n over neighbors, at a fixed number."""

    length: tuple[int, ...] = (4,)
    lattice: Literal["chain", "square", "triangular"] = "square"
    fermions: int | None = 5
    """Number of fermions; None for half of the sites."""
    v: float = 1.0
    """Repulsion V of two fermions on neighbors."""

    @property
    def repulsion(self) -> float:
        """V."""
        return self.v

    def experiment(self) -> "Experiment":
        """The model, its ansatz and sampler."""
        from experiments.command_line.builders.lattices import fermions
        from hamiltonians import TV

        model = TV(self.sites, self.v, self.fermions, self.t)
        return fermions("tv", model, self)


if __name__ == "__main__":
    main(TVOptions)

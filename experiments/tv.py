"""Fermions without spin on a lattice: the t-V model."""

import dataclasses
from typing import TYPE_CHECKING, Literal

from experiments.command_line.choices import FermionAnsatz
from experiments.command_line.lattices import ParticleOptions
from experiments.command_line.notation import Part
from experiments.command_line.options import main

if TYPE_CHECKING:
    from nqs.runs import Experiment
    from samplers import Exchange


@dataclasses.dataclass(frozen=True, kw_only=True)
class TVOptions(ParticleOptions):
    """-t sum (c^+ c + h.c.) + V sum n n over neighbors, at a fixed number."""

    length: tuple[int, ...] = (4,)
    """Sites along each axis; one number for a chain, or for two equal axes."""
    lattice: Literal["chain", "square", "triangular"] = "square"
    """Shape of the lattice."""
    fermions: int | None = 5
    """Number of fermions; None for half of the sites."""
    v: float = 1.0
    """Repulsion V of two fermions on neighbors."""
    t: float = 1.0
    """Hopping amplitude."""
    ansatz: FermionAnsatz = Part("slater")
    iterations: int = 600
    """Training steps."""
    evaluation_steps: int = 200
    """Sampler steps with frozen parameters, which give the result."""

    @property
    def learning_rate(self) -> float:
        """A tenth of the inverse of t or V/3."""
        return 0.1 / max(abs(self.t), abs(self.v) / 3, 1e-3)

    def move(self) -> "Exchange":
        """Exchange of neighbors."""
        from samplers import Exchange

        return Exchange(self.sites)

    def experiment(self) -> "Experiment":
        """The model, its ansatz and sampler."""
        from experiments.command_line.builders.lattices import fermions
        from hamiltonians import TV

        model = TV(self.sites, self.v, self.fermions, self.t)
        return fermions("tv", model, self)


if __name__ == "__main__":
    main(TVOptions)

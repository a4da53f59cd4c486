"""Fermions of two spins on a lattice: the Hubbard model."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.lattices import FermionOptions
from experiments.command_line.options import main

if TYPE_CHECKING:
    from nqs.runs import Experiment
    from samplers import Exchange


@dataclasses.dataclass(frozen=True, kw_only=True)
class HubbardOptions(FermionOptions):
    """-t sum (c^+ c + h.c.) + U sum n_up n_down, at fixed numbers of both spins."""

    length: tuple[int, ...] = (8,)
    up: int | None = None
    """Fermions with spin up; None for half of the sites."""
    down: int | None = None
    """Fermions with spin down; None for half of the sites."""
    u: float = 4.0
    """Repulsion U of opposite spins on one site."""

    @property
    def repulsion(self) -> float:
        """U."""
        return self.u

    def move(self) -> "Exchange":
        """Exchange of neighbors of one spin."""
        from nqs.space.lattice import side_by_side
        from samplers import Exchange

        return Exchange(side_by_side(self.sites, 2))

    def experiment(self) -> "Experiment":
        """The model, its ansatz and sampler."""
        from experiments.command_line.builders.lattices import fermions
        from hamiltonians import Hubbard

        model = Hubbard(self.sites, self.u, self.up, self.down, self.t)
        return fermions("hubbard", model, self)


if __name__ == "__main__":
    main(HubbardOptions)

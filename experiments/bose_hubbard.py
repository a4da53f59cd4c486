"""Bosons on a lattice: the Bose-Hubbard model."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.choices import BosonAnsatz
from experiments.command_line.lattices import ParticleOptions
from experiments.command_line.notation import Part
from experiments.command_line.options import main

if TYPE_CHECKING:
    from hamiltonians import BoseHubbard
    from nqs.runs import Experiment
    from samplers import Hop


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoseHubbardOptions(ParticleOptions):
    """-t sum (a^+ a + h.c.) + (U/2) sum n (n - 1), at a fixed number of bosons."""

    length: tuple[int, ...] = (8,)
    bosons: int | None = None
    """Number of bosons; None for one a site."""
    most: int | None = None
    """Bosons that fit on one site; None for any number."""
    u: float = 1.0
    """Repulsion U of two bosons on one site."""
    t: float = 1.0
    """Hopping amplitude."""
    ansatz: BosonAnsatz = Part("rbm", (("alpha", 4), ("symmetric", True)))

    @property
    def model(self) -> "BoseHubbard":
        """The Hamiltonian."""
        from hamiltonians import BoseHubbard

        return BoseHubbard(self.sites, self.u, self.bosons, self.most, self.t)

    def move(self) -> "Hop":
        """Hop of one boson to a neighbor."""
        from samplers import Hop

        return Hop(self.sites, self.model.levels)

    def experiment(self) -> "Experiment":
        """The model, its ansatz and sampler."""
        from experiments.command_line.builders.lattices import bosons

        return bosons("bose_hubbard", self.model, self)


if __name__ == "__main__":
    main(BoseHubbardOptions)

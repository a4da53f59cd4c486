"""Options of experiments on fermions in a cube with attracting opposite spins."""

import dataclasses
from typing import TYPE_CHECKING

from experiments.command_line.options import Options, Part, PartOption

if TYPE_CHECKING:
    from nqs.space.spins import Spins


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingletOptions(Options):
    """Options of these experiments."""

    n: int = 14
    """Fermions."""
    n_up: int | None = None
    """Fermions with spin up; None for (n + 1) // 2."""
    ansatz: PartOption = Part("pairing")
    """pairing, singlet (both with a spin-independent backflow), backflow or slater;
    pairing takes any number of pairs, and unpaired spins up in a closed shell."""
    sampler: PartOption = Part("langevin", (("sweeps", 3),))
    """langevin or metropolis."""
    optimizer: PartOption = Part("spring")
    """spring, sr, minsr, or any of optax's by name: adam(learning_rate=0.01), say."""
    n_walkers: int = 256
    """Markov chains."""

    @property
    def spins(self) -> "Spins":
        """Numbers of each spin."""
        from nqs.space.spins import Spins

        return Spins.of(self.n, self.n_up)

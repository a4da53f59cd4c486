"""Antisymmetric wave functions of positions and spins."""

import flax.linen as nn

from nqs.space.spins import SpinPositions, sorted_by_spin
from nqs.types import LogPsi


class SpinExplicit(nn.Module):
    """psi(R, S) from an antisymmetric psi(R) whose first particles have spin up.

    The particles are sorted by their spins, and psi has the sign of that permutation.

    Attributes:
      ansatz: of positions (n, d), antisymmetric in the particles of each spin.
    """

    ansatz: nn.Module

    @nn.compact
    def __call__(self, x: SpinPositions) -> LogPsi:
        """Log psi of one configuration."""
        positions, sign = sorted_by_spin(x)
        psi = self.ansatz(positions)
        return LogPsi(sign * psi.sign, psi.logabs)

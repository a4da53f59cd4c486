"""Moves of positions and spins together."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from nqs.space.spins import SpinPositions
from samplers.metropolis import AllParticles, Move


@dataclasses.dataclass(frozen=True)
class SpinsAndPositions:
    """Move the positions, and half of the time exchange the spins of two particles.

    Attributes:
      move: of the positions.
    """

    move: Move = AllParticles()

    def moves_per_sweep(self, x: SpinPositions) -> int:
        """Those of the positions."""
        return self.move.moves_per_sweep(x.positions)

    def __call__(
        self, key: Array, x: SpinPositions, width: Array
    ) -> tuple[SpinPositions, Array]:
        """Propose both; the exchange is as likely as its reverse."""
        key_move, key_pair, key_whether = jax.random.split(key, 3)
        positions, log_q_ratio = self.move(key_move, x.positions, width)
        pair = jax.random.choice(key_pair, len(x.spins), (2,), replace=False)
        exchanged = x.spins.at[pair].set(x.spins[pair[::-1]])
        spins = jnp.where(jax.random.bernoulli(key_whether), exchanged, x.spins)
        return SpinPositions(positions, spins), log_q_ratio

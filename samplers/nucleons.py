"""Moves of positions, spins and isospins together."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from nqs.space.nucleons import Nucleons
from samplers.metropolis import AllParticles, Move


@dataclasses.dataclass(frozen=True)
class NucleonMove:
    """Move the positions about their center, and exchange labels of two nucleons.

    The exchange is, equally likely, of nothing, of spins, of isospins or of both. The
    center of mass moves to the origin, which changes no |psi|^2 that is invariant under
    translations.

    Attributes:
      move: of the positions.
    """

    move: Move = AllParticles()

    def moves_per_sweep(self, x: Nucleons) -> int:
        """Those of the positions."""
        return self.move.moves_per_sweep(x.positions)

    def __call__(self, key: Array, x: Nucleons, width: Array) -> tuple[Nucleons, Array]:
        """Propose all of them; an exchange is as likely as its reverse."""
        key_move, key_pair, key_which = jax.random.split(key, 3)
        positions, log_q_ratio = self.move(key_move, x.positions, width)
        positions = positions - jnp.mean(positions, axis=0, keepdims=True)
        pair = jax.random.choice(key_pair, len(positions), (2,), replace=False)
        which = jax.random.bernoulli(key_which, shape=(2,))

        def exchanged(labels, whether):
            return jnp.where(whether, labels.at[pair].set(labels[pair[::-1]]), labels)

        spins = exchanged(x.spins, which[0])
        return Nucleons(positions, spins, exchanged(x.isospins, which[1])), log_q_ratio

"""Spins of fermions: how many are up and down, and configurations that name them.

Labelled configurations, where the first n_up particles have spin up, are enough where a
force can be written as an exchange of positions. Tensor and spin-orbit forces cannot.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import settle, whole


@dataclasses.dataclass(frozen=True)
class Spins:
    """Numbers of fermions of each spin; the first `up` particles have spin up.

    Attributes:
      up: particles of spin up.
      down: particles of spin down.

    Raises:
      ValueError: if a number is negative, or both are zero.
    """

    up: int
    down: int = 0

    def __post_init__(self):
        settle(self, up=whole("up", self.up, 0), down=whole("down", self.down, 0))
        if self.n == 0:
            raise ValueError("up + down must be at least 1, got 0")

    @property
    def n(self) -> int:
        """Number of particles."""
        return self.up + self.down

    @property
    def present(self) -> int:
        """Number of spin species that occur, 1 or 2."""
        return (self.up > 0) + (self.down > 0)

    @property
    def signs(self) -> np.ndarray:
        """sigma^z (n,): 1 for up, -1 for down."""
        return np.repeat([1, -1], [self.up, self.down])

    @property
    def equal(self) -> np.ndarray:
        """Whether two particles have equal spins (n, n)."""
        return self.signs[:, None] == self.signs[None, :]

    @property
    def opposite_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Particles i up and j down (up, down) of all such pairs."""
        up, down = np.arange(self.up), np.arange(self.up, self.n)
        i, j = np.meshgrid(up, down, indexing="ij")
        return i, j


class SpinPositions(NamedTuple):
    """One configuration.

    Attributes:
      positions: (n, d).
      spins: (n,) integers, 0 for up and 1 for down.
    """

    positions: Any
    spins: Any


def labels(n_up: int, n_down: int) -> np.ndarray:
    """The spins (n,) of a labeled configuration."""
    return np.repeat([0, 1], [n_up, n_down])


def sorted_by_spin(x: SpinPositions) -> tuple[Array, Array]:
    """Positions (n, d) with spins up first, and the sign () of that permutation."""
    numbers = np if isinstance(x.spins, np.ndarray) else jnp
    order = numbers.argsort(x.spins, stable=True)
    # a stable sort undoes each inversion once
    inverted = numbers.triu(x.spins[:, None] > x.spins[None, :])
    sign = 1 - 2 * (numbers.sum(inverted) % 2)
    return x.positions[order], jnp.asarray(sign, x.positions.dtype)

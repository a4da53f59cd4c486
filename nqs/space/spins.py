"""Spins of fermions: their numbers, and configurations with explicit spins.

Labeled configurations, whose first particles have spin up, suffice for forces that are
exchanges of positions. Tensor and spin-orbit forces require explicit spins.
"""

import dataclasses
from typing import Any, NamedTuple, Self

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import require, whole


@dataclasses.dataclass(frozen=True)
class Spins:
    """Numbers of fermions of each spin; the first `up` particles have spin up.

    Raises:
      ValueError: if a number is negative, or both are zero.
    """

    up: int
    down: int = 0

    def __post_init__(self):
        require(self, whole, "up", "down", least=0)
        whole("up + down", self.n)

    @classmethod
    def of(cls, n: int, n_up: int | None = None) -> Self:
        """Spins of n >= 1 particles, n_up of them up; None for (n + 1) // 2."""
        n = whole("n", n)
        n_up = (n + 1) // 2 if n_up is None else whole("n_up", n_up, 0, n)
        return cls(n_up, n - n_up)

    @property
    def n(self) -> int:
        """Number of particles."""
        return self.up + self.down

    @property
    def signs(self) -> np.ndarray:
        """sigma^z (n,): 1 for up, -1 for down."""
        return np.repeat([1, -1], [self.up, self.down])

    @property
    def labels(self) -> np.ndarray:
        """Spins (n,) as in `SpinPositions`: 0 for up, 1 for down."""
        return np.repeat([0, 1], [self.up, self.down])

    @property
    def equal(self) -> np.ndarray:
        """Whether two particles have equal spins (n, n)."""
        return self.signs[:, None] == self.signs[None, :]

    @property
    def opposite_pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Particles i up and j down, (up, down) each, of all such pairs."""
        up, down = np.arange(self.up), np.arange(self.up, self.n)
        i, j = np.meshgrid(up, down, indexing="ij")
        return i, j


def check_spins(spins: Any, n: int | None = None) -> None:
    """Raise a ValueError unless these are `Spins`, of n particles where n is given."""
    if not isinstance(spins, Spins):
        raise ValueError(f"spins must be Spins(up, down), got {spins!r}")
    if n is not None and spins.n != n:
        raise ValueError(f"spins must add up to n={n}, got {spins}")


class SpinPositions(NamedTuple):
    """One configuration."""

    positions: Any  # (n, d)
    spins: Any  # (n,) integers, 0 for up and 1 for down


def sorted_by_spin(x: SpinPositions) -> tuple[Array, Array]:
    """Positions (n, d) with spins up first, and the sign () of that permutation."""
    numbers = np if isinstance(x.spins, np.ndarray) else jnp
    order = numbers.argsort(x.spins, stable=True)
    # a stable sort undoes each inversion once
    inverted = numbers.triu(x.spins[:, None] > x.spins[None, :])
    sign = 1 - 2 * (numbers.sum(inverted) % 2)
    return x.positions[order], jnp.asarray(sign, x.positions.dtype)

"""Configurations that name the spin of every particle, for forces that act on spins.

Labelled configurations, where the first n_up particles have spin up, are enough where a
force can be written as an exchange of positions. Tensor and spin-orbit forces cannot.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array


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

"""Drives: terms of a Hamiltonian that depend on time."""

import dataclasses
from collections.abc import Callable, Mapping

import jax.numpy as jnp
from jax import Array

from nqs.checks import positive

# Factors of terms by name at a time (); terms without one are constant.
Drive = Callable[[Array], Mapping[str, Array]]


@dataclasses.dataclass(frozen=True)
class Ramp:
    """Factors of terms that grow linearly from 1 within a time.

    Attributes:
      factors: name and last factor of every term.
      duration: of the growth, in the inverse of the energy unit.

    Raises:
      ValueError: if the duration is not positive.
    """

    factors: tuple[tuple[str, float], ...]
    duration: float = 1.0

    def __post_init__(self):
        positive("duration", self.duration)

    def __call__(self, time: Array) -> dict[str, Array]:
        """Factors at a time."""
        part = jnp.clip(time / self.duration, 0, 1)
        return {name: 1 + (last - 1) * part for name, last in self.factors}

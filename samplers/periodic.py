"""Sampling in a periodic box: any other sampler, with the walkers kept in the cell."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jax import Array

from nqs.space.box import Box
from nqs.types import Ansatz, Params, Sampler, State, Walkers


@dataclasses.dataclass(frozen=True)
class Periodic:
    """Another sampler whose walkers are moved into the cell, by lattice vectors.

    |psi| must be periodic (a twist turns the phase of psi alone), so that this changes
    no density. Without it walkers diffuse ever further away, and the phases k . x of
    plane waves lose their digits.

    Attributes:
      sampler: moves the walkers (w, n, d), with its own settings.
      box: the periodic cell.
    """

    sampler: Sampler
    box: Box

    @property
    def requires(self) -> type | None:
        """Capability that the inner sampler requires."""
        return self.sampler.requires

    @property
    def kind(self) -> str:
        """Configurations that the inner sampler moves."""
        return getattr(self.sampler, "kind", "particles")

    @property
    def sweeps(self) -> int:
        """Sweeps of the inner sampler."""
        return self.sampler.sweeps

    def init(self, walkers: Walkers, /) -> State:
        """The inner sampler's state, the walkers in the cell."""
        return self.sampler.init(self.box.wrap(walkers))

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: State, /
    ) -> tuple[State, dict[str, Array]]:
        """A step of the inner sampler, then the walkers moved into the cell."""
        state, info = self.sampler.step(key, ansatz, params, state)
        return self.wrapped(state), info

    @property
    def reversible_step(self) -> Callable:
        """That of the inner sampler, which may leave the cell; see `wrapped`."""
        sampler: Any = self.sampler
        return sampler.reversible_step  # an AttributeError where there is none

    def wrapped(self, state: State) -> State:
        """The state with its walkers moved into the cell."""
        return state._replace(walkers=self.box.wrap(state.walkers))

    def adapt(self, state: State, info: dict[str, Array], /) -> State:
        """Adapt the inner sampler, with moves at most half as long as the cell.

        Such moves reach all of it. Where psi is flat, as that of two particles at rest
        is at first, all moves are accepted and would grow without limit.
        """
        state = self.sampler.adapt(state, info)
        limited = getattr(self.sampler, "limited", None)
        reach = float(np.max(np.linalg.norm(self.box.vectors, axis=1))) / 2
        return state if limited is None else limited(state, reach)

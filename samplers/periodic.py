"""Sampling in a periodic box: any other sampler, with the walkers kept in the cell."""

import dataclasses

import jax.numpy as jnp
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
      sampler: what moves the walkers (w, n, d); its settings are set on it.
      box: the periodic cell.
    """

    sampler: Sampler
    box: Box

    @property
    def requires(self) -> type | None:
        """What the inner sampler needs of an ansatz."""
        return self.sampler.requires

    @property
    def kind(self) -> str:
        """Configurations that the inner sampler moves."""
        return getattr(self.sampler, "kind", "particles")

    @property
    def sweeps(self) -> int:
        """Those of the inner sampler."""
        return self.sampler.sweeps

    def init(self, walkers: Walkers, /) -> State:
        """The inner sampler's state, the walkers in the cell."""
        return self.sampler.init(self.box.wrap(walkers))

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: State, /
    ) -> tuple[State, dict[str, Array]]:
        """A step of the inner sampler, then the walkers moved into the cell."""
        state, info = self.sampler.step(key, ansatz, params, state)
        return state._replace(walkers=self.box.wrap(state.walkers)), info

    def adapt(self, state: State, info: dict[str, Array], /) -> State:
        """As the inner sampler does, but for widths beyond half of the cell.

        Such moves reach all of it. Where psi is flat, as that of two particles at rest
        is at first, all moves are accepted and they would grow for ever.
        """
        state = self.sampler.adapt(state, info)
        reach = float(np.max(np.linalg.norm(self.box.vectors, axis=1))) / 2
        most = {"width": reach, "time_step": reach**2}
        return state._replace(
            **{
                name: jnp.minimum(value, most[name])
                for name, value in state._asdict().items()
                if name in most
            }
        )

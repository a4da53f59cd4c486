"""Independent configurations from a normalized wave function, without a chain."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_map
from nqs.capabilities import DirectSampling
from nqs.types import Ansatz, Params, Walkers


class DirectState(NamedTuple):
    """The walkers of the last step, which the next does not look at."""

    walkers: Walkers


@dataclasses.dataclass(frozen=True)
class Direct:
    """Exact sampling of an autoregressive psi: every step draws all walkers anew."""

    requires: ClassVar[type | None] = DirectSampling
    sweeps: ClassVar[int] = 1

    def init(self, walkers: Walkers, /) -> DirectState:
        """Keep the shape of the given walkers."""
        return DirectState(walkers)

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: DirectState, /
    ) -> tuple[DirectState, dict[str, Array]]:
        """New walkers, all accepted."""
        assert isinstance(ansatz, DirectSampling)
        n_walkers = jax.tree.leaves(state.walkers)[0].shape[0]
        keys = jax.random.split(key, n_walkers)
        walkers = chunked_map(lambda key: ansatz.sample(params, key), keys)
        return DirectState(walkers), {"acceptance": jnp.ones(())}

    def adapt(self, state: DirectState, info: dict[str, Array], /) -> DirectState:
        """Nothing."""
        return state

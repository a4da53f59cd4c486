"""Independent configurations from a normalized wave function, without a chain."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_map
from nqs.capabilities import DirectSampling
from nqs.types import Ansatz, Params
from samplers.acceptance import WalkersState, WithoutWidth


@dataclasses.dataclass(frozen=True)
class Direct(WithoutWidth):
    """Exact sampling of an autoregressive psi: every step draws all walkers anew."""

    requires: ClassVar[type | None] = DirectSampling
    sweeps: ClassVar[int] = 1

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: WalkersState, /
    ) -> tuple[WalkersState, dict[str, Array]]:
        """New walkers, all accepted."""
        assert isinstance(ansatz, DirectSampling)
        n_walkers = jax.tree.leaves(state.walkers)[0].shape[0]
        keys = jax.random.split(key, n_walkers)
        walkers = chunked_map(lambda key: ansatz.sample(params, key), keys)
        return WalkersState(walkers), {"acceptance": jnp.ones(())}

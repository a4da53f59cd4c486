"""Gibbs sampling of a Boltzmann machine: hidden and visible layers in turn."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from nqs.capabilities import HiddenLayer
from nqs.types import Ansatz, Params
from samplers.acceptance import WalkersState, WithoutWidth


@dataclasses.dataclass(frozen=True)
class Gibbs(WithoutWidth):
    """Alternate draws of the hidden layer given x and of x given the hidden layer.

    Both conditionals of the joint density are exact, so every move is accepted and
    there is no width to adapt. The ansatz must give the conditionals (`HiddenLayer`).

    Attributes:
      sweeps: pairs of draws per step.
    """

    sweeps: int = 10
    requires: ClassVar[type | None] = HiddenLayer

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: WalkersState, /
    ) -> tuple[WalkersState, dict[str, Array]]:
        """`sweeps` alternations for every walker, leaving |psi|^2 invariant."""
        if not isinstance(ansatz, HiddenLayer):
            raise ValueError(
                f"Gibbs requires an ansatz with a HiddenLayer, got {ansatz!r}"
            )
        n_walkers = jax.tree.leaves(state.walkers)[0].shape[0]

        def move_walker(key, x):
            key_hidden, key_visible = jax.random.split(key)
            hidden = ansatz.sample_hidden(params, key_hidden, x)
            return ansatz.sample_visible(params, key_visible, hidden)

        def move_all(i, walkers):
            keys = jax.random.split(jax.random.fold_in(key, i), n_walkers)
            return jax.vmap(move_walker)(keys, walkers)

        walkers = jax.lax.fori_loop(0, self.sweeps, move_all, state.walkers)
        dtype = jnp.result_type(*jax.tree.leaves(walkers), float)
        return WalkersState(walkers), {"acceptance": jnp.ones((), dtype)}

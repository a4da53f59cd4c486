"""Modules of Flax NNX as ansätze."""

import dataclasses
from functools import cached_property
from typing import Any

import jax
from flax import nnx
from jax import Array

from nqs.types import Configuration, LogPsi, Params


@dataclasses.dataclass(frozen=True, eq=False)
class FromNNX:
    """An NNX module, called with one configuration, as an ansatz.

    An Equinox module takes three lines: with `params, static = eqx.partition(module,
    eqx.is_array)` it is `nqs.Function(lambda p, x: eqx.combine(p, static)(x), lambda
    key, x: params)`.

    Attributes:
      module: returns a LogPsi; training starts from its parameters.

    Raises:
      ValueError: if the module has state that is not a parameter.
    """

    module: Any

    def __post_init__(self):
        if others := jax.tree.leaves(self._split[2]):
            raise ValueError(
                "module must have no state but nnx.Param, got "
                f"{len(others)} other arrays, such as batch statistics or random keys"
            )

    @cached_property
    def _split(self) -> tuple[Any, Any, Any]:
        graph, params, others = nnx.split(self.module, nnx.Param, ...)
        return graph, params, others

    def init(self, key: Array, x: Configuration, /) -> Params:
        """The parameters of the module, as a dict of arrays; the key is not used."""
        return nnx.to_pure_dict(self._split[1])

    def apply(self, params: Params, x: Configuration, /) -> LogPsi:
        """Log psi(x) of the module with these parameters."""
        graph, state, _ = self._split
        state = jax.tree.map(lambda leaf: leaf, state)  # a copy: replacing is in place
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(graph, state)(x)


def from_nnx(module: Any) -> FromNNX:
    """An NNX module as an ansatz; see `FromNNX`."""
    return FromNNX(module)

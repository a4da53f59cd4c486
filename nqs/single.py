"""Sampling in single precision, and its correction to the density of double precision.

A reversible kernel in single precision leaves |psi_1|^2 invariant, where psi_1 is psi
with the rounding of single precision. As the proposal of one more Metropolis step,
accepted with the ratio of |psi / psi_1|^2 after and before, it leaves |psi|^2 of double
precision invariant: delayed acceptance, J. A. Christen and C. Fox, J. Comput. Graph.
Stat. 14, 795 (2005).
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.batching import chunked_map
from nqs.moves import accepted, where
from nqs.types import Ansatz, Params, Sampler, State, Walkers


class Reversible(Sampler, Protocol):
    """A sampler whose steps obey detailed balance with |psi|^2.

    A sampler that moves walkers in another way after its step, one that leaves
    |psi|^2 as it is, does so in `wrapped(state)`.
    """

    def reversible_step(
        self, key: Array, ansatz: Ansatz, params: Params, state: State, /
    ) -> tuple[State, dict[str, Array], Array]:
        """`step`, and the change (w,) of log|psi|^2 by the moves of every walker."""
        ...


def single_step(
    sampler: Reversible,
    key: Array,
    ansatz: Ansatz,
    params: Params,
    state: State,
    exact: Array | bool,
) -> tuple[State, dict[str, Array]]:
    """A step of a sampler in single precision.

    Args:
      sampler: the kernel.
      key: random key.
      ansatz: the wave function.
      params: of the wave function.
      state: of the sampler.
      exact: () flag, whether walkers are corrected to the density of psi in the
        precision of params and state.

    Returns:
      As `sampler.step`, the state in its own precision.
    """
    if not in_double((params, state)):
        return sampler.step(key, ansatz, params, state)
    key, key_accept = jax.random.split(key)
    single, low = jax.tree.map(rounded, (state, params))
    new, info, change = sampler.reversible_step(key, ansatz, low, single)
    old, new = (with_dtypes_of(state, tree) for tree in (single, new))

    def correct(old, new):
        return corrected(key_accept, ansatz, params, old, new, change)

    chains = old.walkers, new.walkers
    new = new._replace(
        walkers=jax.lax.cond(exact, correct, lambda _, new: new, *chains)
    )
    # psi_1 is not periodic to the last digit: walkers return to the cell at the end
    return getattr(sampler, "wrapped", lambda state: state)(new), info


def corrected(
    key: Array,
    ansatz: Ansatz,
    params: Params,
    old: Walkers,
    new: Walkers,
    change: Array,
) -> Walkers:
    """New walkers, or old ones where the last acceptance of a step refuses them.

    `change` is that of log|psi_1|^2, (w,).
    """

    def logabs(x):
        return ansatz.apply(params, x).logabs

    log_ratio = chunked_map(
        lambda pair: 2 * (logabs(pair[1]) - logabs(pair[0])), (old, new)
    )
    accept = accepted(key, log_ratio - change)
    return jax.vmap(where)(accept, new, old)


def rounded(leaf: Array) -> Array:
    """A real or complex array in single precision, any other as it is."""
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        return leaf.astype(np.csingle)
    return leaf.astype(np.single) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def with_dtypes_of(like: Any, tree: Any) -> Any:
    """A pytree with the dtypes of another one of the same structure."""
    return jax.tree.map(lambda a, leaf: leaf.astype(a.dtype), like, tree)


def in_double(tree: Any) -> bool:
    """Whether any array of a pytree has more digits than single precision."""
    return any(rounded(leaf).dtype != leaf.dtype for leaf in jax.tree.leaves(tree))

"""Functions of all pairs of particles, of which more is known than JAX can see.

A name carries such a function into the program that JAX traces, and whoever meets the
name there may look up what is known of it: `nqs.laplacian.pair_rule` differentiates
features of pairs by the few coordinates that they have, `nqs.laplacian.message_rule`
sums of messages without a Jacobian of every pair.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

# By the name in a program, the function of the features of one and the other particle.
RELATIVE_FEATURES: dict[str, Callable[[Array, Array], Array]] = {}
# By the name in a program, the function f of a message, and whether it is relative.
MESSAGE_SUMS: dict[str, tuple[Callable[[Array], Array], bool]] = {}


def relative_features(
    function: Callable[[Array, Array], Array],
) -> Callable[[Array], Array]:
    """The function v (n, k) -> e (n, n, m) with e_ij = function(v_i, v_j).

    Args:
      function: of one (n, 1, k) and the other (1, n, k), elementwise in the first two
        axes. What it gives for v(x_i) and v(x_j), when v_i is a function of the
        position of particle i, must depend on x_i - x_j alone; a forward Laplacian
        relies on it.

    Make it once and keep it: every call of this takes a name.
    """

    def of_pairs(v: Array) -> Array:
        return function(v[:, None, :], v[None, :, :])

    of_pairs.__name__ = f"relative_features_{len(RELATIVE_FEATURES)}"
    RELATIVE_FEATURES[of_pairs.__name__] = function
    return jax.jit(of_pairs)  # for its name alone


@functools.cache
def message_sum(f: Callable[[Array], Array], relative: bool = False) -> Callable:
    """The function that sums messages, 1/n sum_{j != i} f(a_i + b_j + c_ij).

    It takes a, b (n, w) and c (n, n, w) to (n, w).

    Args:
      f: elementwise and smooth.
      relative: promises that c_ij is a function of x_i - x_j, which makes a forward
        Laplacian cheaper, and wrong if it is not so.
    """

    def of_all(a: Array, b: Array, c: Array) -> Array:
        messages = weighted_messages(f, a, b, c)
        # XLA fuses a sum with all that leads to it, which then runs three times slower.
        return jnp.sum(jax.lax.optimization_barrier(messages), axis=1)

    of_all.__name__ = f"message_sum_{len(MESSAGE_SUMS)}"
    MESSAGE_SUMS[of_all.__name__] = f, relative
    return jax.jit(of_all)  # for its name alone


def weighted_messages(
    f: Callable[[Array], Array], a: Array, b: Array, c: Array
) -> Array:
    """Messages f(a_i + b_j + c_ij) / n (n, n, w) to i from j, 0 from i itself."""
    return others(a) * f(a[:, None, :] + b[None, :, :] + c)


def others(a: Array) -> Array:
    """1/n for pairs of different particles, else 0, (n, n, 1), for a (n, w)."""
    n = a.shape[0]
    return jnp.asarray((1 - np.eye(n)) / n, a.dtype)[:, :, None]

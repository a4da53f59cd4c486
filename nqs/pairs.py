"""Features of pairs of particles that depend on their difference alone.

A name carries such a function into the program that JAX traces, and whoever meets the
name there may look up what is known of it: `hamiltonians.pair_rule` differentiates the
features of all pairs by the few coordinates that they have.
"""

from collections.abc import Callable

import jax
from jax import Array

# By the name in a program, the function of the features of one and the other particle.
RELATIVE_FEATURES: dict[str, Callable[[Array, Array], Array]] = {}


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

"""Parameters of an ansatz, drawn and joined without a compiled program."""

import jax
import numpy as np


def parameters(ansatz, x, seed=0, scale=0.3):
    """Normal numbers times `scale` in the place of those of `ansatz.init`.

    For tests that hold for any parameters: `init` would compile a program for every
    ansatz and shape.
    """
    numbers = np.random.default_rng(seed)
    shapes = jax.eval_shape(ansatz.init, jax.random.key(0), x)
    return jax.tree.map(
        lambda leaf: scale * numbers.standard_normal(leaf.shape).astype(leaf.dtype),
        shapes,
    )


def flat(tree):
    """All numbers of a tree in one array, as of `ravel_pytree`."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])

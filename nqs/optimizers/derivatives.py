"""The centered log-derivatives O of walkers, as a linear map and as a Gram matrix.

Row w of O is sqrt(weight_w) (d log psi_w - <d log psi>) / d theta; a complex psi gives
two rows a walker, of the real and of the imaginary part. Then O^T O is the quantum
geometric tensor (its real part), the metric of Fubini and Study, and O O^T its twin in
the space of samples. The matrix O (rows, p) itself is never formed: a product with a
vector is one pass of forward or of reverse differentiation, and the Gram matrix adds up
blocks of columns that fit a memory budget.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_map, chunked_sum
from nqs.types import Ansatz, Params, Walkers


@dataclasses.dataclass(frozen=True)
class CenteredDerivatives:
    """O at one set of parameters.

    Attributes:
      ansatz: the wave function.
      params: where log psi is differentiated.
      walkers: (w, ...).
      weights: (w,) probabilities.
      chunk_size: walkers differentiated at a time; None for all.
      memory: bytes that a block of columns may take.
    """

    ansatz: Ansatz
    params: Params
    walkers: Walkers
    weights: Array
    chunk_size: int | None = None
    memory: int = 2**30

    def center(self, values: Array) -> Array:
        """Rows (w k,) or (w k, p) of values (w, k) or (w, k, p): centered, weighted."""
        shape = (-1,) + (1,) * (values.ndim - 1)
        weights = self.weights.reshape(shape)
        mean = jnp.sum(weights * values, axis=0, keepdims=True)
        rows = jnp.sqrt(weights) * (values - mean)
        return rows.reshape(-1, *values.shape[2:])

    def times(self, tangent: Params) -> Array:
        """O v (rows,) for v like the parameters."""

        def directional(x):
            function = lambda params: self._log_psi(params, x)  # noqa: E731
            return jax.jvp(function, (self.params,), (tangent,))[1]

        return self.center(chunked_map(directional, self.walkers, self.chunk_size))

    def transposed_times(self, rows: Array) -> Params:
        """O^T u, like the parameters, for u (rows,)."""
        roots = jnp.sqrt(self.weights)[:, None]
        signal = roots * rows.reshape(self.weights.shape[0], -1)  # (w, k)
        signal = signal - self.weights[:, None] * jnp.sum(signal, axis=0, keepdims=True)

        def pulled_back(chunk):
            walkers, signal = chunk

            def total(params):
                values = jax.vmap(lambda x: self._log_psi(params, x))(walkers)
                return jnp.sum(signal * values)

            return jax.grad(total)(self.params)

        return chunked_sum(pulled_back, (self.walkers, signal), self.chunk_size)

    def gram(self) -> Array:
        """O O^T (rows, rows), summed over blocks of columns."""
        total = None
        for block in self._blocks():
            columns = self._columns(block)
            part = columns @ columns.T
            total = part if total is None else total + part
        assert total is not None
        return total

    def metric(self) -> Array:
        """O^T O (p, p), for p no larger than the number of rows."""
        columns = jnp.concatenate([self._columns(b) for b in self._blocks()], axis=1)
        return columns.T @ columns

    def _log_psi(self, params: Params, x: Any) -> Array:
        """Real parts of log psi that depend on the parameters: (1,), or (2,)."""
        psi = self.ansatz.apply(params, x)
        if jnp.iscomplexobj(psi.sign):
            return jnp.stack([psi.logabs, jnp.angle(psi.sign)])
        return psi.logabs[None]

    def _blocks(self) -> list[list[tuple[int, int, int]]]:
        """Groups of (leaf, start, stop) of flattened leaves, each within the memory."""
        leaves = jax.tree.leaves(self.params)
        rows = 2 * self.weights.shape[0]
        room = max(1, self.memory // (rows * leaves[0].dtype.itemsize))
        blocks, used = [[]], 0
        for i, leaf in enumerate(leaves):
            for start in range(0, leaf.size, room):
                stop = min(start + room, leaf.size)
                if used and used + stop - start > room:
                    blocks, used = [*blocks, []], 0
                blocks[-1].append((i, start, stop))
                used += stop - start
        return blocks

    def _columns(self, block: list[tuple[int, int, int]]) -> Array:
        """The columns (rows, c) of O that belong to a block."""
        leaves, treedef = jax.tree.flatten(self.params)
        pieces = [leaves[i].reshape(-1)[start:stop] for i, start, stop in block]

        def log_psi(pieces, x):
            changed = [leaf.reshape(-1) for leaf in leaves]
            for (i, start, stop), piece in zip(block, pieces, strict=True):
                if stop - start == changed[i].size:
                    changed[i] = piece
                else:
                    changed[i] = changed[i].at[start:stop].set(piece)
            shaped = [
                c.reshape(leaf.shape) for c, leaf in zip(changed, leaves, strict=True)
            ]
            return self._log_psi(treedef.unflatten(shaped), x)

        def derivatives(x):
            return jnp.concatenate(jax.jacrev(log_psi)(pieces, x), axis=1)  # (k, c)

        return self.center(chunked_map(derivatives, self.walkers, self.chunk_size))


def n_parameters(params: Params) -> int:
    """How many real numbers the parameters are."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))

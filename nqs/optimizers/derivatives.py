"""The centered log-derivatives O of walkers, as a linear map and as a Gram matrix.

Row w of O is sqrt(weight_w) (d log psi_w - <d log psi>) / d theta; a complex psi has
two rows a walker, of the real and of the imaginary part. Then O^T O is the quantum
geometric tensor (its real part), the metric of Fubini and Study, and O O^T its
counterpart in the space of samples. Columns that fit a memory budget are computed once.
Beyond it a product with a vector is one pass of forward or of reverse differentiation,
and the Gram matrix adds up blocks of columns. A layer with one row a walker requires no
columns: its derivatives are outer products a g^T of inputs and backpropagated signals,
with the Gram matrix (A A^T) * (G G^T).
"""

import dataclasses
import math
from collections.abc import Callable, Iterable
from functools import cached_property, partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from nqs.batching import chunked_map, chunked_sum, divided, n_devices
from nqs.capabilities import LogDerivatives, OuterProducts
from nqs.types import Ansatz, Configuration, Params, Walkers


@dataclasses.dataclass(frozen=True)
class CenteredDerivatives:
    """O at one set of parameters."""

    ansatz: Ansatz
    params: Params
    walkers: Walkers
    weights: Array  # (w,) probabilities
    chunk_size: int | None = None  # walkers differentiated at a time
    memory: int = 2**30  # most bytes of all columns, or else of a block of them

    @cached_property
    def n_parts(self) -> int:
        """Rows of a walker: 1, or 2 where psi is complex."""
        return jax.eval_shape(self._log_psi, self.params, self._walker).shape[0]

    @property
    def _walker(self) -> Configuration:
        return jax.tree.map(lambda leaf: leaf[0], self.walkers)

    def center(self, values: Array) -> Array:
        """Rows (w k,) or (w k, p) of values (w, k) or (w, k, p): centered, weighted."""
        weights = self.weights.reshape(-1, *(1,) * (values.ndim - 1))
        mean = jnp.sum(weights * values, axis=0, keepdims=True)
        rows = jnp.sqrt(weights) * (values - mean)
        return rows.reshape(-1, *values.shape[2:])

    def times(self, tangent: Params) -> Array:
        """O v (rows,) for v like the parameters."""
        if self._held is not None:
            vectors = [leaf.reshape(-1) for leaf in jax.tree.leaves(tangent)]
            pairs = zip(self._held, vectors, strict=True)
            return sum_of(columns @ vector for columns, vector in pairs)

        def directional(x):
            log_psi = partial(self._log_psi, x=x)
            return jax.jvp(log_psi, (self.params,), (tangent,))[1]

        return self.center(chunked_map(directional, self.walkers, self.chunk_size))

    def transposed_times(self, rows: Array) -> Params:
        """O^T u, like the parameters, for u (rows,)."""
        if self._held is not None:
            leaves, treedef = jax.tree.flatten(self.params)
            pairs = zip(self._held, leaves, strict=True)
            products = [(rows @ held).reshape(leaf.shape) for held, leaf in pairs]
            return jax.tree.unflatten(treedef, products)
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

    def products(self) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
        """O v (rows,) of vectors v (p,) and O^T u (p,) of u (rows,), for many products.

        With all columns where they fit the memory, even those of layers.
        """
        if self._n_bytes <= self.memory:
            columns = self.columns()
            return lambda v: columns @ v, lambda u: u @ columns
        _, unravel = ravel_pytree(self.params)
        return (
            lambda v: self.times(unravel(v)),
            lambda u: ravel_pytree(self.transposed_times(u))[0],
        )

    def gram(self) -> Array:
        """O O^T (rows, rows), summed over layers and blocks of columns."""
        if self._held is not None:
            alone = n_devices(self._held[0]) == 1  # else one exchange for all leaves
            pieces = self._held if alone else [self.columns()]
            return divided(sum_of(map(gram_of, pieces)))
        derivatives, parts = self._derivatives, []
        for block in self._blocks(derivatives):
            layers, columns = self._block(derivatives, block)
            if layers:
                uncentered = sum_of(self._gram_of_layer(*layer) for layer in layers)
                parts.append(self._center_gram(uncentered))
            if columns is not None:
                # XLA would fuse the product with a sum, which is slower
                parts.append(jax.lax.optimization_barrier(gram_of(columns)))
        return divided(sum_of(parts))

    def _center_gram(self, gram: Array) -> Array:
        """Rows and columns (rows, rows) of a symmetric (w, k, w, k), centered."""
        # the means as products with a vector, faster than reductions on a CPU
        means = jnp.einsum("ikjl,j->ikl", gram, self.weights)
        mean = jnp.einsum("ikl,i->kl", means, self.weights)
        others = jnp.moveaxis(means, -1, 0)  # the matrix is symmetric
        roots = jnp.sqrt(self.weights)
        scale = roots[:, None, None, None] * roots[None, None, :, None]
        centered = gram - means[:, :, None, :] - others[None] + mean[None, :, None, :]
        rows = gram.shape[0] * gram.shape[1]
        return (scale * centered).reshape(rows, rows)

    def metric(self) -> Array:
        """O^T O (p, p), for p no larger than the number of rows."""
        columns = self.columns()
        return columns.T @ columns

    def columns(self) -> Array:
        """O (rows, p)."""
        pieces = self._held
        if pieces is None:
            blocks = self._blocks(self._leafwise)
            pieces = [self._block(self._leafwise, block)[1] for block in blocks]
        return jnp.concatenate(pieces, axis=1)

    def operations(self) -> dict[str, float]:
        """Multiplications to evaluate and to factorize `metric` and `gram`."""
        rows, p = self.weights.shape[0] * self.n_parts, n_parameters(self.params)
        width = 0
        for item in self._shapes:
            a, b = item.inputs.shape[1], item.signals.shape[2]
            width += a + b if is_rank_one(item) else a * b
        return {
            "parameters": rows * p**2 + p**3 / 3,
            "samples": rows**2 * width + rows**3 / 3,
        }

    @cached_property
    def _shapes(self) -> tuple[OuterProducts, ...]:
        """Shapes of the derivatives of one walker."""
        return jax.eval_shape(self._derivatives, self._walker)

    @cached_property
    def _held(self) -> list[Array] | None:
        """Columns of O (rows, size) of each leaf; None if too many or not required."""
        if self._n_bytes > self.memory or any(map(is_rank_one, self._shapes)):
            return None

        def of_walker(x):
            return [item.signals[:, 0] for item in self._leafwise(x)]

        columns = chunked_map(of_walker, self.walkers, self.chunk_size)
        return [self.center(leaf) for leaf in columns]

    @property
    def _n_bytes(self) -> int:
        """Of all columns."""
        rows = self.weights.shape[0] * self.n_parts
        return rows * n_parameters(self.params) * self.weights.dtype.itemsize

    @property
    def _derivatives(self) -> Callable[[Configuration], tuple[OuterProducts, ...]]:
        """By layers for an ansatz with `LogDerivatives`, else by leaves."""
        if isinstance(self.ansatz, LogDerivatives):
            return partial(self.ansatz.log_derivatives, self.params)
        return self._leafwise

    def _log_psi(self, params: Params, x: Configuration) -> Array:
        return self.ansatz.apply(params, x).parts

    def _leafwise(self, x: Configuration) -> tuple[OuterProducts, ...]:
        """The derivatives by each leaf of the parameters, a matrix of one row."""
        jacobian = jax.jacrev(self._log_psi)(self.params, x)
        matrices = [
            leaf.reshape(leaf.shape[0], 1, -1) for leaf in jax.tree.leaves(jacobian)
        ]
        return tuple(OuterProducts(jnp.ones((1, 1), m.dtype), m) for m in matrices)

    def _blocks(self, derivatives: Callable) -> list[list[tuple[int, int, int]]]:
        """Groups of (item, start, stop) of signals, each within the memory."""
        items = jax.eval_shape(derivatives, self._walker)
        k, _, _ = items[0].signals.shape
        row = self.weights.shape[0] * k * items[0].signals.dtype.itemsize
        room = max(1, self.memory // row)
        blocks, used = [[]], 0
        for i, item in enumerate(items):
            width = 1 if is_rank_one(item) else item.inputs.shape[1]
            step, size = max(1, room // width), item.signals.shape[2]
            for start in range(0, size, step):
                stop = min(start + step, size)
                if used and used + width * (stop - start) > room:
                    blocks, used = [*blocks, []], 0
                blocks[-1].append((i, start, stop))
                used += width * (stop - start)
        return blocks

    def _block(
        self, derivatives: Callable, block: list[tuple[int, int, int]]
    ) -> tuple[list[tuple[Array, Array]], Any]:
        """Inputs (w, a), signals (w, k, b) of layers; columns (rows, c) of others."""

        def of_walker(x):
            items = derivatives(x)
            layers, columns = [], []
            for i, start, stop in block:
                inputs, signals = items[i]
                signals = signals[:, :, start:stop]
                if is_rank_one(items[i]):
                    layers.append((inputs[0], signals[:, 0]))
                else:
                    matrices = jnp.einsum("ra,krb->kab", inputs, signals)
                    columns.append(matrices.reshape(signals.shape[0], -1))
            return layers, jnp.concatenate(columns, axis=1) if columns else None

        layers, columns = chunked_map(of_walker, self.walkers, self.chunk_size)
        return layers, None if columns is None else self.center(columns)

    def _gram_of_layer(self, a: Array, g: Array) -> Array:
        """(a_i . a_j) (g_ik . g_jl), up to a term that centering removes, (w, k, w, k).

        With a = <a> + a' and g = <g> + g', these are products of <a> g'^T + a' g^T,
        without the constant <a> <g>^T, whose rounding errors could dominate.
        """
        mean_a = self.weights @ a
        mean_g = jnp.einsum("w,wkb->kb", self.weights, g)
        a, g = a - mean_a[None], g - mean_g[None]
        aa, tilt = a @ a.T, a @ mean_a  # a'_i . a'_j and a'_i . <a>
        gg = jnp.einsum("ikb,jlb->ikjl", g, g)
        left = jnp.einsum("ikb,lb->ikl", g, mean_g)[:, :, None, :]  # g'_ik . <g>_l
        right = jnp.einsum("kb,jlb->kjl", mean_g, g)[None]
        level = (mean_g @ mean_g.T)[None, :, None, :]
        gram = (
            (mean_a @ mean_a) * gg
            + tilt[None, None, :, None] * (gg + left)
            + tilt[:, None, None, None] * (gg + right)
            + aa[:, None, :, None] * (gg + left + right + level)
        )
        # fused with the centering that follows, it is slower on a CPU
        return jax.lax.optimization_barrier(gram)


def is_rank_one(item: OuterProducts) -> bool:
    """Whether inputs and signals take less memory than the matrix of their product."""
    rows, columns = item.inputs.shape
    return rows == 1 and min(columns, item.signals.shape[2]) > 1


def gram_of(columns: Array) -> Array:
    """O O^T (rows, rows) of columns O (rows, c).

    On several devices, each exchanges its rows of many columns for all rows of a part
    of them, and adds to the whole matrix: less to move than a copy of O to every
    device. With few columns, each device receives O and evaluates its rows.
    """
    rows, c = columns.shape
    many = c > rows
    columns = divided(columns, 1) if many else columns
    product = jnp.einsum("rc,sc->rs", columns, columns)
    return product if many else divided(product, 0)


def sum_of(arrays: Iterable[Array]) -> Array:
    """The sum of one array or more."""
    return reduce(jnp.add, arrays)


def n_parameters(params: Params) -> int:
    """Number of real parameters."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))

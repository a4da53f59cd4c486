"""The determinant of K wave functions in K systems side by side."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.checks import positive, require, whole
from nqs.ratios.sites import RatiosOfMoves, site_ratios_of
from nqs.types import Ansatz, Configuration, LogPsi, Params


class StateCache(NamedTuple):
    """The matrix of one configuration on a lattice, and what its changes require."""

    of_states: Any  # caches of the ratios of the ansatz, leading axes (K, K)
    matrix: Array  # A (K, K), rows scaled
    determinant: LogPsi  # of the matrix


@dataclasses.dataclass(frozen=True)
class States(RatiosOfMoves):
    """Determinant of K wave functions of one ansatz in K systems side by side.

    A change of a lattice site changes one row of the matrix, by the ratios of the
    ansatz.

    Attributes:
      ansatz: of one state in one system; the K states differ in their parameters.
      count: K.
      noise: standard deviation of normal numbers added to the first parameters of every
        state, without which those of an ansatz that starts from constants are equal.
      shared: names of layers whose parameters are common to all states.

    Raises:
      ValueError: if count is not at least 2, or noise is negative.
    """

    ansatz: Ansatz
    count: int
    noise: float = 0.02
    shared: tuple[str, ...] = ("MessagePassing_0",)

    def __post_init__(self):
        require(self, whole, "count", least=2)
        positive("noise", self.noise, zero=True)

    def init(self, key: Array, x: Configuration, /) -> Params:
        """Parameters with a leading axis (K,), except those of the shared layers."""
        first = jax.tree.map(lambda leaf: leaf[0], systems(x, self.count))
        key_start, key_noise = jax.random.split(key)
        keys = jax.random.split(key_start, self.count)
        stacked = jax.vmap(lambda key: self.ansatz.init(key, first))(keys)
        leaves, treedef = jax.tree.flatten(stacked)
        keys = jax.random.split(key_noise, len(leaves))
        noisy = [
            leaf[0]
            if axis is None
            else leaf + self.noise * jax.random.normal(key, leaf.shape, leaf.dtype)
            for key, leaf, axis in zip(keys, leaves, self._axes(stacked), strict=True)
        ]
        return jax.tree.unflatten(treedef, noisy)

    def apply(self, params: Params, x: Configuration, /) -> LogPsi:
        """Log of the determinant at K systems x side by side."""
        matrix, scale = self._matrix(params, systems(x, self.count))
        sign, logabs = jnp.linalg.slogdet(matrix)
        return LogPsi(sign, logabs + jnp.sum(scale))

    def matrix(self, f: Callable, params: Params, x: Configuration) -> Any:
        """A^-1 (F A) (K, K) with (F A)_ji = f(ansatz, params_i, x^j) psi_i(x^j).

        `f` returns a pytree of local values (), such as the terms of a Hamiltonian; the
        result has a matrix for each.
        """
        each = systems(x, self.count)
        a, _ = self._matrix(params, each)
        local = self._of_all(lambda p, x: f(self.ansatz, p, x), params, each)
        return jax.tree.map(lambda values: jnp.linalg.solve(a, values * a), local)

    def values(self, params: Params, x: Configuration) -> Array:
        """psi_i (K,) of the first system, scaled to a largest entry 1."""
        first = jax.tree.map(lambda leaf: leaf[:1], systems(x, self.count))
        return self._matrix(params, first)[0][0]

    def site_tables(self, params: Params) -> tuple[Params, Any]:
        """The parameters, and tables of every state."""
        tables = site_ratios_of(self.ansatz).site_tables
        return params, self._of_states(tables, params)(params)

    def site_cache(self, tables: tuple[Params, Any], x: Array) -> StateCache:
        """Matrix and caches of levels x (K s,)."""
        params, of_states = tables
        each = systems(x, self.count)
        cache = jax.vmap(site_ratios_of(self.ansatz).site_cache, (0, None))
        matrix, _ = self._matrix(params, each)
        caches = jax.vmap(cache, (None, 0))(of_states, each)
        return StateCache(caches, matrix, LogPsi(*jnp.linalg.slogdet(matrix)))

    def site_move(
        self,
        tables: tuple[Params, Any],
        cache: StateCache,
        x: Array,
        sites: Array,
        values: Array,
    ) -> tuple[Array, StateCache]:
        """The ratio () of a change (k,) within one system, and the cache after it."""
        n_sites = x.shape[0] // self.count
        j = sites[0] // n_sites
        row = jax.tree.map(lambda leaf: leaf[j], cache.of_states)
        move = jax.vmap(site_ratios_of(self.ansatz).site_move, (0, 0, *[None] * 3))
        x_j = systems(x, self.count)[j]
        ratios, row = move(tables[1], row, x_j, sites - j * n_sites, values)
        matrix = cache.matrix.at[j].multiply(ratios)
        determinant = LogPsi(*jnp.linalg.slogdet(matrix))
        caches = jax.tree.map(
            lambda leaf, new: leaf.at[j].set(new), cache.of_states, row
        )
        moved = StateCache(caches, matrix, determinant)
        # two equal systems are a node, which every move may leave
        old, least = cache.determinant, jnp.maximum(determinant.logabs, -1e3)
        at_node = old.sign == 0
        phase = jnp.where(at_node, jnp.ones_like(old.sign), old.sign)
        logabs = jnp.where(at_node, least, old.logabs)
        return determinant.over(LogPsi(phase, logabs)), moved

    def _matrix(self, params: Params, each: Configuration) -> tuple[Array, Array]:
        """A (K, K) with rows scaled to a largest entry 1, and log scales (K,)."""
        psi = self._of_all(self.ansatz.apply, params, each)
        scale = jnp.max(psi.logabs, axis=1)
        matrix = psi.sign * jnp.exp(psi.logabs - scale[:, None])
        return matrix, scale

    def _of_all(self, f: Callable, params: Params, each: Configuration) -> Any:
        """f(params_i, x^j), arrays (K, K) with rows j."""
        return jax.vmap(self._of_states(f, params, None), (None, 0))(params, each)

    def _of_states(self, f: Callable, params: Params, *others: int | None) -> Callable:
        """A function of the parameters of every state and of further arguments."""
        axes = jax.tree.unflatten(jax.tree.structure(params), self._axes(params))
        return jax.vmap(f, (axes, *others), axis_size=self.count)

    def _axes(self, params: Params) -> list[int | None]:
        """The axis of the states of every leaf; None where it is shared."""
        paths, _ = jax.tree_util.tree_flatten_with_path(params)
        return [
            None if any(getattr(k, "key", None) in self.shared for k in path) else 0
            for path, _ in paths
        ]


def systems(x: Configuration, count: int) -> Configuration:
    """The configurations of `count` systems side by side, with a leading axis."""

    def split(leaf):
        return leaf.reshape(count, leaf.shape[0] // count, *leaf.shape[1:])

    return jax.tree.map(split, x)

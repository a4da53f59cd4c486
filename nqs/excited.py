"""Excited states: the K lowest states as the ground state of K systems side by side.

A configuration X holds K independent ones, x^1 to x^K, and of K wave functions psi_i

    Psi(X) = det A,    A_ji = psi_i(x^j).

Psi is antisymmetric in the systems, hence the lowest mean of sum_j H_j is the sum of
the K lowest levels, where the psi_i span their states: training, sampling and files are
those of a ground state. Its local energy is the trace of A^-1 (H A), with (H A)_ji =
(H psi_i)(x^j). Averages of A^-1 (O A) are S^-1 <psi_i|O|psi_l>, the matrix of any
operator O in the basis of the psi_i with overlaps S; the levels are the eigenvalues of
that of H, and its eigenvectors turn every other matrix to the basis of eigenstates.

D. Pfau, S. Axelrod, H. Sutterud, I. von Glehn and J. S. Spencer, Science 385, eadn0137
(2024).
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import positive, require, whole
from nqs.ratios.sites import RatiosOfMoves, site_ratios_of
from nqs.types import (
    Ansatz,
    Configuration,
    Hamiltonian,
    LogPsi,
    Observable,
    Params,
    Reference,
    Walkers,
    sum_of_terms,
)


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


@dataclasses.dataclass(frozen=True)
class SideBySide(Hamiltonian):
    """K equal systems without interaction, sum_j H_j, for the ansatz `States`.

    A configuration of particles is (K n, d), of a lattice (K s,).

    Attributes:
      system: Hamiltonian of one system.
      count: K.
    """

    system: Hamiltonian
    count: int

    def __post_init__(self):
        require(self, whole, "count", least=2)

    @property
    def n(self) -> int:
        """Particles or sites of all systems."""
        return self.count * self.system.n

    @property
    def energy_unit(self) -> str:
        """That of one system."""
        return self.system.energy_unit

    @property
    def length_unit(self) -> str | None:
        """That of one system."""
        return self.system.length_unit

    @property
    def length_scale(self) -> float:
        """That of one system."""
        return self.system.length_scale

    def terms(self, ansatz: Ansatz, params: Params, x: Configuration) -> dict[str, Any]:
        """Sums over the systems of the terms of one: traces of their matrices."""
        if not isinstance(ansatz, States):
            raise ValueError(
                f"ansatz must be States of {self.count} states for SideBySide, got "
                f"{type(ansatz).__name__}"
            )
        matrices = ansatz.matrix(self.system.terms, params, x)
        return {name: jnp.trace(matrix) for name, matrix in matrices.items()}

    def initial_walkers(self, key: Array, n_walkers: int) -> Walkers:
        """Independent walkers of every system, side by side."""
        n_walkers = whole("n_walkers", n_walkers)
        one = self.system.initial_walkers(key, n_walkers * self.count)

        def joined(leaf):
            return leaf.reshape(n_walkers, -1, *leaf.shape[2:])

        return jax.tree.map(joined, one)

    def spectrum(self, count: int) -> tuple[Reference, ...]:
        """Those of one system."""
        return self.system.spectrum(count)

    def references(self) -> tuple[Reference, ...]:
        """The sum of the levels, where all are known."""
        levels = self.spectrum(self.count)
        if len(levels) < self.count:
            return ()
        total = sum(level.value for level in levels)
        error = float(np.linalg.norm([level.error for level in levels]))
        source = f"sum of {self.count} levels: {levels[0].source}"
        return (Reference(total, error, levels[0].kind, source),)


@dataclasses.dataclass(frozen=True)
class StateMatrices:
    """Matrices of the energy and of operators in the basis of the trained states.

    Attributes:
      hamiltonian: of the K systems.
      operators: scalar observables of one system.
    """

    hamiltonian: SideBySide
    operators: tuple[Observable, ...] = ()

    name = "state_matrices"
    axes = ()  # no figure

    @property
    def grid(self) -> np.ndarray:
        """Numbers (K, K, 2) of the states of row and column."""
        return np.moveaxis(np.indices((self.hamiltonian.count,) * 2), 0, -1)

    def __call__(self, ansatz: States, params: Params, x: Configuration) -> Array:
        """A^-1 (O A) (1 + operators, K, K), of the energy first."""
        system = self.hamiltonian.system

        def local(ansatz, params, x):
            energy = sum_of_terms(system.terms(ansatz, params, x))
            return [energy, *(f(ansatz, params, x) for f in self.operators)]

        return jnp.stack(ansatz.matrix(local, params, x))

    def series(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Levels and matrix elements, of samples (..., 1 + operators, K, K)."""
        return levels(values, [operator.name for operator in self.operators])


def levels(values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Series of levels, of expectation values and of squared matrix elements.

    With M = <A^-1 (H A)> = R diag(E) R^-1, the matrix of any operator between
    eigenstates is R^-1 <A^-1 (O A)> R. To first order in the deviations dM and dO of
    one sample, with D = R^-1 dM R and C_ab = D_ab / (E_b - E_a) for a != b,

        dE_a = D_aa,    d(R^-1 O R) = R^-1 dO R + [R^-1 O R, C].

    Each series is the function of the means plus that deviation, so that the error of
    its mean is that of the function.

    Args:
      values: (..., 1 + o, K, K) samples of the matrix of the energy and of o operators.
      names: of the operators.

    Returns:
      "level_a"; "gap_a", above the lowest level; for every operator "NAME_a" in
      eigenstate a, and "NAME_a_b" for a < b,
      the |<a|O|b>|^2, with arrays (...); states in the order of their energy. Elements
      between degenerate states depend on which of them are called eigenstates.
    """
    mean = values.mean(axis=tuple(range(values.ndim - 3)))
    energies, right = np.linalg.eig(mean[0])
    order = np.argsort(np.real(energies))
    energies, right = energies[order], right[:, order]
    rotated = np.linalg.inv(right) @ values @ right  # (..., 1 + o, K, K)
    operators = np.linalg.inv(right) @ mean @ right
    deviations = rotated - operators
    gaps = energies[None, :] - energies[:, None]
    inverse = np.divide(1, gaps, np.zeros_like(gaps), where=gaps != 0)
    mixing = deviations[..., 0, :, :] * inverse
    found = {
        f"level_{a}": (energies[a] + deviations[..., 0, a, a]).real
        for a in range(len(energies))
    }
    for a in range(1, len(energies)):
        found[f"gap_{a}"] = found[f"level_{a}"] - found["level_0"]
    for o, name in enumerate(names, 1):
        element = operators[o]
        change = deviations[..., o, :, :] + element @ mixing - mixing @ element
        for a in range(len(energies)):
            found[f"{name}_{a}"] = (element[a, a] + change[..., a, a]).real
            for b in range(a + 1, len(energies)):
                # products, because the norms of the states are unknown
                square = element[a, b] * element[b, a]
                slope = change[..., a, b] * element[b, a]
                slope = slope + element[a, b] * change[..., b, a]
                found[f"{name}_{a}_{b}"] = (square + slope).real
    return found

"""Exact diagonalization of lattice models without their matrix."""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.sparse.linalg import LinearOperator, eigsh

from nqs.batching import chunked_map
from nqs.types import Reference

if TYPE_CHECKING:
    from hamiltonians.lattice_model import LatticeModel

LARGEST = 2**21  # configurations
DENSE = 64  # configurations of a matrix that is written down
QUICK = 2**17  # configurations that take a second or two
SOURCE = "exact diagonalization (Lanczos)"


class GroundState(NamedTuple):
    """The lowest eigenvalue, and psi (c,) in the order of `configurations`."""

    energy: float
    psi: np.ndarray


def dimension(model: "LatticeModel") -> int:
    """The number of configurations with the conserved sums."""
    if not model.totals:
        return model.levels**model.size
    n, q, most = model.size // len(model.totals), model.levels, max(model.totals)
    ways = [1] + most * [0]  # of each sum
    for _ in range(n):
        ways = [sum(ways[max(0, m - q + 1) : m + 1]) for m in range(most + 1)]
    return math.prod(ways[total] for total in model.totals)


def configurations(model: "LatticeModel") -> np.ndarray:
    """All allowed levels (c, s), in the order of their digits.

    Raises:
      ValueError: if there are more than `LARGEST`, or their digits more than 2^63.
    """
    if (found := dimension(model)) > LARGEST or not _have_codes(model):
        raise ValueError(
            f"configurations must be at most {LARGEST}, got "
            f"{model.levels}^{model.size}, {found} with the conserved sums"
        )
    totals = model.totals or (None,)
    n, x = model.size // len(totals), np.zeros((1, 0), int)
    for total in totals:
        x = _joined(x, _filled(n, model.levels, total))
    return x


def _have_codes(model: "LatticeModel") -> bool:
    return model.levels**model.size < 2**63


def _filled(n: int, q: int, total: int | None) -> np.ndarray:
    """Levels (c, n) of n sites, with their sum if there is one."""
    x = np.zeros((1, 0), int)
    for rest in range(n - 1, -1, -1):
        x = _joined(x, np.arange(q)[:, None])
        if total is not None:
            left = total - x.sum(axis=1)
            x = x[(left >= 0) & (left <= rest * (q - 1))]
    return x


def _joined(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Every row of x (a, n) followed by every row of y (b, m), (a b, n + m)."""
    return np.hstack([np.repeat(x, len(y), axis=0), np.tile(y, (len(x), 1))])


def _places(codes: np.ndarray, size: int) -> Callable[[Array], Array]:
    """The function from codes to their positions in a rising series of them."""
    if size > 4 * LARGEST:
        return partial(jnp.searchsorted, jnp.asarray(codes))
    table = np.zeros(size, np.int32)
    table[codes] = np.arange(len(codes))
    return jnp.asarray(table).__getitem__


def operator(model: "LatticeModel") -> tuple[np.ndarray, Callable]:
    """The configurations (c, s), and the compiled function psi (c,) -> H psi (c,)."""
    x = configurations(model)
    weights = model.levels ** np.arange(model.size - 1, -1, -1)
    place = _places(x @ weights, model.levels**model.size)
    digits = jnp.asarray(x, jnp.int8)

    @jax.jit
    def product(psi, digits):  # an argument, because XLA would fold a constant
        def row(x):
            x = x.astype(int)
            code = x @ weights
            found = model.connected(x)
            steps = (found.values - x[found.sites]) * jnp.asarray(weights)[found.sites]
            there = psi[place(code + jnp.sum(steps, axis=1))]
            diagonal = sum(model.diagonal(x).values())
            return diagonal * psi[place(code)] + jnp.sum(found.elements * there)

        return chunked_map(row, digits, 4096)

    return x, lambda psi: product(psi, digits)


def ground_state(model: "LatticeModel") -> GroundState:
    """Energy and wave function of the ground state."""
    energies, vectors = lowest_states(model, 1)
    return GroundState(float(energies[0]), vectors[:, 0])


def lowest_states(model: "LatticeModel", count: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest levels (k,), and their wave functions (c, k)."""
    x, times = operator(model)
    kind = jax.eval_shape(model.connected, jnp.asarray(x[0])).elements.dtype
    kind = complex if jnp.issubdtype(kind, jnp.complexfloating) else float
    if len(x) <= max(DENSE, 2 * count):
        columns = [np.asarray(times(row)) for row in np.eye(len(x), dtype=kind)]
        energies, vectors = np.linalg.eigh(np.stack(columns, axis=1))
        return energies[:count], vectors[:, :count]
    found, k = np.zeros((len(x), 0), kind), count
    values, rng = np.zeros(0), np.random.default_rng(0)

    def product(v):  # the states that are found are moved far up
        v = v.ravel()
        return np.asarray(times(v)) + found @ (shift * (found.conj().T @ v))

    size, shift = (len(x), len(x)), 0.0
    while True:
        matrix = LinearOperator(size, product, dtype=kind)  # pyright: ignore
        start = rng.normal(size=len(x)).astype(kind)
        more, vectors = eigsh(matrix, k=k, which="SA", v0=start)
        highest = np.sort(values)[count - 1] if len(values) else math.inf
        if len(values) and more[0] > highest - 1e-9 * (1 + abs(highest)):
            break
        values = np.concatenate([values, more])
        found = np.concatenate([found, vectors], axis=1)
        if count == 1:
            break
        # one start vector sees one state of a degenerate level: search the rest
        k, shift = 1, 10 * (1 + np.ptp(values) + abs(values).max())
    order = np.argsort(values)[:count]
    return values[order], found[:, order]


def diagonalized(model: "LatticeModel", count: int = 1) -> tuple[Reference, ...]:
    """The lowest exact energies if they take seconds, else nothing."""
    if dimension(model) > QUICK or not _have_codes(model):
        return ()
    with jax.enable_x64(True):
        energies, _ = lowest_states(model, count)
    return tuple(Reference(float(e), 0.0, "exact", SOURCE) for e in energies)

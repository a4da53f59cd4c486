"""Exact diagonalization of lattice models without their matrix."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from nqs.batching import chunked_map
from nqs.types import Reference

if TYPE_CHECKING:
    from hamiltonians.lattice_model import LatticeModel

LARGEST = 2**21  # configurations
QUICK = 2**17  # configurations that take a second or two
SOURCE = "exact diagonalization (Lanczos)"


class GroundState(NamedTuple):
    """The lowest eigenvalue, and psi (c,) in the order of `configurations`."""

    energy: float
    psi: np.ndarray


def configurations(model: "LatticeModel") -> np.ndarray:
    """All allowed levels (c, s), in the order of their digits.

    Raises:
      ValueError: if there are more than `LARGEST`.
    """
    q, n, total = model.levels, model.n, model.total
    if n * np.log(q) > np.log(2 * LARGEST) or q**n > LARGEST:
        raise ValueError(f"configurations must be at most {LARGEST}, got {q}^{n}")
    codes = np.arange(q**n)
    digits = codes[:, None] // q ** np.arange(n - 1, -1, -1)[None, :] % q
    return digits if total is None else digits[digits.sum(axis=1) == total]


def operator(model: "LatticeModel") -> tuple[np.ndarray, Callable]:
    """The configurations (c, s), and the compiled function psi (c,) -> H psi (c,)."""
    x = configurations(model)
    weights = model.levels ** np.arange(model.n - 1, -1, -1)
    position = np.zeros(model.levels**model.n, np.int32)
    position[x @ weights] = np.arange(len(x))
    digits, place = jnp.asarray(x, jnp.int8), jnp.asarray(position)

    @jax.jit
    def times(psi):
        def row(x):
            x = x.astype(int)
            code = x @ weights
            found = model.connected(x)
            steps = (found.values - x[found.sites]) * jnp.asarray(weights)[found.sites]
            there = psi[place[code + jnp.sum(steps, axis=1)]]
            diagonal = sum(model.diagonal(x).values())
            return diagonal * psi[place[code]] + jnp.sum(found.elements * there)

        return chunked_map(row, digits, 4096)

    return x, times


def ground_state(model: "LatticeModel") -> GroundState:
    """Energy and wave function of the ground state."""
    energies, vectors = lowest_states(model, 1)
    return GroundState(float(energies[0]), vectors[:, 0])


def lowest_states(model: "LatticeModel", count: int) -> tuple[np.ndarray, np.ndarray]:
    """The lowest levels (k,), and their wave functions (c, k)."""
    x, times = operator(model)
    if len(x) <= max(64, 2 * count):
        matrix = np.stack([np.asarray(times(row)) for row in np.eye(len(x))])
        energies, vectors = np.linalg.eigh(matrix)
        return energies[:count], vectors[:, :count]

    def product(v):
        return np.asarray(times(v.ravel()))

    size = (len(x), len(x))
    matrix = LinearOperator(size, product, dtype=float)  # pyright: ignore
    start = np.random.default_rng(0).normal(size=len(x))
    energies, vectors = eigsh(matrix, k=count, which="SA", v0=start)
    order = np.argsort(energies)
    return energies[order], vectors[:, order]


def diagonalized(model: "LatticeModel", count: int = 1) -> tuple[Reference, ...]:
    """The lowest exact energies if they take seconds, else nothing."""
    if model.n * np.log(model.levels) > np.log(QUICK):
        return ()
    with jax.enable_x64(True):
        energies, _ = lowest_states(model, count)
    return tuple(Reference(float(e), 0.0, "exact", SOURCE) for e in energies)

"""Overlaps of the trained states, up to their norms.

The systems of a configuration are distributed alike. With v = (psi_1(x), ...) of one of
them and overlaps S_ab = <psi_b|psi_a>, its density is v^+ S^-1 v / K, hence

    S = K < v v^+ / (v^+ S^-1 v) > ,

which determines S up to a factor, unless few configurations carry the samples: K of
them, or a part of the samples near k / K in k dimensions. It is iterated for the
average over all samples: Tyler's estimator of a shape. To first order in a deviation of
that average, in the basis where S = 1 and with u = v / |v|,

    dS = (1 - T)^-1 (K u u^+ - 1),    T(X) = K < u u^+ (u^+ X u) > .

D. E. Tyler, Annals of Statistics 15, 234 (1987).
"""

import dataclasses
import math

import numpy as np
from jax import Array

from nqs.checks import name_of
from nqs.excited.states import States
from nqs.types import Configuration, Params

ROUNDS = 500  # most of the iteration
TOLERANCE = 1e-9  # of K <u u^+> = 1
LEAST = 0.05  # response, 1 - T, that determines the shape; K / (K + 2) for normal v


@dataclasses.dataclass(frozen=True)
class StateOverlaps:
    """Overlaps |<a|b>| / (|a| |b|) of the trained states, before they are mixed."""

    name = "state_overlaps"
    grid = None

    def __call__(self, ansatz: States, params: Params, x: Configuration) -> Array:
        """Values (K,) of the states in the first system, up to a factor.

        Raises:
          ValueError: for an ansatz of one state.
        """
        if not isinstance(ansatz, States):
            raise ValueError(f"ansatz must be States, got {name_of(ansatz)}")
        return ansatz.values(params, x)

    def series(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Series "overlap_a_b" for a < b, of samples (..., K)."""
        return overlaps(values)


def overlaps(values: np.ndarray) -> dict[str, np.ndarray]:
    """Series of overlaps, each with the mean and the error of the estimate.

    Args:
      values: (..., K) of the states, drawn from the determinant of K systems; the
        factor of a sample does not matter.

    Returns:
      Arrays (...): "overlap_a_b" for a < b, 0 for orthogonal states and 1 for equal
      ones; NaN if samples are not finite, or do not determine S.
    """
    k = values.shape[-1]
    pairs = [(a, b) for a in range(k) for b in range(a + 1, k)]
    try:
        root = np.linalg.cholesky(shape_of(values.reshape(-1, k)))
        u = _unit(values @ np.linalg.inv(root).T)
        squares = np.einsum("...i,...j->...ij", u, u.conj())
        squares = squares.reshape(*u.shape[:-1], k * k)
        inverse = _response(squares.reshape(-1, k * k))
    except np.linalg.LinAlgError:
        unknown = np.full(values.shape[:-1], np.nan)
        return {f"overlap_{a}_{b}": unknown for a, b in pairs}
    shape, found = root @ root.conj().T, {}
    for a, b in pairs:
        overlap, slope = _overlap(shape, a, b)
        slope = inverse @ (root.conj().T @ slope @ root).ravel()
        trace = np.sum(np.real(slope[:: k + 1]))
        change = k * np.real(squares @ slope.conj()) - trace
        found[f"overlap_{a}_{b}"] = overlap + change
    return found


def shape_of(vectors: np.ndarray) -> np.ndarray:
    """Tyler's estimate (K, K), with trace K, from vectors (m, K).

    Raises:
      LinAlgError: if vectors are zero or not finite, or do not determine it.
    """
    k = vectors.shape[1]
    shape = np.eye(k, dtype=vectors.dtype)
    if not np.isfinite(vectors).all() or not np.any(vectors, axis=1).all():
        raise np.linalg.LinAlgError("vectors must be finite and not zero")
    for _ in range(ROUNDS):
        root = np.linalg.cholesky(shape)
        u = _unit(vectors @ np.linalg.inv(root).T)
        mean = k * (u.T @ u.conj()) / len(u)  # 1 in the end
        shape = root @ mean @ root.conj().T
        shape *= k / np.real(np.trace(shape))
        if np.max(np.abs(mean - np.eye(k))) < TOLERANCE:
            return shape
    raise np.linalg.LinAlgError(f"no shape after {ROUNDS} rounds")


def _response(squares: np.ndarray) -> np.ndarray:
    """(1 - T)^-1 (K^2, K^2) from u u^+ (m, K^2); 0 for the factor of S.

    Raises:
      LinAlgError: if another direction has almost no response.
    """
    k = math.isqrt(squares.shape[1])
    response = np.eye(k * k) - k * squares.T @ squares.conj() / len(squares)
    values, vectors = np.linalg.eigh(response)
    if values[1] < LEAST:
        raise np.linalg.LinAlgError("the samples do not determine the shape")
    return (vectors[:, 1:] / values[1:]) @ vectors[:, 1:].conj().T


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _overlap(shape: np.ndarray, a: int, b: int) -> tuple[float, np.ndarray]:
    """|S_ab| / sqrt(S_aa S_bb), and B with the change Re tr(B^+ dS)."""
    norm = np.sqrt(np.real(shape[a, a] * shape[b, b]))
    size, slope = np.abs(shape[a, b]), np.zeros_like(shape)
    if size:
        slope[a, b] = shape[a, b] / (size * norm)
    for c in (a, b):
        slope[c, c] = -size / (2 * norm * np.real(shape[c, c]))
    return size / norm, (slope + slope.conj().T) / 2

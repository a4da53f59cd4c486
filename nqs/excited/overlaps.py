"""Overlaps of the trained states, up to their norms.

The systems of a configuration are distributed alike. With v = (psi_1(x), ...) of one of
them and overlaps S_ab = <psi_b|psi_a>, its density is v^+ S^-1 v / K, hence

    S = K < v v^+ / (v^+ S^-1 v) > ,

which determines S up to a factor. It is iterated for the average over all samples:
Tyler's estimator of a shape. To first order in a deviation of that average, in the
basis where S = 1 and with u = v / |v|,

    dS = (1 - T)^-1 (K u u^+ - 1),    T(X) = K < u u^+ (u^+ X u) > .

D. E. Tyler, Annals of Statistics 15, 234 (1987).
"""

import dataclasses

import numpy as np
from jax import Array

from nqs.excited.states import States
from nqs.types import Configuration, Params

ROUNDS = 500  # most of the iteration
TOLERANCE = 1e-12  # of the shape


@dataclasses.dataclass(frozen=True)
class StateOverlaps:
    """Overlaps |<a|b>| / (|a| |b|) of the trained states, before they are mixed."""

    name = "state_overlaps"
    grid = None

    def __call__(self, ansatz: States, params: Params, x: Configuration) -> Array:
        """Values (K,) of the states in the first system, up to a factor."""
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
      ones; NaN if samples are not finite, or too few of them differ.
    """
    k = values.shape[-1]
    pairs = [(a, b) for a in range(k) for b in range(a + 1, k)]
    try:
        root = np.linalg.cholesky(shape_of(values.reshape(-1, k)))
    except np.linalg.LinAlgError:
        unknown = np.full(values.shape[:-1], np.nan)
        return {f"overlap_{a}_{b}": unknown for a, b in pairs}
    u = _unit(values @ np.linalg.inv(root).T)
    squares = np.einsum("...i,...j->...ij", u, u.conj()).reshape(*u.shape[:-1], k * k)
    flat = squares.reshape(-1, k * k)
    response = np.eye(k * k) - k * flat.T @ flat.conj() / len(flat)
    # a change of the factor of S has no response, and no overlap depends on it
    inverse = np.linalg.pinv(response, 1e-8, hermitian=True)
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

    A LinAlgError if vectors are not finite, or too few of them differ.
    """
    k = vectors.shape[1]
    if not np.isfinite(vectors).all():
        raise np.linalg.LinAlgError("vectors must be finite")
    shape = np.eye(k, dtype=vectors.dtype)
    for _ in range(ROUNDS):
        root = np.linalg.cholesky(shape)
        u = _unit(vectors @ np.linalg.inv(root).T)
        new = root @ (u.T @ u.conj()) @ root.conj().T
        new *= k / np.real(np.trace(new))
        done = np.max(np.abs(new - shape)) < TOLERANCE
        shape = new
        if done:
            break
    return shape


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

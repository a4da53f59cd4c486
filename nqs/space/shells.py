"""Shells of plane waves: wave vectors of equal length in a periodic cell."""

import itertools
import math

import numpy as np

DEGENERATE = 1e-9  # relative difference of |k|^2 within one shell


def lowest_shells(
    vectors: np.ndarray,
    twists: tuple[float, ...],
    n_waves: int = 0,
    n_shells: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Integers m (k, d) of the plane waves of lowest |k|, and the shell (k,) of each.

    Complete shells, ascending, of at least n_waves waves and n_shells shells. All waves
    within a cutoff are found, as |m_a + twist_a| = |k . a_a| / 2 pi is at most |a_a| /
    2 pi times the cutoff; the last shell may extend beyond it and is left out.

    Args:
      vectors: lattice vectors a_a, rows of (d, d).
      twists: d fractions of the reciprocal lattice vectors, added to m.
      n_waves: least number of waves.
      n_shells: least number of shells.
    """
    d = len(vectors)
    reciprocal = 2 * math.pi * np.linalg.inv(vectors).T
    shift = np.asarray(twists) @ reciprocal
    volume = abs(np.linalg.det(vectors))
    cutoff = 2 * math.pi * (max(n_waves, n_shells) / volume) ** (1 / d)
    while True:
        reach = cutoff * np.linalg.norm(vectors, axis=1) / (2 * math.pi)
        limits = np.ceil(reach + np.abs(twists)).astype(int)
        ranges = (range(-limit, limit + 1) for limit in limits)
        numbers = np.array(list(itertools.product(*ranges)))
        squares = np.sum((numbers @ reciprocal + shift) ** 2, axis=1)
        inside = np.flatnonzero(squares <= cutoff**2)
        order = inside[np.argsort(squares[inside], kind="stable")]
        gaps = np.diff(squares[order], prepend=-(cutoff**2)) > DEGENERATE * cutoff**2
        shell = np.cumsum(gaps) - 1
        complete = shell < (shell[-1] if len(shell) else 0)
        if np.sum(complete) >= n_waves and np.any(shell >= n_shells):
            return numbers[order[complete]], shell[complete]
        cutoff *= 1.3

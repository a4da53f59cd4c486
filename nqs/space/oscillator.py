"""Levels of the harmonic oscillator, and how particles fill them."""

import heapq
from collections.abc import Sequence

import numpy as np

Level = tuple[int, ...]  # quanta k_1, ..., k_d of each axis


def oscillator_levels(n: int, omegas: Sequence[float]) -> list[Level]:
    """The n lowest levels (k_1, ..., k_d), in order of sum_a k_a omega_a.

    Degenerate levels stand in lexicographic order.
    """

    def energy(level: Level) -> float:  # rounded, so that degenerate levels are equal
        return round(float(np.dot(level, omegas)) / max(omegas), 9)

    ground: Level = tuple([0] * len(omegas))
    frontier, seen, levels = [(0.0, ground)], {ground}, []
    while len(levels) < n:
        _, level = heapq.heappop(frontier)
        levels.append(level)
        for axis in range(len(omegas)):
            raised = (*level[:axis], level[axis] + 1, *level[axis + 1 :])
            if raised not in seen:
                seen.add(raised)
                heapq.heappush(frontier, (energy(raised), raised))
    return levels


def filled_levels(n: int, n_up: int | None, omegas: Sequence[float]) -> np.ndarray:
    """(n, d) quanta of n free particles in their ground state; n_up None: bosons."""
    if n_up is None:
        return np.zeros((n, len(omegas)), int)
    up, down = oscillator_levels(n_up, omegas), oscillator_levels(n - n_up, omegas)
    return np.array(up + down)


def level_energy(levels: np.ndarray, omegas: Sequence[float]) -> float:
    """Sum of (k_a + 1/2) omega_a over the axes and the levels (n, d)."""
    return float(np.sum((levels + 0.5) * np.asarray(omegas)))

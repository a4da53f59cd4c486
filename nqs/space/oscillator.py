"""Levels of the harmonic oscillator, and how particles fill them."""

import heapq
from collections.abc import Sequence

import numpy as np

from nqs.space.spins import Spins

Level = tuple[int, ...]  # quanta k_1, ..., k_d of each axis


def oscillator_levels(n: int, omegas: Sequence[float]) -> list[Level]:
    """The n lowest levels by sum_a k_a omega_a.

    Of degenerate levels, those along the first axes come first: (1, 0) before (0, 1).
    So an open shell is well defined.
    """

    def energy(level: Level) -> float:  # rounded, so that degenerate levels are equal
        return round(float(np.dot(level, omegas)) / max(omegas), 9)

    ground: Level = tuple([0] * len(omegas))
    frontier, seen, levels = [(0.0, ground)], {ground}, []
    while len(levels) < n:
        _, backward = heapq.heappop(frontier)
        level = backward[::-1]
        levels.append(level)
        for axis in range(len(omegas)):
            raised = (*level[:axis], level[axis] + 1, *level[axis + 1 :])
            if raised not in seen:
                seen.add(raised)
                heapq.heappush(frontier, (energy(raised), raised[::-1]))
    return levels


def filled_levels(n: int, spins: Spins | None, omegas: Sequence[float]) -> np.ndarray:
    """(n, d) quanta of n free particles in their ground state; spins None: bosons."""
    if spins is None:
        return np.zeros((n, len(omegas)), int)
    levels = [oscillator_levels(count, omegas) for count in (spins.up, spins.down)]
    return np.array(levels[0] + levels[1])


def level_energy(levels: np.ndarray, omegas: Sequence[float]) -> float:
    """Sum of (k_a + 1/2) omega_a over the axes and the levels (n, d)."""
    return float(np.sum((levels + 0.5) * np.asarray(omegas)))


def lowest_energies(
    count: int, n: int, spins: Spins | None, omegas: Sequence[float]
) -> list[float]:
    """The `count` lowest energies of n free particles, degenerate ones repeated."""
    levels = np.array(oscillator_levels(n + count, omegas))
    single = np.sort((levels + 0.5) @ np.asarray(omegas)).tolist()

    def filled(particles: int, once: bool) -> list[float]:
        # the lowest sums of 0, 1, ... levels, each taken once or any number of times
        lowest: list[list[float]] = [[0.0], *([] for _ in range(particles))]
        for energy in single:
            numbers = range(1, particles + 1)
            for k in reversed(numbers) if once else numbers:
                more = [energy + rest for rest in lowest[k - 1]]
                lowest[k] = sorted(lowest[k] + more)[:count]
        return lowest[particles]

    if spins is None:
        return filled(n, once=False)
    up, down = (filled(particles, once=True) for particles in (spins.up, spins.down))
    return sorted(one + other for one in up for other in down)[:count]

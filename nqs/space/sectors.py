"""Sectors of a lattice: momenta, and representations of its point group.

The characters of its one-dimensional representations are

    A1  1
    A2  -1 of reflections
    B1  -1 of rotations by 90 degrees (square) or 60 degrees (triangular), and of the
        reflections that do not map the axes (square), or the triangle of a neighbor
        and its second rotation (triangular), to themselves
    B2  the product of both.

M. Tinkham, Group Theory and Quantum Mechanics (1964), chapter 4.
"""

from typing import Literal

import numpy as np

from nqs.checks import one_of
from nqs.space.lattice import Lattice

IRREPS = ("A1", "A2", "B1", "B2")
Irrep = Literal["A1", "A2", "B1", "B2"]

# Vectors that B1 keeps.
KEPT = {
    "square": {(1, 0), (-1, 0)},
    "triangular": {(1, 0), (-1, 1), (0, -1)},
}


def point_characters(lattice: Lattice, irrep: Irrep) -> np.ndarray:
    """Characters (g,) of `lattice.point_group`.

    Raises:
      ValueError: if the lattice has no such representation beside the first.
    """
    one_of("irrep", irrep, IRREPS)
    kept = KEPT.get(lattice.kind, set())

    def character(matrix: np.ndarray) -> int:
        reflected = round(np.linalg.det(matrix))
        turned = 1 if {tuple(matrix @ v) for v in kept} == kept else -1
        return {"A1": 1, "A2": reflected, "B1": turned, "B2": turned * reflected}[irrep]

    each = [{character(matrix) for matrix in same} for same in lattice.turns.values()]
    if irrep != "A1" and (len(set.union(*each)) == 1 or max(map(len, each)) > 1):
        raise ValueError(f"irrep must be one that {lattice} has, got {irrep!r}")
    return np.array([min(of_turn) for of_turn in each])


def keeps(lattice: Lattice, momentum: tuple[int, ...]) -> bool:
    """Whether the point group leaves a momentum as it is."""
    k = np.asarray(momentum) / np.asarray(lattice.extent)
    matrices = [matrix for same in lattice.turns.values() for matrix in same]
    change = np.stack([matrix.T @ k - k for matrix in matrices])
    return np.allclose(change, np.round(change))


def characters(
    lattice: Lattice,
    group: np.ndarray,
    momentum: tuple[int, ...] | None = None,
    irrep: Irrep = "A1",
) -> np.ndarray:
    """Characters (g,) of permutations (g, s), real if they are real numbers.

    Those of a translation by t sites along each axis are exp(2 pi i sum_a k_a t_a /
    length_a) at the momentum k, of a rotation or reflection those of the irrep.
    """
    of_turns = dict(zip(lattice.turns, point_characters(lattice, irrep), strict=True))
    back = np.argsort(lattice.translations, axis=1)
    if not lattice.periodic:
        return np.array([of_turns[tuple(sites)] for sites in group.tolist()])
    turns = [tuple(back[sites[0]][sites].tolist()) for sites in group]  # about site 0
    chi = np.array([of_turns[turn] for turn in turns])
    if momentum is None:
        return chi
    lengths = np.asarray(lattice.extent)
    waves = lattice.coordinates[group[:, 0]] @ (np.asarray(momentum) / lengths)
    if not np.any(2 * np.asarray(momentum) % lengths):
        return chi * np.cos(2 * np.pi * waves).round()
    return chi * np.exp(2j * np.pi * waves)

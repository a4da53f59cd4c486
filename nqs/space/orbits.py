"""Orbits of the configurations of a small lattice under permutations of its sites."""

from typing import NamedTuple

import numpy as np


class OrbitTable(NamedTuple):
    """Orbits 0 to o - 1 and characters of configurations x, by index sum_i x_i q^i.

    psi(x) = character psi(r) with the representative r of the orbit of x. The number o
    stands for configurations with another sum of the levels, and for those where the
    characters make psi zero: an element with chi_g != 1 leaves them as they are.
    """

    powers: np.ndarray  # (s,) q^i
    numbers: np.ndarray  # (q^s,)
    characters: np.ndarray  # (q^s,)
    representatives: np.ndarray  # (o, s)


def orbit_table(
    group: np.ndarray, chi: np.ndarray, levels: int, total: int | None = None
) -> OrbitTable:
    """The table of a group of permutations.

    Args:
      group: (g, s), site i of g x has the level of site g_i of x.
      chi: (g,) characters, psi(g x) = chi_g psi(x).
      levels: q of each site; q^s must be below 2^24.
      total: sum of the levels; None for any.
    """
    powers = levels ** np.arange(group.shape[1])
    x = np.arange(levels ** len(powers))[:, None] // powers % levels
    inside = np.flatnonzero((total is None) | (np.sum(x, axis=1) == total))
    places = powers[np.argsort(group, axis=1)].astype("f4")  # exact below 2^24
    x = x[inside].astype("f4")
    first, element = np.full(len(x), np.inf, "f4"), np.zeros(len(x), int)
    for g, place in enumerate(places):
        image = x @ place
        smaller = image < first
        first[smaller], element[smaller] = image[smaller], g
    indices, number = np.unique(first.astype(int), return_inverse=True)
    representatives = indices[:, None] // powers % levels
    fixed = representatives.astype("f4") @ places.T == indices[:, None]
    kept = ~np.any(fixed & (np.abs(chi - 1) > 1e-9), axis=1)
    order = np.where(kept, np.cumsum(kept) - 1, np.sum(kept))
    numbers = np.full(levels ** len(powers), np.sum(kept), np.int32)
    characters = np.ones(len(numbers), chi.dtype)
    numbers[inside], characters[inside] = order[number], np.conj(chi)[element]
    return OrbitTable(powers, numbers, characters, representatives[kept])

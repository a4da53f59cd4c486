"""Amplitudes of electron pairs on a lattice, in NumPy."""

import itertools
from functools import cache
from typing import NamedTuple

import numpy as np

from nqs.space.lattice import Lattice


class Pairing(NamedTuple):
    """Where each pair (i, j) of sites finds its amplitude."""

    numbers: np.ndarray  # (s, s) of the parameter
    signs: np.ndarray  # (s, s) 1, -1, or 0 where the boundary makes it zero


@cache
def pairing(lattice: Lattice) -> Pairing:
    """Parameters and signs of all pairs of sites, even in their distance."""
    extent, flips = np.array(lattice.extent), 1 - 2 * np.array(antiperiodic(lattice))

    def inside(vectors):  # the same vector within the cell, and its sign
        return vectors % extent, np.prod(flips ** (vectors // extent % 2), axis=-1)

    at = lattice.coordinates
    one, sign = inside(at[:, None] - at)
    other, back = inside(-one)
    index, opposite = (
        np.ravel_multi_index(tuple(np.moveaxis(v, -1, 0)), lattice.extent)
        for v in (one, other)
    )
    sign = np.where(opposite < index, sign * back, sign)
    unused = ((opposite == index) & (back < 0)) | (index == 0)  # zero, and never there
    sign, least = np.where(unused, 0, sign), np.minimum(index, opposite)
    kept = np.unique(least[~unused])
    numbers = np.where(
        unused, 0, np.searchsorted(kept, np.where(unused, kept[0], least))
    )
    return Pairing(numbers, sign)


def antiperiodic(lattice: Lattice) -> tuple[bool, ...]:
    """Axes around which orbitals change sign, for the largest gap of the mean field.

    Not around two sites, whose pairs would cancel.
    """
    choices = itertools.product(*({False, m > 2} for m in lattice.extent))
    return max(choices, key=lambda axes: np.round(gap_of(lattice, axes), 9))


def gap_of(lattice: Lattice, axes: tuple[bool, ...]) -> float:
    """The lowest energy of an excitation in units of the hopping, for equal pairing."""
    hopping, pairing, _ = bands(lattice, axes)
    return float(np.min(np.hypot(hopping, pairing)))


def bands(lattice: Lattice, axes: tuple[bool, ...]) -> tuple[np.ndarray, ...]:
    """Energies (k,) of hopping, d-wave pairing (k,), and momenta (k, d)."""
    shift = np.array(axes) / 2
    k = 2 * np.pi * (lattice.coordinates + shift) / np.array(lattice.extent)
    waves = np.cos(k).T
    pairing = waves[0] - waves[1] if len(waves) == 2 else np.zeros(len(k))
    return -2 * np.sum(waves, axis=0), pairing, k


def mean_field(lattice: Lattice, gap: float) -> np.ndarray:
    """Pairs f (s, s) of hopping and d-wave pairing at half filling."""
    hopping, pairing, k = bands(lattice, antiperiodic(lattice))
    energy = np.hypot(hopping, gap * pairing)
    f = (hopping < 0).astype(float)
    np.divide(gap * pairing, hopping + energy, out=f, where=np.abs(pairing) > 1e-9)
    at = lattice.coordinates
    return np.cos((at[:, None] - at) @ k.T) @ f


def parity(permutation: np.ndarray) -> int:
    """The sign of a permutation (s,)."""
    seen, sign = set(), 1
    for start in permutation.tolist():
        while start not in seen:
            seen.add(start)
            start = int(permutation[start])
            sign = -sign if start not in seen else sign
    return sign

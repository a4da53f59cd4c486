"""Two particles of opposite spin in a periodic cube, exactly, by plane waves.

At rest together, their relative motion has the states exp(i k . r) of the wave vectors
of the cube, between which

    <k| H |k'> = (hbar^2 / m) k^2 delta_kk' + V(k - k') / L^3,

with V(k) the Fourier transform of V(r) and m the mass of one. The ground state is equal
on all k that the symmetry of the cube relates, so that one state for each such star is
enough: <a| H |b> = sqrt(N_a / N_b) sum_{k' in b} <k_a| H |k'>.
"""

import functools
from typing import Any

import numpy as np

LARGEST = 16  # wave numbers along an axis, about a second
SOURCE = "plane waves of the relative coordinate"


@functools.cache
def energy_of_two(pair: Any, hbar_squared_over_m: float, largest: int) -> float:
    """Upper bound of the ground-state energy for a potential of cubic symmetry.

    Args:
      pair: potential in a cube of edge `length`; `transform` of wave vectors (m, 3) is
        V(k) (m,), energy times volume.
      hbar_squared_over_m: of one particle, energy times length squared.
      largest: the wave vectors go up to 2 pi largest / length.
    """
    axis = np.arange(-largest, largest + 1)
    m = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    m = m[np.sum(m * m, axis=1) <= largest**2]
    members = np.sort(np.abs(m), axis=1)
    stars, which, sizes = np.unique(
        members, axis=0, return_inverse=True, return_counts=True
    )
    which, unit = which.reshape(-1), 2 * np.pi / pair.length
    h = np.empty((len(stars), len(stars)))
    for a, star in enumerate(stars):
        elements = pair.transform(unit * (star - m))
        h[a] = np.bincount(which, elements, len(stars)) / pair.length**3
    h *= np.sqrt(sizes[:, None] / sizes[None, :])
    kinetic = hbar_squared_over_m * unit**2 * np.sum(stars**2, axis=1)
    return float(np.linalg.eigvalsh(h + np.diag(kinetic))[0])

"""Two particles of opposite spin in a periodic cube, exactly, by plane waves.

At rest together, their relative motion has the states exp(i k . r) of the wave vectors
of the cube, between which

    <k| H |k'> = (hbar^2 / m) k^2 delta_kk' + V(k - k') / L^3,

with V(k) the integral of exp(-i k . r) V(r) and m the mass of one. The ground state is
the same for all k that the cube turns into each other, so that one state for each such
star is enough: <a| H |b> = sqrt(N_a / N_b) sum_{k' in b} <k_a| H |k'>.
"""

from collections.abc import Callable

import numpy as np

LARGEST = 16  # wave numbers along an axis that a reference may take: about a second


def ground_state(
    transform: Callable[[np.ndarray], np.ndarray],
    length: float,
    hbar_squared_over_m: float,
    largest: int,
) -> float:
    """The lowest energy of the pair, from above, for a potential of cubic symmetry.

    Args:
      transform: V(k) of wave vectors (k, 3) is (k,), in energy times volume.
      length: edge of the cube.
      hbar_squared_over_m: of one particle, in energy times length squared.
      largest: wave vectors up to 2 pi largest / length are taken.
    """
    axis = np.arange(-largest, largest + 1)
    m = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
    m = m[np.sum(m * m, axis=1) <= largest**2]
    members = np.sort(np.abs(m), axis=1)
    stars, which, sizes = np.unique(
        members, axis=0, return_inverse=True, return_counts=True
    )
    which, unit = which.reshape(-1), 2 * np.pi / length
    h = np.empty((len(stars), len(stars)))
    for a, star in enumerate(stars):
        elements = transform(unit * (star - m))
        h[a] = np.bincount(which, elements, len(stars)) / length**3
    h *= np.sqrt(sizes[:, None] / sizes[None, :])
    kinetic = hbar_squared_over_m * unit**2 * np.sum(stars**2, axis=1)
    return float(np.linalg.eigvalsh(h + np.diag(kinetic))[0])

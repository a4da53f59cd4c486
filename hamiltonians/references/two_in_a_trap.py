"""Two particles in an isotropic trap with any pair potential, exactly.

The center of mass stays in its ground state, d omega / 2. The relative motion, with
psi = r^ell phi(r) times a spherical harmonic, obeys

    -(phi'' + (2 ell + d - 1) / r phi') + (omega^2 r^2 / 4 + V(r)) phi = E_rel phi,

and is solved by Ritz's method in polynomials on [0, R] that vanish at R and are
orthogonal with the weight r^(2 ell + d - 1). They represent cusps, need no condition at
r = 0 and no value of the potential there.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import eval_jacobi

from nqs.space.oscillator import oscillator_levels

# Polynomials in the two bases that must agree: the first gives the dots to 1e-12.
SIZES = (64, 96)
AGREEMENT = 1e-8  # between the two, relative to the larger of omega and |E|


def two_body_energy(
    potential: Callable, d: int, omega: float, ell: int = 0, level: int = 0
) -> float | None:
    """Energy of two particles of unit mass, their center of mass at rest, hartree.

    Args:
      potential: V(r) in hartree for an array of distances in bohr.
      d: dimensions.
      omega: trap frequency, hartree.
      ell: relative angular momentum, 0 for bosons and opposite spins, 1 for equal spins
        (in one dimension, even and odd).
      level: of the radial motion, 0 for the lowest.

    Returns:
      The energy to 1e-8 or the precision of the potential; None if the potential is too
      singular or too short-ranged for the basis.
    """
    radius = _extent(potential, omega)
    coarse = relative_energies(potential, d, omega, ell, SIZES[0], radius)[level]
    wider = 1.2 * radius
    fine = relative_energies(potential, d, omega, ell, SIZES[1], wider)[level]
    # a potential in jax.numpy has the precision of the run
    rounding = np.finfo(np.result_type(np.asarray(potential(radius)), 0.0)).eps
    tolerance = max(AGREEMENT, 10 * rounding) * max(omega, abs(fine))
    if not abs(fine - coarse) <= tolerance:  # or NaN
        return None
    return float(d * omega / 2 + fine)


def _extent(potential: Callable, omega: float) -> float:
    """Distance beyond which the relative wave function is negligible, bohr.

    13 / sqrt(omega) past the minimum of the total potential: exp(-omega r^2 / 4) is
    1e-18 there.
    """
    r = np.geomspace(1e-3, 30, 1000) / np.sqrt(omega)
    total = omega**2 * r**2 / 4 + np.asarray(potential(r), float)
    return r[np.argmin(total)] + 13 / np.sqrt(omega)


def two_body_levels(
    potential: Callable, d: int, omega: float, ells: Sequence[int], count: int
) -> list[float]:
    """The lowest levels of two particles, hartree, degenerate ones repeated.

    Args:
      potential: as of `two_body_energy`.
      d: dimensions.
      omega: trap frequency, hartree.
      ells: relative angular momenta that the statistics allow, in ascending order.
      count: number of levels; fewer are returned where one is not known.
    """
    quanta = np.sum(oscillator_levels(count, [1.0] * d), axis=1)  # of the center
    found: list[float] = []
    for ell in ells:
        before = len(found)
        for level in range(count):
            energy = two_body_energy(potential, d, omega, ell, level)
            if energy is None:
                return []
            if sum(value <= energy for value in found) >= count:
                break
            found += [energy + omega * q for q in quanta.tolist()] * _degeneracy(d, ell)
        if len(found) == before:  # centrifugal barriers only grow
            break
    return sorted(found)[:count]


def _degeneracy(d: int, ell: int) -> int:
    if d == 3:
        return 2 * ell + 1
    return 2 if d == 2 and ell else 1


def relative_energies(
    potential: Callable, d: int, omega: float, ell: int, size: int, radius: float
) -> np.ndarray:
    """Eigenvalues of the relative motion in `size` polynomials, or NaN."""
    power = 2 * ell + d - 1
    t, weights = np.polynomial.legendre.leggauss(2 * size)
    r = radius * (1 + t) / 2
    total = omega**2 * r**2 / 4 + np.asarray(potential(r), float)
    if not np.all(np.isfinite(total)):
        return np.full(size, np.nan)
    basis, slope = _polynomials(size, power, t)  # (size, 2 size)
    slope *= 2 / radius  # d/dr
    measure = weights * r**power
    norm = np.sqrt(basis**2 @ measure)
    hamiltonian = (slope * measure) @ slope.T + (basis * measure * total) @ basis.T
    return np.linalg.eigvalsh(hamiltonian / np.outer(norm, norm))


def _polynomials(size: int, power: int, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(1 - t) P_k^(2, power)(t) and its derivative: orthogonal for (1 + t)^power."""
    k = np.arange(size)[:, None]
    jacobi = eval_jacobi(k, 2, power, t)
    jacobi_slope = (k + power + 3) / 2 * eval_jacobi(k - 1, 3, power + 1, t)
    jacobi_slope[0] = 0  # of P_0 = 1
    return (1 - t) * jacobi, (1 - t) * jacobi_slope - jacobi

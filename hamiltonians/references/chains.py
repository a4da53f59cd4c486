"""Ground-state energies of two rings of spins."""

import math

import numpy as np
from scipy.optimize import root


def ising_ring(n: int, j: float, field: float, odd: bool = False) -> float:
    """Energy of the periodic Ising chain, -J sum zz - h sum x with J, h >= 0.

    The ground state has an even number of fermions, whose momenta are half-integer:
    k = pi (2 m + 1) / n. Each has -sqrt(J^2 + h^2 - 2 J h cos k). The lowest state with
    an odd number, the first excited one, has k = 2 pi m / n and h - J for k = 0, which
    is occupied. P. Pfeuty, Ann. Phys. 57, 79 (1970).
    """
    k = np.pi * (2 * np.arange(n) + (not odd)) / n
    modes = -np.sqrt(j**2 + field**2 - 2 * j * field * np.cos(k))
    if odd:
        modes[0] = field - j
    return math.fsum(modes)


def heisenberg_ring(n: int) -> float:
    """Energy of sum_i S_i . S_{i+1} around a ring of n spins 1/2, n even.

    The Bethe equations of the rapidities l_j with quantum numbers I_j = -(M - 1)/2 ...
    (M - 1)/2, M = n / 2,

        n arctan(2 l_j) = pi I_j + sum_k arctan(l_j - l_k),

    give E = n/4 - sum_j 2 / (4 l_j^2 + 1). H. Bethe, Z. Phys. 71, 205 (1931); R.
    Orbach, Phys. Rev. 112, 309 (1958).

    Raises:
      ValueError: if n is odd.
    """
    if n % 2:
        raise ValueError(f"n must be even, got {n}")
    numbers = np.arange(n // 2) - (n // 2 - 1) / 2

    def equations(rapidities):
        differences = rapidities[:, None] - rapidities[None, :]
        sums = np.sum(np.arctan(differences), axis=1)
        return n * np.arctan(2 * rapidities) - np.pi * numbers - sums

    def jacobian(rapidities):
        differences = rapidities[:, None] - rapidities[None, :]
        slopes = 1 / (1 + differences**2)
        diagonal = 2 * n / (1 + 4 * rapidities**2) - np.sum(slopes, axis=1)
        return np.diag(diagonal) + slopes

    # in an infinite ring sinh(pi l) = tan(2 pi I / n)
    start = np.arcsinh(np.tan(2 * np.pi * numbers / n)) / np.pi
    found = root(equations, start, jac=jacobian, tol=1e-14)
    return n / 4 - math.fsum(2 / (4 * found.x**2 + 1))

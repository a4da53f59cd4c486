"""One electron about two nuclei, exactly, in prolate spheroidal coordinates.

With xi = (r_1 + r_2) / R >= 1, -1 <= eta = (r_1 - r_2) / R <= 1 and h = R / 2, states
without angular momentum about the axis have, up to the common factor 2 pi h^3,

    <f|g> = int f g (xi^2 - eta^2),
    <f| T |g> = 1 / (2 h^2) int (xi^2 - 1) f_xi g_xi + (1 - eta^2) f_eta g_eta,
    <f| V |g> = -1 / h int f g ((Z_1 + Z_2) xi + (Z_2 - Z_1) eta).

Basis: exp(-t / 2) L_m(t) P_k(eta) with t = 2 p (xi - 1). Ø. Burrau, Kgl. Danske
Videnskab. Selskab 7, 14 (1927).
"""

import functools

import numpy as np
from numpy.polynomial.laguerre import laggauss, lagval
from numpy.polynomial.legendre import leggauss, legval
from scipy.linalg import eigh

BASIS = 20  # functions of either coordinate
SOURCE = "one electron in prolate spheroidal coordinates"


@functools.cache
def ground_state(
    z_1: int, z_2: int, distance: float, size: int = BASIS
) -> tuple[float, float, np.ndarray]:
    """Energy of the electron, hartree, p, and coefficients (m, k) of the basis.

    The energy is that without the repulsion of the nuclei.
    """
    h = distance / 2
    p = h * max(z_1, z_2, 0.7 * (z_1 + z_2))
    xi, of_xi = _radial(size, p)
    eta, of_eta = _angular(size)
    products = functools.partial(np.einsum, "mn,kl->mknl")
    overlap = products(xi[2], of_eta[0]) - products(xi[0], of_eta[2])
    kinetic = products(of_xi, of_eta[0]) + products(xi[0], eta)
    attraction = (z_1 + z_2) * products(xi[1], of_eta[0])
    attraction += (z_2 - z_1) * products(xi[0], of_eta[1])
    shape = size**2, size**2
    matrix = kinetic / (2 * h**2) - attraction / h
    energies, states = eigh(
        matrix.reshape(shape), overlap.reshape(shape), subset_by_index=(0, 0)
    )
    return float(energies[0]), p, states[:, 0].reshape(size, size)


def _radial(size: int, p: float) -> tuple[list[np.ndarray], np.ndarray]:
    """Integrals of xi^q f_m f_n for q = 0, 1, 2, and of (xi^2 - 1) f_m' f_n'."""
    t, weights = laggauss(2 * size)  # exact, as is `leggauss` below
    eye = np.eye(size)
    f = lagval(t, eye)
    slope = lagval(t, np.polynomial.laguerre.lagder(eye)) - f / 2
    xi, weights = 1 + t / (2 * p), weights / (2 * p)
    moments = [(weights * xi**q * f) @ f.T for q in range(3)]
    return moments, 4 * p**2 * (weights * (xi**2 - 1) * slope) @ slope.T


def _angular(size: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Integrals of (1 - eta^2) P_k' P_l', and of eta^q P_k P_l for q = 0, 1, 2."""
    eta, weights = leggauss(2 * size)
    eye = np.eye(size)
    f = legval(eta, eye)
    slope = legval(eta, np.polynomial.legendre.legder(eye))
    moments = [(weights * eta**q * f) @ f.T for q in range(3)]
    return (weights * (1 - eta**2) * slope) @ slope.T, moments

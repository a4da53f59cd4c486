"""Excited states: the K lowest states as the ground state of K systems side by side.

A configuration X holds K independent ones, x^1 to x^K, and of K wave functions psi_i

    Psi(X) = det A,    A_ji = psi_i(x^j).

Psi is antisymmetric in the systems, hence the lowest mean of sum_j H_j is the sum of
the K lowest levels, where the psi_i span their states: training, sampling and files are
those of a ground state. Its local energy is the trace of A^-1 (H A), with (H A)_ji =
(H psi_i)(x^j). Averages of A^-1 (O A) are S^-1 <psi_i|O|psi_l>, the matrix of any
operator O in the basis of the psi_i with overlaps S; the levels are the eigenvalues of
that of H, and its eigenvectors turn every other matrix to the basis of eigenstates.

D. Pfau, S. Axelrod, H. Sutterud, I. von Glehn and J. S. Spencer, Science 385, eadn0137
(2024).
"""

from nqs.excited.matrices import StateMatrices, levels
from nqs.excited.overlaps import StateOverlaps, overlaps
from nqs.excited.states import States, systems
from nqs.excited.systems import SideBySide

__all__ = [
    "SideBySide",
    "StateMatrices",
    "StateOverlaps",
    "States",
    "levels",
    "overlaps",
    "systems",
]

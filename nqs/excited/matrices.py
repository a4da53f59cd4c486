"""Matrices of operators between states, levels and matrix elements of eigenstates.

With M = <A^-1 (H A)> = R diag(E) R^-1, the levels are E and the matrix of any operator
between eigenstates is R^-1 <A^-1 (O A)> R. To first order in the deviations dM and dO
of one sample, with D = R^-1 dM R and C_ab = D_ab / (E_b - E_a) for a != b,

    dE_a = D_aa,    d(R^-1 O R) = R^-1 dO R + [R^-1 O R, C].
"""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.excited.states import States
from nqs.excited.systems import SideBySide
from nqs.types import Configuration, Observable, Params, sum_of_terms


@dataclasses.dataclass(frozen=True)
class StateMatrices:
    """Matrices of the energy and of operators in the basis of the trained states.

    Attributes:
      hamiltonian: of the K systems.
      operators: scalar observables of one system.
    """

    hamiltonian: SideBySide
    operators: tuple[Observable, ...] = ()

    name = "state_matrices"
    axes = ()  # no figure

    @property
    def grid(self) -> np.ndarray:
        """Numbers (K, K, 2) of the states of row and column."""
        return np.moveaxis(np.indices((self.hamiltonian.count,) * 2), 0, -1)

    def __call__(self, ansatz: States, params: Params, x: Configuration) -> Array:
        """A^-1 (O A) (1 + operators, K, K), of the energy first."""
        system = self.hamiltonian.system

        def local(ansatz, params, x):
            energy = sum_of_terms(system.terms(ansatz, params, x))
            return [energy, *(f(ansatz, params, x) for f in self.operators)]

        return jnp.stack(ansatz.matrix(local, params, x))

    def series(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Levels and matrix elements, of samples (..., 1 + operators, K, K)."""
        return levels(values, [operator.name for operator in self.operators])


def levels(values: np.ndarray, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Series of levels, of expectation values and of squared matrix elements.

    Each is the function of the means plus the deviation of every sample, so that the
    error of the mean of the series is that of the function.

    Args:
      values: (..., 1 + o, K, K) samples of the matrix of the energy and of o operators.
      names: of the operators.

    Returns:
      Arrays (...): "level_a" in the order of the energy; "gap_a" above the lowest; for
      every operator "NAME_a", its mean in eigenstate a, and "NAME_a_b" for a < b, the
      |<a|O|b>|^2. Elements of degenerate states depend on their choice.
    """
    energies, operators, deviations = _in_eigenstates(values)
    gaps = energies[None, :] - energies[:, None]
    inverse = np.divide(1, gaps, np.zeros_like(gaps), where=gaps != 0)
    mixing = deviations[..., 0, :, :] * inverse
    found = {}
    for a, energy in enumerate(energies):
        found[f"level_{a}"] = np.real(energy + deviations[..., 0, a, a])
        if a:
            found[f"gap_{a}"] = found[f"level_{a}"] - found["level_0"]
    for o, name in enumerate(names, 1):
        element = operators[o]
        change = deviations[..., o, :, :] + element @ mixing - mixing @ element
        found |= _elements(name, element, change)
    return found


def _in_eigenstates(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Levels (K,), mean matrices (1 + o, K, K) and their deviations (..., 1 + o, K, K).

    R^-1 (...) R of all matrices, with the eigenvectors R of the mean of the first.
    """
    mean = values.mean(axis=tuple(range(values.ndim - 3)))
    if not np.isfinite(mean).all():  # a warning of the result counts such samples
        return mean[0, 0] * np.nan, mean * np.nan, values * np.nan
    energies, right = np.linalg.eig(mean[0])
    order = np.argsort(np.real(energies))
    right = right[:, order]
    left = np.linalg.inv(right)
    return energies[order], left @ mean @ right, left @ (values - mean) @ right


def _elements(
    name: str, element: np.ndarray, change: np.ndarray
) -> dict[str, np.ndarray]:
    """Series of matrix elements (K, K) with their first-order changes (..., K, K)."""
    found = {}
    for a in range(len(element)):
        found[f"{name}_{a}"] = np.real(element[a, a] + change[..., a, a])
        for b in range(a + 1, len(element)):
            # products, because the norms of the states are unknown
            square = element[a, b] * element[b, a]
            slope = change[..., a, b] * element[b, a]
            slope = slope + element[a, b] * change[..., b, a]
            found[f"{name}_{a}_{b}"] = np.real(square + slope)
    return found

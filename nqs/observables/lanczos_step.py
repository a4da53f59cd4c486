"""The energy after one Lanczos step, psi_1 = psi + b (H - E) psi.

With the local energies u = ((H - E) psi)(x) / psi(x) and v = ((H - E)^2 psi)(x) /
psi(x) of samples of |psi|^2, p = 1 + b u and q = u + b v,

    E_1 = E + <p* q> / <|p|^2>,

an upper bound of the exact energy for any b. It is lowest, at E + b <|u|^2>, for

    b = -2 <|u|^2> / (m + sqrt(m^2 + 4 <|u|^2>^3)),    m = <u* v>.

With the local energies E_L of all x' with <x|H|x'> != 0, v = u^2 + d, where

    d = sum_x' <x|H|x'> (psi(x') / psi(x)) (E_L(x') - E_L(x)),

without the rounding errors of (E_L)^2. E. Heeb and T. M. Rice, Z. Phys. B 90, 73
(1993); S. Sorella, Phys. Rev. B 64, 024512 (2001).
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import name_of
from nqs.ratios.rows import MatrixRows, row_of
from nqs.ratios.sites import site_ratios_of
from nqs.types import Ansatz, Params, sum_of_terms

# Standard deviations of local energies, in units of their rounding, of an eigenstate.
ROUNDING = 1e3


@dataclasses.dataclass(frozen=True)
class LanczosStep:
    """The energy of psi + b (H - E) psi, with the best b.

    Attributes:
      hamiltonian: H, given by the rows of its matrix. A sample costs the local energies
        of all configurations that H connects with it.

    Raises:
      ValueError: if the Hamiltonian has no `connected`.
    """

    hamiltonian: Any

    name = "lanczos_step"
    grid = None

    def __post_init__(self):
        if not isinstance(self.hamiltonian, MatrixRows):
            raise ValueError(
                "hamiltonian must have the rows of its matrix, diagonal and connected, "
                f"for a Lanczos step, got {name_of(self.hamiltonian)}"
            )

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """(2,), E_L and d of levels x (s,)."""
        ratios = site_ratios_of(ansatz)
        tables = ratios.site_tables(params)
        cache = ratios.site_cache(tables, x)
        row = row_of(self.hamiltonian, ratios, tables, cache, x)
        change, energy = self.hamiltonian.connected(x), sum_of_terms(row.terms)
        order = jnp.argsort(change.elements == 0)  # padding last
        count = jnp.sum(change.elements != 0)

        def add(state):
            i, total = state
            sites, values = change.sites[order[i]], change.values[order[i]]
            ratio, moved = ratios.site_move(tables, cache, x, sites, values)
            x_new = x.at[sites].set(values)
            there = row_of(self.hamiltonian, ratios, tables, moved, x_new)
            difference = sum_of_terms(there.terms) - energy
            part = change.elements[order[i]] * ratio * difference
            # where psi(x') = 0 by symmetry, (H psi)(x') = 0 too, but 0 * inf is NaN
            return i + 1, total + jnp.where(ratio == 0, 0, part)

        start = jnp.zeros_like(count), jnp.zeros_like(energy)
        _, d = jax.lax.while_loop(lambda state: state[0] < count, add, start)
        return jnp.stack([energy, d])

    def series(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Series "lanczos_energy" (steps, walkers), of samples (steps, walkers, 2).

        Each half of the walkers has the b of the other, so that the energy stays an
        upper bound.
        """
        halves = values[:, ::2], values[:, 1::2]
        if not halves[1].size:
            halves = values, values
        pairs = zip(halves, reversed(halves), strict=True)
        energies = [energy_after(own, *best_step(other)) for own, other in pairs]
        found = np.concatenate(energies, axis=1)
        return {"lanczos_energy": found[:, : values.shape[1]]}


def best_step(values: np.ndarray) -> tuple[float, float]:
    """E and the best b, from samples (..., 2) of E_L and d."""
    energy = float(np.mean(np.real(values[..., 0])))
    u, v = centered(values, energy)
    square = np.mean(np.abs(u) ** 2)
    third = np.mean(np.real(u.conj() * v))
    rounding = ROUNDING * np.finfo(square.dtype).eps * max(1.0, abs(energy))
    if np.sqrt(square) <= rounding:  # an eigenstate
        return energy, 0.0
    return energy, float(-2 * square / (third + np.sqrt(third**2 + 4 * square**3)))


def energy_after(values: np.ndarray, energy: float, b: float) -> np.ndarray:
    """Series (...) of E_1 from samples (..., 2), to first order in deviations."""
    u, v = centered(values, energy)
    p, q = 1 + b * u, u + b * v
    norm = np.mean(np.abs(p) ** 2)
    shift = np.mean(np.real(p.conj() * q)) / norm
    return energy + shift + np.real(p.conj() * (q - shift * p)) / norm


def centered(values: np.ndarray, energy: float) -> tuple[np.ndarray, np.ndarray]:
    """U and v (...) from samples (..., 2) of E_L and d."""
    u = values[..., 0] - energy
    return u, u**2 + values[..., 1]

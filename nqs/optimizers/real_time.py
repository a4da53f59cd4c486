"""Equations of motion of real time, the time-dependent variational principle.

With the centered derivatives O (rows, p) and eps = sqrt(weight) (E_L - <E>), real and
imaginary parts stacked, the velocity v of the parameters minimizes the distance of the
change of psi from that of the Schroedinger equation,

    min_v |O v + i eps|^2,   so   S v = F,   S = O^T O,   F = O^T (Im eps, -Re eps).

Directions that psi does not depend on, or whose force F is noise, would move the
fastest. In the eigenbasis of S, with eigenvalues lambda_k and forces rho_k,

    v_k = f_k rho_k / lambda_k,   f_k = 1 - (delta / (lambda_k + delta))^3,

with delta = cut tr S: three iterations of Tikhonov's regularization, by one Cholesky
factor of S + delta or, where that is smaller, of O O^T + delta; where psi is analytic,
in complex numbers (`nqs.optimizers.holomorphic`). With a noise_cut, S is diagonalized,
and with the statistical errors sigma_k of the forces

    f_k = 1 / (1 + (delta / lambda_k)^6) / (1 + (noise_cut sigma_k / |rho_k|)^6).

M. Schmitt and M. Heyl, Phys. Rev. Lett. 125, 100503 (2020). For real parameters the
principle is that of A. D. McLachlan, Mol. Phys. 8, 39 (1964). If i times each
derivative is a derivative too, it conserves the energy, for any f.
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from nqs.checks import positive
from nqs.optimizers.derivatives import CenteredDerivatives
from nqs.optimizers.holomorphic import (
    holomorphic_solution,
    is_holomorphic,
    tikhonov,
)
from nqs.types import Ansatz, Params, Walkers

POWER = 6  # of the smooth cuts


class Modes(NamedTuple):
    """Eigenvectors of S, k of them."""

    values: Array  # (k,) eigenvalues
    basis: Array  # (p, k), or (rows, k) of O O^T
    images: Array  # (rows, k), O times each eigenvector


@dataclasses.dataclass(frozen=True)
class RealTime:
    """The velocity of the parameters in real time.

    Attributes:
      cut: part of tr S below which directions are left out.
      noise_cut: forces below this number of standard errors are left out; 0 for none.
      memory: most bytes of all derivatives.

    Raises:
      ValueError: for a number out of range.
    """

    cut: float = 1e-8
    noise_cut: float = 0.0
    memory: int = 2**30

    def __post_init__(self):
        positive("cut", self.cut)
        positive("noise_cut", self.noise_cut, zero=True)
        positive("memory", self.memory)

    def velocity(
        self,
        ansatz: Ansatz,
        params: Params,
        walkers: Walkers,
        local_energy: Array,
        weights: Array,
        chunk_size: int | None = None,
    ) -> tuple[Params, dict[str, Array]]:
        """Velocity of the parameters, and info of () scalars.

        Walkers (w, ...) with their local_energy (w,) have the weights (w,) of sum 1.

        Returns:
          The velocity; the part of the change of psi that it leaves out (0 to 1), and
          the rate of the energy due to that part.

        Raises:
          ValueError: if psi is real.
        """
        point = ansatz, params, walkers, weights
        derivatives = CenteredDerivatives(*point, chunk_size, self.memory)
        if derivatives.n_parts == 1:
            raise ValueError("ansatz must be complex to evolve in time, got a real psi")
        re, im = local_energy.real, local_energy.imag
        eps = derivatives.center(jnp.stack([re, im], axis=1))
        goal = derivatives.center(jnp.stack([im, -re], axis=1))
        solved = self._diagonalized if self.noise_cut else self._regularized
        velocity, change = solved(derivatives, goal)
        missing, size = jnp.sum((change - goal) ** 2), jnp.sum(goal**2)
        info = {
            "residual": missing / jnp.where(size > 0, size, 1),
            "energy_rate": 2 * change @ eps,
        }
        return velocity, info

    def _regularized(
        self, derivatives: CenteredDerivatives, goal: Array
    ) -> tuple[Params, Array]:
        """The velocity v and O v (rows,), by a Cholesky factor."""
        if is_holomorphic(derivatives):
            return holomorphic_solution(derivatives, goal, self.cut)
        operations = derivatives.operations()
        if operations["samples"] < operations["parameters"]:
            rows = tikhonov(derivatives.gram(), goal, self.cut)
            velocity = derivatives.transposed_times(rows)
        else:
            force, unravel = ravel_pytree(derivatives.transposed_times(goal))
            velocity = unravel(tikhonov(derivatives.metric(), force, self.cut))
        return velocity, derivatives.times(velocity)

    def _diagonalized(
        self, derivatives: CenteredDerivatives, goal: Array
    ) -> tuple[Params, Array]:
        """The velocity v and O v (rows,), by eigenvectors."""
        columns = derivatives.columns()
        modes = eigenmodes(columns)
        force, kept = self._filtered(modes, goal, derivatives.weights)
        velocity, change = solution(columns, modes, kept * force)
        return ravel_pytree(derivatives.params)[1](velocity), change

    def _filtered(
        self, modes: Modes, goal: Array, weights: Array
    ) -> tuple[Array, Array]:
        """Forces (k,), and the part of each that is kept."""
        w, k = weights.shape[0], modes.values.shape[0]
        products = modes.images * goal[:, None]
        samples = jnp.sum(products.reshape(w, -1, k), axis=1)
        force = jnp.sum(samples, axis=0)
        values = jnp.maximum(modes.values, 0)
        ratio = self.cut * jnp.sum(values) / values
        square = jnp.sum((samples - weights[:, None] * force[None]) ** 2, axis=0)
        noise = self.noise_cut**2 * square / force**2
        kept = 1 / (1 + ratio**POWER) / (1 + noise ** (POWER // 2))
        return force, jnp.where(jnp.isnan(kept), 0, kept)


def eigenmodes(columns: Array) -> Modes:
    """Of S = O^T O for O (rows, p), from O O^T if there are fewer rows than columns."""
    rows, p = columns.shape
    if p <= rows:
        values, basis = jnp.linalg.eigh(columns.T @ columns)
        return Modes(values, basis, columns @ basis)
    values, basis = jnp.linalg.eigh(columns @ columns.T)
    return Modes(values, basis, basis * jnp.sqrt(jnp.maximum(values, 0))[None])


def solution(columns: Array, modes: Modes, force: Array) -> tuple[Array, Array]:
    """S^+ F (p,) for F (k,) along the eigenvectors of S, and O S^+ F (rows,)."""
    values = modes.values
    # a direction that psi does not depend on has no force
    speed = jnp.where(values > 0, force / jnp.where(values > 0, values, 1), 0)
    if modes.basis.shape[0] == columns.shape[1]:
        velocity = modes.basis @ speed
    else:
        roots = jnp.sqrt(jnp.where(values > 0, values, 1))
        velocity = (modes.basis @ (speed / roots)) @ columns
    return velocity, modes.images @ speed

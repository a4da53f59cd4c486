"""Natural gradient: stochastic reconfiguration, minSR and SPRING, in a trust region.

With the centered derivatives O (rows, p) and eps = sqrt(weight) (E_L - <E>), real and
imaginary parts stacked, half the energy gradient is O^T eps and all three solve

    phi = mu phi' + (O^T O + damping)^{-1} O^T (eps - mu O phi')
        = mu phi' + O^T (O O^T + damping)^{-1} (eps - mu O phi')

with the direction phi' taken at the last step. mu = 0 is stochastic reconfiguration, in
parameter space (first line) or in sample space (second line, minSR), which are the same
update; mu > 0 is SPRING. The parameters move by -learning_rate phi. Conjugate gradients
solve the first line with products of O and O^T alone, without a matrix.

The step is bounded in the metric of Fubini and Study: ||O step|| <= max_step, where
||O step||^2 is the squared angle between the old and the new wave function. The stored
direction phi is scaled with the step, because the momentum of longer ones diverges.

References: S. Sorella, Phys. Rev. Lett. 80, 4558 (1998); A. Chen and M. Heyl, Nature
Physics 20, 1476 (2024); G. Goldshlager, N. Abrahamsen and L. Lin, J. Comput. Phys. 516,
113351 (2024).
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from nqs.checks import one_of, positive
from nqs.optimizers.derivatives import CenteredDerivatives
from nqs.optimizers.schedules import Schedule, check_rate
from nqs.types import Params

SPACES = ("auto", "parameters", "samples")
SOLVERS = ("cholesky", "cg")
MOST_PRODUCTS = 200  # of conjugate gradients


class NaturalGradientState(NamedTuple):
    """The step count () and the direction phi taken last."""

    count: Array
    direction: Params


@dataclasses.dataclass(frozen=True)
class NaturalGradient:
    """Natural gradient: SR, minSR or SPRING.

    Attributes:
      learning_rate: peak step in imaginary time, 1/energy, or an optax schedule, whose
        value at each step then replaces the peak.
      schedule: of the learning rate.
      damping: multiple of the identity that is added to O^T O or O O^T.
      noise: multiple of |learning_rate eps|^2, with the peak of the learning rate, that
        is added to the damping: the squared angle of a step that follows every walker,
        mostly noise where it is large. As the damping of Levenberg and Marquardt in N.
        Yamashita and M. Fukushima, Computing Suppl. 15, 239 (2001).
      momentum: mu of SPRING; 0 for SR.
      max_step: largest ||O step||, an angle between wave functions; None for any.
      space: "parameters" (SR), "samples" (minSR), or "auto" for fewer operations.
      memory: most bytes of all derivatives, or else of a block of them.
      solver: "cholesky", or "cg" for at most 200 conjugate-gradient iterations among
        the parameters, for many devices: each adds up one vector of the parameters.
      tolerance: of "cg", largest residual as a fraction of the right-hand side.

    Raises:
      ValueError: for a number out of range, an unknown space or solver, or "cg" among
        samples.
    """

    learning_rate: float | optax.Schedule = 0.05
    schedule: Schedule = Schedule()
    damping: float = 1e-4
    noise: float = 3.0
    momentum: float = 0.0
    max_step: float | None = 0.1
    space: str = "auto"
    memory: int = 2**30
    solver: str = "cholesky"
    tolerance: float = 1e-3

    uses_gradient = False

    def __post_init__(self):
        check_rate(self.learning_rate, self.schedule)
        positive("damping", self.damping)
        positive("memory", self.memory)
        positive("noise", self.noise, zero=True)
        if not 0 <= self.momentum < 1:
            raise ValueError(f"momentum must be >= 0 and < 1, got {self.momentum!r}")
        if self.max_step is not None:
            positive("max_step", self.max_step)
        one_of("space", self.space, SPACES)
        one_of("solver", self.solver, SOLVERS)
        if self.solver == "cg" and self.space == "samples":
            raise ValueError(
                'solver "cg" works among the parameters: space must be "auto" or '
                '"parameters", got "samples"'
            )
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance must be > 0 and < 1, got {self.tolerance!r}")

    def build(self) -> optax.GradientTransformationExtraArgs:
        """The optax transformation; it owns the learning rate and returns the step."""
        rate = self.schedule.build(self.learning_rate)

        def init(params):
            zero = jax.tree.map(jnp.zeros_like, params)
            return NaturalGradientState(jnp.zeros((), int), zero)

        def update(updates, state, params=None, chunk_size=None, **given):
            energy, weights = given["local_energy"], given["weights"]
            if weights is None:
                weights = jnp.full_like(energy.real, 1 / energy.shape[0])
            point = given["ansatz"], params, given["walkers"], weights
            derivatives = CenteredDerivatives(*point, chunk_size, self.memory)
            step = jnp.asarray(rate(state.count), energy.real.dtype)
            peak = step if callable(self.learning_rate) else self.learning_rate
            direction, length = self._direction(
                derivatives, energy, state.direction, peak
            )
            scale = jnp.ones((), length.dtype)
            if self.max_step is not None:
                scale = jnp.minimum(scale, self.max_step / (step * length))
            direction = jax.tree.map(
                lambda leaf, last: (scale * leaf).astype(last.dtype),
                direction,
                state.direction,
            )
            updates = jax.tree.map(lambda leaf: -step * leaf, direction)
            return updates, NaturalGradientState(state.count + 1, direction)

        return optax.GradientTransformationExtraArgs(init, update)

    def damping_at(self, learning_rate: float | None, variance: float) -> float:
        """The damping of a step; `variance` is that of the local energies.

        The step itself takes the variance of local energies that are clipped.
        """
        peak = self.learning_rate
        peak = (learning_rate or 0.0) if callable(peak) else peak
        return self.damping + self.noise * peak**2 * variance

    def _direction(
        self,
        derivatives: CenteredDerivatives,
        local_energy: Array,
        last: Params,
        peak: Array | float,
    ) -> tuple[Params, Array]:
        """The direction phi and its length ||O phi||.

        With the solution alpha or delta of the damped equations, the length takes no
        further product:

            O phi = eps - damping alpha,    O^T O phi = O^T eps - damping delta.
        """
        parts = [local_energy.real, local_energy.imag][: derivatives.n_parts]
        eps = derivatives.center(jnp.stack(parts, axis=1))
        damping = self.damping + self.noise * jnp.sum((peak * eps) ** 2)
        start = jax.tree.map(lambda leaf: self.momentum * leaf, last)
        if self.solver == "cg":
            return self._iterated(derivatives, eps, damping, start)
        space = self.space
        if space == "auto":
            operations = derivatives.operations()
            space = min(operations, key=operations.__getitem__)
        if space == "samples":
            residual = eps - derivatives.times(start) if self.momentum else eps
            solution = solve(derivatives.gram(), residual, damping)
            correction = derivatives.transposed_times(solution)
            direction = jax.tree.map(jnp.add, start, correction)
            return direction, jnp.linalg.norm(eps - damping * solution)
        metric = derivatives.metric()
        force, unravel = ravel_pytree(derivatives.transposed_times(eps))
        start, _ = ravel_pytree(start)
        correction = solve(metric, force - metric @ start, damping)
        direction = start + correction
        square = direction @ (force - damping * correction)
        direction = direction.astype(start.dtype)
        return unravel(direction), jnp.sqrt(jnp.maximum(square, 0))

    def _iterated(
        self,
        derivatives: CenteredDerivatives,
        eps: Array,
        damping: Array,
        start: Params,
    ) -> tuple[Params, Array]:
        """The direction and its length, by conjugate gradients from `start`."""
        times, transposed_times = derivatives.products()
        start, unravel = ravel_pytree(start)
        correction, _ = jax.scipy.sparse.linalg.cg(
            lambda v: transposed_times(times(v)) + damping * v,
            transposed_times(eps - times(start)),
            tol=self.tolerance,
            maxiter=MOST_PRODUCTS,
        )
        direction = start + correction
        direction = direction.astype(start.dtype)
        return unravel(direction), jnp.linalg.norm(times(direction))


def solve(matrix: Array, vector: Array, damping: Array | float) -> Array:
    """(matrix + damping)^{-1} vector for a positive semidefinite matrix (m, m).

    By Cholesky; where rounding has made the matrix indefinite beyond the damping, by
    its eigenvalues, with negative ones set to zero.
    """
    shift = jnp.asarray(damping, matrix.dtype)
    damped = matrix + shift * jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    # transposed, because LAPACK stores columns where XLA stores rows
    factor = jax.lax.linalg.cholesky(damped.T, symmetrize_input=False)
    solution = jax.scipy.linalg.cho_solve((factor, True), vector)

    def by_eigenvalues(matrix, vector, _):  # adds the shift again, to keep no copy
        values, vectors = jnp.linalg.eigh(matrix)
        return vectors @ ((vectors.T @ vector) / jnp.maximum(values + shift, shift))

    def by_cholesky(matrix, vector, solution):
        return solution

    is_definite = jnp.all(jnp.isfinite(solution))
    branches = by_cholesky, by_eigenvalues
    return jax.lax.cond(is_definite, *branches, matrix, vector, solution)


SR = partial(NaturalGradient, space="parameters")
MinSR = partial(NaturalGradient, space="samples")
Spring = partial(NaturalGradient, momentum=0.9)

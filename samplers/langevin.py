"""Langevin importance sampling: moves that drift along the gradient of log|psi|.

x' = x + tau v(x) + sqrt(tau) xi, with v = grad log|psi| limited where it is large, is
accepted with the ratio of the Green's functions G(x' -> x) / G(x -> x'), log G(x -> x')
= -|x' - x - tau v(x)|^2 / (2 tau); without that ratio the density would be wrong at any
finite tau. P. J. Rossky, J. D. Doll and H. L. Friedman, J. Chem. Phys. 69, 4628 (1978).
"""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_map
from nqs.moves import accepted, limited_drift, log_green_ratio, where
from nqs.types import Ansatz, Params
from samplers.acceptance import adapted, check_settings, move_walkers, starting_width


class LangevinState(NamedTuple):
    """Walkers (w, n, d) and the time step ()."""

    walkers: Array
    time_step: Array


@dataclasses.dataclass(frozen=True)
class Langevin:
    """Metropolis-adjusted Langevin dynamics of all particles at once.

    Attributes:
      sweeps: moves of every walker per step.
      time_step: the first tau, in squared length units (hbar = mass = 1); then adapted.
      acceptance: target of `adapt`.
    """

    sweeps: int = 5
    time_step: float = 0.1
    acceptance: float = 0.7
    requires: ClassVar[type | None] = None
    kind: ClassVar[str] = "particles"

    def __post_init__(self):
        check_settings(self)

    def init(self, walkers: Array, /) -> LangevinState:
        """Start at the given walkers with the time step of the settings."""
        return LangevinState(walkers, starting_width(walkers, self.time_step))

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: LangevinState, /
    ) -> tuple[LangevinState, dict[str, Array]]:
        """`sweeps` moves of every walker, leaving |psi|^2 invariant."""
        walkers, tau = state
        value_and_grad = jax.value_and_grad(lambda x: ansatz.apply(params, x).logabs)

        def logabs_and_drift(x):
            logabs, gradient = value_and_grad(x)
            return logabs, limited_drift(gradient, tau)

        def move_walker(key, x, logabs, drift):
            key_move, key_accept = jax.random.split(key)
            # Rows of two or three numbers would be drawn one row at a time.
            row = jax.random.normal(key_move, (x.size,), x.dtype)
            xi = jax.lax.optimization_barrier(row).reshape(x.shape)
            x_new = x + tau * drift + jnp.sqrt(tau) * xi
            logabs_new, drift_new = logabs_and_drift(x_new)
            xi_back = (x - x_new - tau * drift_new) / jnp.sqrt(tau)
            log_q_ratio = log_green_ratio(xi, xi_back)
            accept = accepted(key_accept, 2 * (logabs_new - logabs) + log_q_ratio)
            broken = ~(logabs_new < jnp.inf)
            new, old = (x_new, logabs_new, drift_new), (x, logabs, drift)
            return *where(accept, new, old), accept, broken

        start = (walkers, *chunked_map(logabs_and_drift, walkers))
        (walkers, *_), info = move_walkers(
            key, self.sweeps, move_walker, start, tau.dtype
        )
        return LangevinState(walkers, tau), info | {"time_step": tau}

    def adapt(self, state: LangevinState, info: dict[str, Array], /) -> LangevinState:
        """Lengthen the time step when too many moves are accepted, else shorten it."""
        tau = adapted(state.time_step, info["acceptance"], self.acceptance)
        return state._replace(time_step=tau)

    def limited(self, state: LangevinState, reach: float) -> LangevinState:
        """State whose moves are at most about as long as `reach`."""
        return state._replace(time_step=jnp.minimum(state.time_step, reach**2))

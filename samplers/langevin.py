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

from nqs.moves import limited_drift, log_green_ratio, normal_like
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
        return self.reversible_step(key, ansatz, params, state)[:2]

    def reversible_step(
        self, key: Array, ansatz: Ansatz, params: Params, state: LangevinState, /
    ) -> tuple[LangevinState, dict[str, Array], Array]:
        """`step`, and the change (w,) of log|psi|^2."""
        walkers, tau = state
        value_and_grad = jax.value_and_grad(lambda x: ansatz.apply(params, x).logabs)

        def move(key, x, value, first):
            log_p, drift = value
            xi = normal_like(key, x)
            x_new = jnp.where(first, x, x + tau * drift + jnp.sqrt(tau) * xi)
            logabs, gradient = value_and_grad(x_new)
            log_p_new = 2 * logabs.astype(x.dtype)
            drift_new = limited_drift(gradient, tau)
            xi_back = (x - x_new - tau * drift_new) / jnp.sqrt(tau)
            log_ratio = log_p_new - log_p + log_green_ratio(xi, xi_back)
            return x_new, (log_p_new, drift_new), log_ratio

        value = jnp.zeros_like(walkers[:, 0, 0]), jnp.zeros_like(walkers)
        walkers, info, change = move_walkers(key, self.sweeps, move, walkers, value)
        return LangevinState(walkers, tau), info | {"time_step": tau}, change

    def adapt(self, state: LangevinState, info: dict[str, Array], /) -> LangevinState:
        """Lengthen the time step when too many moves are accepted, else shorten it."""
        tau = adapted(state.time_step, info["acceptance"], self.acceptance)
        return state._replace(time_step=tau)

    def limited(self, state: LangevinState, reach: float) -> LangevinState:
        """State whose moves are at most about as long as `reach`."""
        return state._replace(time_step=jnp.minimum(state.time_step, reach**2))

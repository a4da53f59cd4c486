"""Real-time evolution of psi by the time-dependent variational principle.

Every step samples |psi|^2, or |guide|^2, once. The three stages of Kutta's method,

    k1 = v(t, p),  k2 = v(t + h/2, p + h k1/2),  k3 = v(t + h, p + h (2 k2 - k1)),
    p(t + h) = p + h (k1 + 4 k2 + k3) / 6,

share its walkers, with weights |psi_stage / guide|^2. They then differ smoothly,
although each velocity v has a statistical error. The midpoint rule p + h k2 of order
two is embedded; the angle between both wave functions is the error of the step, which
the step length keeps below a tolerance. E. Hairer, S. P. Norsett and G. Wanner, Solving
Ordinary Differential Equations I, II.1 and II.4.

Without a guide, v is biased where |psi| is small: E_L and derivatives are large in rare
walkers. The guide |psi|^(1/2) draws more of them. A. Sinibaldi et al., Quantum 7, 1131
(2023); W. Krinitsin and M. Schmitt, arXiv:2605.03930 (2026).
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.batching import check_chunk_size, chunked_map
from nqs.checks import check_ansatz, positive
from nqs.contracts import check_capability, check_kind, check_log_psi
from nqs.evolution.drives import Drive
from nqs.moves import where
from nqs.types import (
    Ansatz,
    Hamiltonian,
    LogPsi,
    Params,
    Sampler,
    State,
    Walkers,
    sum_of_terms,
)
from nqs.vmc import energy_info, local_terms, strong

# Kutta's method: p + h (A k) and t + h C of the stages, and weights of the velocities.
A = np.array([[0, 0, 0], [1 / 2, 0, 0], [-1, 2, 0]])
C = np.array([0, 1 / 2, 1])
B = np.array([1 / 6, 2 / 3, 1 / 6])
MIDPOINT = np.array([0, 1, 0])

# Relative length of a last step that is added to the step before it.
ROUNDING = 1e-6

# Fields of the state that the info repeats.
TOTALS = ("time", "log_norm", "energy_drift")

# Limits of the change of the step length from one step to the next.
SHRINK, GROW, SAFETY = 0.3, 2.0, 0.9


class Equations(Protocol):
    """Equations of motion, such as `nqs.optimizers.RealTime`."""

    def velocity(
        self,
        ansatz: Ansatz,
        params: Params,
        walkers: Walkers,
        local_energy: Array,
        weights: Array,
        chunk_size: int | None = None,
    ) -> tuple[Params, dict[str, Array]]:
        """Time derivative of the parameters, and () scalars.

        Walkers have the `weights` (w,), probabilities. The scalar `energy_rate` is the
        rate at which the energy changes by approximations.
        """
        ...


class EvolutionState(NamedTuple):
    """Psi at one time, and its walkers."""

    step: Array  # () integer, steps tried
    time: Array  # (), in the inverse of the energy unit
    until: Array  # () end of the present interval, which no step passes
    time_step: Array  # () length of the next step
    params: Params
    sampler: State  # .walkers (w, ...)
    log_norm: Array  # () log <psi|psi> since the beginning
    energy_drift: Array  # () change of the energy by approximations since then


@dataclasses.dataclass(frozen=True)
class Evolution:
    """Real-time evolution of a complex psi.

    Attributes:
      ansatz: complex, such as `nqs.ansatze.complex_parameters` of a real one.
      hamiltonian: the system after time zero.
      sampler: the Markov kernel.
      equations: of motion.
      drive: function of time that returns factors of terms of the Hamiltonian by name,
        1 where it has none: {"trap": (omega(t) / omega)^2}. None for constant terms.
      tolerance: largest error of a step, an angle between wave functions; None for
        steps of constant length.
      chunk_size: walkers at a time; None for `nqs.batching.suitable_chunk_size`.
      guide: the walkers have the density |guide|^2 and weights |psi / guide|^2; a
        function of the parameters of psi. None for psi.

    Raises:
      ValueError: if the ansatz lacks a capability of the sampler, or a number is out of
        range.
    """

    ansatz: Ansatz
    hamiltonian: Hamiltonian
    sampler: Sampler
    equations: Equations
    drive: Drive | None = None
    tolerance: float | None = 1e-4
    chunk_size: int | None = None
    guide: Ansatz | None = None

    def __post_init__(self):
        check_ansatz(self.ansatz)
        check_capability(self.sampler, self.drawn_from)
        check_chunk_size(self.chunk_size)
        if self.tolerance is not None:
            positive("tolerance", self.tolerance)

    def init(
        self, params: Params, walkers: Walkers, time_step: float, until: float
    ) -> EvolutionState:
        """The state at time zero.

        Args:
          params: of the ansatz.
          walkers: (w, ...), drawn from |psi|^2 or |guide|^2.
          time_step: length of the first step, in the inverse of the energy unit.
          until: end of the first interval.

        Raises:
          ValueError: if the ansatz does not fit.
        """
        x = jax.tree.map(lambda leaf: leaf[0], walkers)
        check_kind(self.sampler, self.hamiltonian, x)
        check_log_psi(self.ansatz, params, x)
        params = jax.tree.map(strong, params)
        kind = jnp.result_type(float)
        # arrays of their own, because steps may donate them
        time, log_norm, drift = (jnp.zeros((), kind) for _ in range(3))
        end, length = jnp.asarray(until, kind), jnp.asarray(time_step, kind)
        sampler, count = self.sampler.init(walkers), jnp.zeros((), int)
        return EvolutionState(
            count, time, end, length, params, sampler, log_norm, drift
        )

    @property
    def drawn_from(self) -> Ansatz:
        """The wave function with the density of the walkers."""
        return self.ansatz if self.guide is None else self.guide

    def terms(self, time: Array, params: Params, walkers: Walkers) -> dict[str, Array]:
        """Every term of the local energy at a time, (w,) each."""
        point = self.ansatz, self.hamiltonian, params, walkers
        terms = local_terms(*point, self.chunk_size)
        return {
            name: terms[name] * factor for name, factor in self.factors(time, terms)
        }

    def factors(self, time: Array, terms: Mapping[str, Array]) -> list:
        """Pairs of the name and the factor of every term at a time.

        Raises:
          ValueError: if the drive changes a term that the Hamiltonian does not have.
        """
        driven = {} if self.drive is None else self.drive(time)
        if unknown := [name for name in driven if name not in terms]:
            known = ", ".join(terms)
            raise ValueError(f"drive must change one of {known}, got {unknown[0]}")
        return [(name, driven.get(name, 1.0)) for name in terms]

    def step(
        self, key: Array, state: EvolutionState
    ) -> tuple[EvolutionState, dict[str, Array]]:
        """Sample, and take one step in time or shorten it.

        Returns:
          The next state and info, () scalars: energy, variance and terms before the
          step, the time after it, its length and error, whether it was accepted, the
          residual of the variational principle (mean of the stages), the drift of
          energy and norm, the effective walkers of the last stage, the number of
          non-finite values, and the info of the sampler.
        """
        moved_on, sampled = self.sampler.step(
            key, self.drawn_from, state.params, state.sampler
        )
        sampler = self.sampler.adapt(moved_on, sampled)
        state = state._replace(step=state.step + 1, sampler=sampler)
        remaining = state.until - state.time
        last = state.time_step * (1 + ROUNDING) >= remaining
        h = jnp.where(last, remaining, state.time_step)
        new, error, info = self._tried(state, h)
        new = new._replace(time=jnp.where(last, state.until, state.time + h))
        accept, length = self._length(h, error, last, state.time_step)
        state = where(accept, new, state)._replace(time_step=length)
        info["non_finite"] = info["non_finite"] + sampled.get("non_finite", 0)
        info = sampled | info | {name: getattr(state, name) for name in TOTALS}
        info |= {"time_step": h, "step_error": error, "accepted": accept.astype(int)}
        return state, info

    def _tried(
        self, state: EvolutionState, h: Array
    ) -> tuple[EvolutionState, Array, dict[str, Array]]:
        """The state after a step of length h, its error, and info."""
        walkers = state.sampler.walkers
        before = drawn = self._log_psi(self.ansatz, state.params, walkers)
        if self.guide is not None:
            drawn = self._log_psi(self.guide, state.params, walkers)
        velocities, info = self._stages(state, drawn, h)
        params = moved(state.params, velocities, h * B)
        after = self._log_psi(self.ansatz, params, walkers)
        embedded = moved(state.params, velocities, h * MIDPOINT)
        weights = jax.nn.softmax(2 * (before.logabs - drawn.logabs))
        error = angle(after, self._log_psi(self.ansatz, embedded, walkers), weights)
        growth = jax.nn.logsumexp(2 * (after.logabs - before.logabs), b=weights)
        new = state._replace(
            params=params,
            log_norm=state.log_norm + growth,
            energy_drift=state.energy_drift + h * B @ info.pop("energy_rate"),
        )
        return new, error, info

    def _stages(
        self, state: EvolutionState, drawn: LogPsi, h: Array
    ) -> tuple[Params, dict[str, Array]]:
        """Velocities (3, ...) of the stages, and info of the first or of all."""
        walkers, n_walkers = state.sampler.walkers, drawn.logabs.shape[0]

        def stage(velocities, i):
            params = moved(state.params, velocities, h * jnp.asarray(A)[i])
            there = self._log_psi(self.ansatz, params, walkers)
            weights = jax.nn.softmax(2 * (there.logabs - drawn.logabs))
            time = state.time + h * jnp.asarray(C)[i]
            terms = self.terms(time, params, walkers)
            point = self.ansatz, params, walkers, sum_of_terms(terms), weights
            velocity, info = self.equations.velocity(*point, self.chunk_size)
            velocities = jax.tree.map(
                lambda all_of, one: all_of.at[i].set(one), velocities, velocity
            )
            energies = energy_info(sum_of_terms(terms), terms, weights)
            energies["non_finite"] = jnp.sum(~jnp.isfinite(sum_of_terms(terms)))
            few = 1 / (n_walkers * jnp.sum(weights**2))
            return velocities, (energies, info | {"effective_walkers": few})

        none = jax.tree.map(lambda leaf: jnp.zeros((3, *leaf.shape)), state.params)
        velocities, (first, each) = jax.lax.scan(stage, none, jnp.arange(3))
        info = jax.tree.map(lambda values: values[0], first)
        info["residual"] = jnp.mean(each["residual"])
        info["effective_walkers"] = each["effective_walkers"][-1]
        return velocities, info | {"energy_rate": each["energy_rate"]}

    def _length(
        self, h: Array, error: Array, clipped: Array, longest: Array
    ) -> tuple[Array, Array]:
        """Whether the step is accepted, and the length of the next one."""
        if self.tolerance is None:
            return jnp.ones((), bool), longest
        accept = error <= self.tolerance
        best = SAFETY * (self.tolerance / jnp.maximum(error, 1e-30)) ** (1 / 3)
        best = jnp.where(jnp.isfinite(error), jnp.clip(best, SHRINK, GROW), SHRINK)
        # a step cut off by the end of the interval does not shorten the next one
        least = jnp.where(clipped & accept, longest, 0)
        return accept, jnp.maximum(h * best, least)

    def _log_psi(self, ansatz: Ansatz, params: Params, walkers: Walkers) -> LogPsi:
        """Log psi of every walker, (w,)."""
        return chunked_map(lambda x: ansatz.apply(params, x), walkers, self.chunk_size)


def moved(params: Params, velocities: Params, coefficients: Array) -> Params:
    """Parameters moved by sum_i coefficients[i] velocities[i]."""
    return jax.tree.map(
        lambda leaf, of_stages: leaf + jnp.tensordot(coefficients, of_stages, axes=1),
        params,
        velocities,
    )


def angle(one: LogPsi, other: LogPsi, weights: Array) -> Array:
    """Angle () between two wave functions, from their values (w,) at walkers of one.

    sin^2 = 1 - |<r>|^2 / <|r|^2> with the ratio r of both, and weights (w,) of sum 1.
    """
    log_ratio = one.logabs - other.logabs
    size = jnp.exp(log_ratio - jnp.max(log_ratio))
    ratio = size * one.sign * jnp.conj(other.sign)
    apart = ratio - weights @ ratio  # its variance has no cancellation
    return jnp.sqrt(weights @ jnp.abs(apart) ** 2 / (weights @ size**2))

"""Fixed-node diffusion Monte Carlo: projection of a trained psi on the ground state.

For H = -D sum_i nabla_i^2 + V(x) the density f = psi phi follows

    -df/dt = -D sum_i nabla_i . (nabla_i - 2 nabla_i log|psi|) f + (E_L - E_T) f,

where phi tends to the lowest state with the nodes of psi. A walker drifts, diffuses by
s = 2 D tau in every coordinate, and is accepted as in `samplers.langevin`, unless psi
changes its sign. Its weight then grows by

    exp(tau_eff (S(x) + S(x')) / 2),    S = E_T - E_L,  at most 1 / tau in size,

with tau_eff = tau sum p xi^2 / sum xi^2 over the walkers, p the probability of
acceptance. C. J. Umrigar, M. P. Nightingale and K. J. Runge, J. Chem. Phys. 99, 2865
(1993).
They damp S by |v'| / |v| instead, v' the limited drift, which acts on all walkers
within about sqrt(s) of a node. Where E_L is c / r the bound acts within c tau only; its
error was the smaller one for two fermions on a line, see docs/method/projection.md.

Forces that exchange spins have elements m(x') = <x|H|x'> psi(x') / psi(x) between
configurations, as on a lattice. After its move a walker jumps to x' with the rate
-m(x') where m(x') < 0; a positive m(x') allows no jump and remains in E_L. phi is then
the ground state of an effective Hamiltonian, whose energy is an upper bound of the
exact one. M. Casula, Phys. Rev. B 74, 161102 (2006).

For weights and populations see `nqs.projection.population`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.batching import check_chunk_size, chunked_map, chunked_while
from nqs.checks import check_ansatz, name_of, positive
from nqs.contracts import called
from nqs.laplacian.kinetic import real_derivatives
from nqs.moves import accepted, limited_drift, log_green_ratio, normal_like, where
from nqs.projection.lattice import chosen_jump, waiting_time
from nqs.projection.population import (
    ProjectionState,
    check_real,
    first_state,
    renewed,
    weighted,
)
from nqs.ratios.exchange import ExchangeForces, exchange_ratios, exchanged
from nqs.ratios.rows import Row
from nqs.types import (
    Ansatz,
    Function,
    Hamiltonian,
    LogPsi,
    Params,
    sum_of_terms,
)


class Guide(NamedTuple):
    """The guiding psi and its local energy at every walker."""

    sign: Array  # (w,)
    logabs: Array  # (w,)
    gradient: Array  # (w, n, d) of logabs
    terms: dict[str, Array]  # (w,) each
    exchanges: Any = ()  # (w, up, down) m, of forces that exchange spins


@dataclasses.dataclass(frozen=True)
class Projection:
    """Diffusion Monte Carlo with the nodes of a real psi.

    Attributes:
      ansatz: the guiding wave function.
      hamiltonian: the system, with a local potential, or with `ExchangeForces`.
      time_step: tau, in the inverse of the energy unit.
      chunk_size: walkers at a time; None for `nqs.batching.suitable_chunk_size`.

    Raises:
      ValueError: if the Hamiltonian has no `diffusion`, or a number is out of range.
    """

    ansatz: Ansatz
    hamiltonian: Hamiltonian
    time_step: float = 0.01
    chunk_size: int | None = None

    def __post_init__(self):
        check_ansatz(self.ansatz)
        check_chunk_size(self.chunk_size)
        positive("time_step", self.time_step)
        if getattr(self.hamiltonian, "diffusion", None) is None:
            raise ValueError(
                "hamiltonian must have a diffusion, that is particles in a potential, "
                f"for a projection, got {name_of(self.hamiltonian)}"
            )

    def init(self, params: Params, walkers: Array) -> ProjectionState:
        """The state before the first step.

        Args:
          params: of the ansatz.
          walkers: (w, n, d), drawn from |psi|^2.

        Raises:
          ValueError: if psi is complex.
        """
        check_real(self.ansatz, params, walkers[0])
        guide = self.guide(params, walkers)
        return first_state(params, walkers, guide, self.time_step)

    def check(self, params: Params, walkers: Array, call: Callable = called) -> None:
        """Compare the local energy of `guide` with that of the Hamiltonian.

        Args:
          params: of the ansatz.
          walkers: (w, n, d); the first three are compared.
          call: `call(f, *arguments)` evaluates f.

        Raises:
          ValueError: if they differ in all of these: `diffusion` is not that of the
            kinetic energy, or a term other than the kinetic one depends on psi.
        """

        def energies(params, walkers):
            terms = self.guide(params, walkers).terms
            direct = jax.vmap(
                lambda x: self.hamiltonian.local_energy(self.ansatz, params, x)
            )
            return jnp.stack([sum_of_terms(terms), direct(walkers)])

        here, there = np.asarray(call(energies, params, walkers[:3]))
        tolerance = float(np.finfo(here.dtype).eps) ** 0.4
        # near a node one of them may differ by rounding
        if (abs(here - there) > tolerance * (1 + abs(there))).all():
            raise ValueError(
                f"diffusion of {name_of(self.hamiltonian)} must be D of its kinetic "
                "energy, -D sum_i nabla_i^2, and its other terms must not depend on "
                f"psi: with diffusion={self._diffusion} the local energy would be "
                f"{here[0]:.8g} instead of {there[0]:.8g}"
            )

    def guide(self, params: Params, walkers: Array) -> Guide:
        """Psi, its gradient and the terms of the local energy of every walker."""

        def of_walker(x):
            return self._guide(params, x)

        return chunked_map(of_walker, walkers, self.chunk_size)

    def _guide(self, params: Params, x: Array) -> Guide:
        """The same of one walker."""
        psi = real_derivatives(self.ansatz, params, x)
        kinetic = 2 * self._diffusion * psi.kinetic_energy
        terms = self.hamiltonian.terms(CONSTANT, {}, x) | {"kinetic": kinetic}
        guide = Guide(psi.sign, psi.logabs, psi.gradient, terms)
        if (forces := self._forces) is None:
            return guide
        name, elements = forces.exchange, forces.exchange_elements(x)
        ratios = exchange_ratios(self.ansatz, params, x, forces.spins)
        # the terms of a constant psi have ratios of 1
        terms[name] = terms[name] + jnp.sum(elements * (ratios - 1))
        return guide._replace(exchanges=elements * ratios)

    def step(
        self, key: Array, state: ProjectionState
    ) -> tuple[ProjectionState, dict[str, Array]]:
        """Move every walker, change its weight, and draw walkers anew if it is time.

        Returns:
          The next state and info, () scalars: the mixed estimate of the energy and of
          every term, the variance of the local energy, the energy at which the weights
          would not grow, the effective part of the walkers, the effective time step,
          the acceptance, and the number of non-finite values; with forces that exchange
          spins also the jumps of a walker, and the sum of the positive m, which allow
          no jumps.
        """
        key_move, key_comb = jax.random.split(key)
        walkers, guide, info = self._moved(key_move, state)
        rate = (self._rate(state, state.guide) + self._rate(state, guide)) / 2
        time = info["effective_time_step"]
        following, means = weighted(state, walkers, guide, jnp.exp(time * rate), time)
        if self._forces is not None:
            key_jump = jax.random.fold_in(key_move, 2)  # 0 and 1 are those of a split
            following, jumps = self._jumped(key_jump, following)
            broken = ~jnp.isfinite(sum_of_terms(following.guide.terms))
            means |= jumps | {"non_finite": info["non_finite"] + jnp.sum(broken)}
        return renewed(key_comb, following), info | means

    @property
    def _forces(self) -> ExchangeForces | None:
        """The Hamiltonian, if it exchanges spins and there are both of them."""
        system = self.hamiltonian
        if not isinstance(system, ExchangeForces):
            return None
        return system if min(system.spins.up, system.spins.down) else None

    @property
    def _diffusion(self) -> float:
        assert self.hamiltonian.diffusion is not None
        return self.hamiltonian.diffusion

    def _rate(self, state: ProjectionState, guide: Guide) -> Array:
        """The rate S (w,) at which the weights grow, bounded near nodes."""
        rate = state.trial_energy - sum_of_terms(guide.terms)
        return jnp.clip(rate, -1 / state.time_step, 1 / state.time_step)

    def _moved(
        self, key: Array, state: ProjectionState
    ) -> tuple[Array, Guide, dict[str, Array]]:
        """Drift, diffuse and accept; walkers that would cross a node stay."""
        key_xi, key_accept = jax.random.split(key)
        old, guide = state.walkers, state.guide
        spread = 2 * self._diffusion * state.time_step  # variance of a coordinate
        xi = normal_like(key_xi, old)
        drift = limited_drift(guide.gradient, spread)
        new = old + spread * drift + jnp.sqrt(spread) * xi
        there = self.guide(state.params, new)
        drift_back = limited_drift(there.gradient, spread)
        xi_back = (old - new - spread * drift_back) / jnp.sqrt(spread)
        log_ratio = 2 * (there.logabs - guide.logabs)
        log_ratio += jax.vmap(log_green_ratio)(xi, xi_back)
        log_ratio = jnp.where(there.sign == guide.sign, log_ratio, -jnp.inf)
        accept = accepted(key_accept, log_ratio)
        walkers, kept = jax.vmap(where)(accept, (new, there), (old, guide))
        square = jnp.sum(xi**2, axis=(1, 2))
        probable = jnp.sum(jnp.exp(jnp.minimum(log_ratio, 0)) * square)
        broken = ~(there.logabs < jnp.inf) | ~jnp.isfinite(sum_of_terms(kept.terms))
        info = {
            "acceptance": jnp.mean(accept.astype(old.dtype)),
            "effective_time_step": state.time_step * probable / jnp.sum(square),
            "non_finite": jnp.sum(broken),
        }
        return walkers, kept, info

    def _jumped(
        self, key: Array, state: ProjectionState
    ) -> tuple[ProjectionState, dict[str, Array]]:
        """Exchange two particles of walkers, at the rates of negative amplitudes."""
        amplitudes = state.guide.exchanges
        u = jax.random.uniform(key, (len(amplitudes), 2), amplitudes.dtype)
        jumps, i, j = jax.vmap(chosen_exchange, (0, 0, None))(
            u, amplitudes, state.time_step
        )
        there = jax.vmap(exchanged)(state.walkers, i, j)
        walkers = jax.vmap(where)(jumps, there, state.walkers)
        walkers, guide, _ = chunked_while(
            lambda walker: walker[2],
            lambda walker: (
                walker[0],
                self._guide(state.params, walker[0]),
                jnp.zeros((), bool),
            ),
            (walkers, state.guide, jumps),
            self.chunk_size,
        )
        kept = jnp.sum(jnp.maximum(amplitudes, 0), axis=(1, 2))
        info = {
            "jumps": jnp.mean(jumps.astype(amplitudes.dtype)),
            "sign_flip": jnp.mean(state.weights * kept),
        }
        return state._replace(walkers=walkers, guide=guide), info


def chosen_exchange(
    u: Array, amplitudes: Array, time_step: Array
) -> tuple[Array, Array, Array]:
    """Whether a walker jumps in a time step, and the particles i and j, () each.

    Args:
      u: two numbers (2,), uniform in [0, 1).
      amplitudes: m (up, down).
      time_step: tau ().
    """
    up, down = amplitudes.shape
    row = Row({}, amplitudes.reshape(-1))
    k = chosen_jump(u[1], row)
    return waiting_time(u[0], row) < time_step, k // down, up + k % down


def _constant(params: Params, x: Array) -> LogPsi:
    one = jnp.ones((), x.dtype)
    return LogPsi(one, jnp.sum(0 * x))


# psi = 1, whose local energy is the potential.
CONSTANT = Function(_constant)

"""Green's function Monte Carlo in continuous time: projection on a lattice.

With m(x') = <x|H|x'> psi(x') / psi(x) the local energy is E_L = <x|H|x> + sum m. A
walker of weight w jumps from x to x' at the rate -m(x') where m(x') < 0, and between
two jumps

    dw/dt = -(E_L(x) - E_T) w,

so that the density of weights tends to psi phi, phi the ground state. The times of the
jumps have an exponential distribution, without an error of a time step. N. Trivedi and
D. M. Ceperley, Phys. Rev. B 41, 4552 (1990).

A positive m(x') allows no jump, and remains in E_L as a part of the diagonal. phi is
then the ground state of another Hamiltonian, the effective one of fixed nodes, whose
energy is an upper bound of the exact one and at most the energy of psi. D. F. B. ten
Haaf et al., Phys. Rev. B 51, 13039 (1995). Without any positive m(x') it is exact.

For weights and populations see `nqs.projection.population`.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import check_chunk_size, chunked_map, chunked_while
from nqs.checks import check_ansatz, name_of, positive
from nqs.projection.population import (
    ProjectionState,
    check_real,
    first_state,
    renewed,
    weighted,
)
from nqs.ratios.rows import MatrixRows, Row, row_of
from nqs.ratios.sites import site_ratios_of
from nqs.types import Ansatz, Params, sum_of_terms


class Jumper(NamedTuple):
    """A walker on its way through one interval."""

    key: Array  # () of its random numbers
    x: Array  # (s,)
    row: Row
    wait: Array  # () until the next jump
    left: Array  # () until the end of the interval
    growth: Array  # () log of the factor of the weight
    jumps: Array  # () so far


@dataclasses.dataclass(frozen=True)
class LatticeProjection:
    """Green's function Monte Carlo with the signs of a real psi.

    Attributes:
      ansatz: the guiding wave function.
      hamiltonian: the system, with `connected`.
      time_step: between two comparisons of the weights, in the inverse of the energy
        unit; the energy does not depend on it.
      chunk_size: walkers at a time; None for `nqs.batching.suitable_chunk_size`.

    Raises:
      ValueError: if the Hamiltonian has no `connected`, or a number is out of range.
    """

    ansatz: Ansatz
    hamiltonian: Any
    time_step: float = 0.1
    chunk_size: int | None = None

    def __post_init__(self):
        check_ansatz(self.ansatz)
        check_chunk_size(self.chunk_size)
        positive("time_step", self.time_step)
        if not isinstance(self.hamiltonian, MatrixRows):
            raise ValueError(
                "hamiltonian must have the rows of its matrix, diagonal and connected, "
                f"for a projection on a lattice, got {name_of(self.hamiltonian)}"
            )

    def init(self, params: Params, walkers: Array) -> ProjectionState:
        """The state before the first step.

        Args:
          params: of the ansatz.
          walkers: (w, s), drawn from |psi|^2.

        Raises:
          ValueError: if psi is complex.
        """
        check_real(self.ansatz, params, walkers[0])
        tables = site_ratios_of(self.ansatz).site_tables(params)
        rows = chunked_map(lambda x: self.row(tables, x), walkers, self.chunk_size)
        return first_state(params, walkers, rows, self.time_step)

    def row(self, tables: Any, x: Array) -> Row:
        """Terms of the local energy, and their parts m (c,), of levels x (s,)."""
        ratios = site_ratios_of(self.ansatz)
        cache = ratios.site_cache(tables, x)
        return row_of(self.hamiltonian, ratios, tables, cache, x)

    def step(
        self, key: Array, state: ProjectionState
    ) -> tuple[ProjectionState, dict[str, Array]]:
        """Let walkers jump for one interval, and draw them anew if it is time.

        Returns:
          The next state and info, () scalars: those of `population.weighted`, the
          part of the local energy that is kept by the signs of psi, the jumps of a
          walker, and the number of non-finite values.
        """
        key_jump, key_comb = jax.random.split(key)
        moved = self._moved(key_jump, state)
        factors, time = jnp.exp(moved.growth), state.time_step
        following, info = weighted(state, moved.x, moved.row, factors, time)
        kept = jnp.sum(jnp.maximum(moved.row.amplitudes, 0), axis=1)
        info["sign_flip"] = jnp.mean(following.weights * kept)
        info["jumps"] = jnp.mean(moved.jumps.astype(factors.dtype))
        info["non_finite"] = jnp.sum(~jnp.isfinite(sum_of_terms(moved.row.terms)))
        return renewed(key_comb, following), info

    def _moved(self, key: Array, state: ProjectionState) -> Jumper:
        """All walkers at the end of an interval."""
        tables = site_ratios_of(self.ansatz).site_tables(state.params)
        key_start, key_jump = jax.random.split(key)
        w, dtype = len(state.walkers), state.weights.dtype

        def start(number, u, x, row):
            zero, key = jnp.zeros((), dtype), jax.random.fold_in(key_jump, number)
            wait, left = waiting_time(u, row), state.time_step
            return Jumper(key, x, row, wait, left, zero, jnp.zeros((), int))

        def jump(walker):
            key, x, here, wait, left, growth, jumps = walker
            u = jax.random.uniform(jax.random.fold_in(key, jumps), (2,), dtype)
            change, k = self.hamiltonian.connected(x), chosen_jump(u[0], here)
            x = x.at[change.sites[k]].set(change.values[k])
            there = self.row(tables, x)
            growth, left = growth - wait * excess(here), left - wait
            wait = waiting_time(u[1], there)
            return Jumper(key, x, there, wait, left, growth, jumps + 1)

        def excess(row):
            return sum_of_terms(row.terms) - state.trial_energy

        numbers, u = jnp.arange(w), jax.random.uniform(key_start, (w,), dtype)
        walkers = jax.vmap(start)(numbers, u, state.walkers, state.guide)
        moved = chunked_while(
            lambda walker: walker.wait < walker.left, jump, walkers, self.chunk_size
        )
        growth = moved.growth - moved.left * jax.vmap(excess)(moved.row)
        return moved._replace(growth=growth)


def jump_rates(row: Row) -> Array:
    """Rates (c,) of the jumps to all x'."""
    return jnp.maximum(-row.amplitudes, 0)


def waiting_time(u: Array, row: Row) -> Array:
    """Time () until the next jump, from u uniform in [0, 1).

    A row that is not finite is never left.
    """
    rate = jnp.sum(jump_rates(row))
    return jnp.where(jnp.isfinite(rate), -jnp.log1p(-u) / rate, jnp.inf)


def chosen_jump(u: Array, row: Row) -> Array:
    """Number () of a jump, drawn in proportion to the rates by u uniform in [0, 1)."""
    rates = jump_rates(row)
    sums = partial_sums(rates)
    return jnp.argmax((u * sums[-1] < sums) & (rates > 0))


def partial_sums(numbers: Array) -> Array:
    """Sums (c,) of the first 1, 2, ... of c numbers, by blocks.

    `jnp.cumsum` of a few numbers takes four times as long on a CPU.
    """
    width = math.isqrt(numbers.size) + 1
    blocks = jnp.pad(numbers, (0, -numbers.size % width)).reshape(-1, width)
    before = jnp.triu(jnp.ones((len(blocks), len(blocks)), numbers.dtype), 1)
    inside = blocks @ jnp.triu(jnp.ones((width, width), numbers.dtype))
    return (inside + (inside[:, -1] @ before)[:, None]).reshape(-1)[: numbers.size]

"""The compiled programs of an evolution."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from nqs.evolution.driver import Evolution, EvolutionState
from nqs.evolution.settings import EvolutionSettings
from nqs.runs.compilation import optimized
from nqs.runs.devices import placed, shardings, walker_mesh
from nqs.statistics import Evaluation, Measurements
from nqs.types import Ansatz, Observable, Params, State


class EvolutionPrograms(NamedTuple):
    """Programs, with the random keys of each."""

    everywhere: NamedSharding
    keys: Array
    compiled: dict[str, Any]

    def relax(self, state: EvolutionState) -> EvolutionState:
        """The state after the burn-in of its walkers."""
        return self.compiled["relax"](self.keys[0], state)

    def until(self, state: EvolutionState, time: float) -> EvolutionState:
        """The state at the beginning of an interval that ends at a time."""
        end = np.asarray(time, state.until.dtype)
        return state._replace(until=jax.device_put(end, self.everywhere))

    def step(self, state: EvolutionState) -> tuple[EvolutionState, dict[str, Any]]:
        """One step of the driver, and its info on the host."""
        state, info = self.compiled["step"](self.keys[1], state)
        return state, jax.device_get(info)

    def measure(
        self, state: EvolutionState, number: int
    ) -> tuple[EvolutionState, Measurements]:
        """Measurements (steps, ...) at one time, on the host; the walkers move on."""
        sampler, samples = self.compiled["measure"](
            self.keys[2], np.asarray(number), state.params, state.sampler
        )
        return state._replace(sampler=sampler), jax.device_get(samples)


class Functions(NamedTuple):
    """The functions that are compiled."""

    driver: Evolution
    observables: tuple[Observable, ...]
    settings: EvolutionSettings

    def step(
        self, key: Array, state: EvolutionState
    ) -> tuple[EvolutionState, dict[str, Array]]:
        """One step of the driver, with random numbers of its own."""
        return self.driver.step(jax.random.fold_in(key, state.step), state)

    def relax(self, key: Array, state: EvolutionState) -> EvolutionState:
        """The burn-in of the walkers, which adapts the width of the sampler."""
        drawn_from = self.driver.drawn_from
        sampler = self._relaxed(key, drawn_from, state.params, state.sampler)
        return state._replace(sampler=sampler)

    def _relaxed(
        self, key: Array, ansatz: Ansatz, params: Params, sampler: State
    ) -> State:
        def step(sampler, i):
            key_step = jax.random.fold_in(key, i)
            moved = self.driver.sampler.step(key_step, ansatz, params, sampler)
            return self.driver.sampler.adapt(*moved), None

        return jax.lax.scan(step, sampler, jnp.arange(self.settings.burn_in))[0]

    def measure(
        self, key: Array, number: Array, params: Params, sampler: State
    ) -> tuple[State, Measurements]:
        """Samples (steps, ...) of |psi|^2 with frozen parameters.

        Walkers with another density burn in first, and afterwards are as before.
        """
        driver, key = self.driver, jax.random.fold_in(key, number)
        parts = driver.ansatz, driver.hamiltonian, driver.sampler, self.observables
        evaluation = Evaluation(*parts, driver.chunk_size)
        start = sampler
        if driver.guide is not None:
            key, key_burn_in = jax.random.split(key)
            start = self._relaxed(key_burn_in, driver.ansatz, params, sampler)

        def step(sampler, i):
            return evaluation.step(jax.random.fold_in(key, i), params, sampler)

        end, samples = jax.lax.scan(step, start, jnp.arange(self.settings.samples))
        return (end if driver.guide is None else sampler), samples


def evolution_programs(
    driver: Evolution,
    observables: tuple[Observable, ...],
    settings: EvolutionSettings,
    state: EvolutionState,
) -> tuple[EvolutionState, EvolutionPrograms]:
    """The state on the devices, and the programs, compiled.

    Args:
      driver: of the evolution.
      observables: that are measured.
      settings: of the evolution.
      state: its first state, or that of a checkpoint.
    """
    n_walkers = jax.tree.leaves(state.sampler.walkers)[0].shape[0]
    mesh = walker_mesh(n_walkers)
    everywhere = NamedSharding(mesh, PartitionSpec())
    where = shardings(state, mesh, n_walkers)
    keys = jax.random.split(jax.random.key(settings.seed), 3)
    keys, state = jax.device_put(keys, everywhere), placed(state, where)
    functions = Functions(driver, observables, settings)
    measured = keys[2], np.asarray(0), state.params, state.sampler
    arguments = {
        "relax": (functions.relax, where, 1, (keys[0], state)),
        "step": (functions.step, (where, everywhere), 1, (keys[1], state)),
        "measure": (functions.measure, (where.sampler, everywhere), 3, measured),
    }
    compiled = {
        name: optimized(jax.jit(f, out_shardings=out, donate_argnums=give).lower(*of))
        for name, (f, out, give, of) in arguments.items()
    }
    return state, EvolutionPrograms(everywhere, keys, compiled)

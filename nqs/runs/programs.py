"""The compiled steps of a run."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from nqs.runs.devices import shardings
from nqs.runs.experiment import Experiment
from nqs.runs.start import Start
from nqs.runs.state import RunState
from nqs.statistics import Measurements
from nqs.types import sum_of_terms


class Programs(NamedTuple):
    """Compiled steps by phase, and their random keys.

    Each phase is a method that returns the state after one step, and its info on the
    host.
    """

    steps: dict[str, Callable]
    keys: dict[str, Array]

    def burn_in(self, run: RunState) -> tuple[RunState, dict[str, Any]]:
        """Sample and adapt the step width."""
        i, vmc = run.done["burn_in"], run.vmc
        sampler, info = self._call("burn_in", "burn_in", i, vmc.params, vmc.sampler)
        return run._replace(vmc=vmc._replace(sampler=sampler)), info

    def train(self, run: RunState) -> tuple[RunState, dict[str, Any]]:
        """One step of `VMC`."""
        vmc, info = self.steps["train"](self.keys["train"], run.vmc)
        return run._replace(vmc=vmc), jax.device_get(info)

    def evaluation(self, run: RunState) -> tuple[RunState, dict[str, Any]]:
        """Sample and measure with frozen parameters."""
        i, params = run.done["evaluation"], run.vmc.average
        sampler, measured = self._call(
            "evaluation", "evaluation", i, params, run.sampler
        )
        run.samples.append(measured)
        energy = sum_of_terms(measured.terms)
        info = {"energy": np.mean(energy).real, "variance": np.var(energy)}
        info |= {"acceptance": measured.acceptance, "non_finite": measured.non_finite}
        return run._replace(sampler=sampler), info

    def observe(self, run: RunState, step: int) -> Measurements:
        """Measurements in training, from a separate sampler step."""
        vmc = run.vmc
        return self._call("evaluation", "observe", step, vmc.params, vmc.sampler)[1]

    def _call(self, phase: str, key: str, i: int, *arguments: Any) -> tuple[Any, Any]:
        step = self.steps[phase]
        sampler, info = step(self.keys[key], np.asarray(i), *arguments)
        return sampler, jax.device_get(info)


def compiled(
    start: Start, run: RunState, phases: Iterable[str]
) -> tuple[RunState, Programs]:
    """Compile the steps of these phases in parallel, and add the time to the state."""
    started = time.monotonic()
    everywhere = NamedSharding(start.mesh, PartitionSpec())
    where = shardings(run.vmc, start.mesh, start.experiment.n_walkers)
    keys = jax.device_put(start.keys, everywhere)
    frozen = (keys["train"], np.asarray(0), run.vmc.params, run.vmc.sampler)
    burn_in, train, measure = _steps(start.experiment)
    known = {
        "burn_in": (burn_in, frozen, where.sampler, ()),
        "train": (train, (keys["train"], run.vmc), where, (1,)),
        "evaluation": (measure, frozen, where.sampler, ()),
    }
    lowered = {}
    for name in phases:
        function, arguments, out, donate = known[name]
        jitted = jax.jit(
            function, out_shardings=(out, everywhere), donate_argnums=donate
        )
        lowered[name] = jitted.lower(*arguments)
    with ThreadPoolExecutor() as pool:  # XLA releases Python's lock
        programs = [*pool.map(lambda step: step.compile(), lowered.values())]
    spent = run.seconds["compile"] + time.monotonic() - started
    run = run._replace(seconds=run.seconds | {"compile": spent})
    return run, Programs(dict(zip(lowered, programs, strict=True)), keys)


def _steps(experiment: Experiment) -> tuple[Callable, Callable, Callable]:
    """The pure steps of burn-in, training and evaluation; step i folds i into a key."""
    vmc, evaluation = experiment.vmc(), experiment.evaluation()

    def burn_in(key, i, params, sampler):
        key = jax.random.fold_in(key, i)
        sampler, info = vmc.sampler.step(key, vmc.ansatz, params, sampler)
        return vmc.sampler.adapt(sampler, info), info

    def train(key, state):
        return vmc.step(jax.random.fold_in(key, state.step), state)

    def measure(key, i, params, sampler):
        return evaluation.step(jax.random.fold_in(key, i), params, sampler)

    return burn_in, train, measure

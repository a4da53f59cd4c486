"""The compiled steps of a run."""

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
from nqs.types import sum_of_terms


class Programs(NamedTuple):
    """Compiled steps by phase, and the keys that they take.

    Each method returns the state after one step of its phase, and its info on the host.
    """

    steps: dict[str, Callable]
    keys: dict[str, Array]

    def burn_in(self, run: RunState) -> tuple[RunState, dict[str, Any]]:
        """Sample and adapt the step width."""
        vmc, i = run.vmc, np.asarray(run.done["burn_in"])
        step = self.steps["burn_in"]
        sampler, info = step(self.keys["burn_in"], i, vmc.params, vmc.sampler)
        return run._replace(vmc=vmc._replace(sampler=sampler)), jax.device_get(info)

    def train(self, run: RunState) -> tuple[RunState, dict[str, Any]]:
        """One step of `VMC`."""
        vmc, info = self.steps["train"](self.keys["train"], run.vmc)
        return run._replace(vmc=vmc), jax.device_get(info)

    def evaluation(self, run: RunState) -> tuple[RunState, dict[str, Any]]:
        """Sample and measure with frozen parameters."""
        key, i = self.keys["evaluation"], np.asarray(run.done["evaluation"])
        step = self.steps["evaluation"]
        sampler, values = step(key, i, run.vmc.average, run.sampler)
        values = jax.device_get(values)
        terms = {k: v for k, v in values.items() if k.startswith("term/")}
        energy = sum_of_terms(terms)
        seen = {"energy": np.mean(energy).real, "variance": np.var(energy)}
        run.samples.append(values)
        return run._replace(sampler=sampler), values | seen

    def observe(self, run: RunState, step: int) -> dict[str, Any]:
        """Measurements in training, from a sampler step of their own."""
        key, vmc = self.keys["observe"], run.vmc
        arguments = (key, np.asarray(step), vmc.params, vmc.sampler)
        return jax.device_get(self.steps["evaluation"](*arguments)[1])


def compiled(start: Start, run: RunState, phases: Iterable[str]) -> Programs:
    """Compile the steps of these phases ahead of time, side by side."""
    everywhere = NamedSharding(start.mesh, PartitionSpec())
    where = shardings(run.vmc, start.mesh, start.experiment.n_walkers)
    keys = jax.device_put(start.keys, everywhere)
    burn_in, train, measure = _steps(start.experiment)
    frozen = (keys["train"], np.asarray(0), run.vmc.params, run.vmc.sampler)
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
    with ThreadPoolExecutor() as pool:  # XLA compiles outside of Python's lock
        programs = pool.map(lambda step: step.compile(), lowered.values())
        return Programs(dict(zip(lowered, programs, strict=True)), keys)


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

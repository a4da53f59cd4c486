"""The compiled programs of a run."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled, Traced

from nqs.runs.devices import shardings, usable_cores
from nqs.runs.experiment import Experiment
from nqs.runs.state import RunState
from nqs.statistics import Measurements
from nqs.types import sum_of_terms
from nqs.vmc import VMCState

NEEDED = {
    "burn_in": ("sample", "adapt"),
    "train": ("sample", "local_terms", "update"),
    "evaluation": ("sample", "local_terms", "measure"),
}


class Programs(NamedTuple):
    """The compiled programs by name, and the random keys of the phases.

    Every phase is a method that returns the state after one step, and its info on the
    host. Phases share programs, and each is compiled once.
    """

    programs: dict[str, Compiled]
    keys: dict[str, Array]

    def burn_in(self, run: RunState) -> tuple[RunState, dict[str, Any]]:
        """Sample and adapt the step width."""
        i, vmc = run.done["burn_in"], run.vmc
        sampler, info = self._sample("burn_in", i, vmc.params, vmc.sampler)
        sampler = self.programs["adapt"](sampler, info)
        return run._replace(vmc=vmc._replace(sampler=sampler)), jax.device_get(info)

    def train(self, run: RunState) -> tuple[RunState, dict[str, Any]]:
        """One step of `VMC`."""
        vmc, i = run.vmc, run.done["train"]
        sampler, info = self._sample("train", i, vmc.params, vmc.sampler)
        terms = self.programs["local_terms"](vmc.params, sampler.walkers)
        vmc = vmc._replace(sampler=sampler)
        vmc, info = self.programs["update"](vmc, info, terms)
        return run._replace(vmc=vmc), jax.device_get(info)

    def evaluation(self, run: RunState) -> tuple[RunState, dict[str, Any]]:
        """Sample and measure with frozen parameters."""
        i, params = run.done["evaluation"], run.vmc.average
        sampler, measured = self._measure("evaluation", i, params, run.sampler)
        run.samples.append(measured)
        energy = sum_of_terms(measured.terms)
        info = {"energy": np.mean(energy).real, "variance": np.var(energy)}
        info |= {"acceptance": measured.acceptance, "non_finite": measured.non_finite}
        return run._replace(sampler=sampler), info

    def observe(self, run: RunState, step: int) -> Measurements:
        """Measurements in training, from a separate sampler step."""
        vmc = run.vmc
        return self._measure("observe", step, vmc.params, vmc.sampler)[1]

    def _measure(
        self, key: str, i: int, params: Any, sampler: Any
    ) -> tuple[Any, Measurements]:
        sampler, info = self._sample(key, i, params, sampler)
        terms = self.programs["local_terms"](params, sampler.walkers)
        measured = self.programs["measure"](params, sampler.walkers, info, terms)
        return sampler, jax.device_get(measured)

    def _sample(self, key: str, i: int, params: Any, sampler: Any) -> tuple[Any, Any]:
        return self.programs["sample"](self.keys[key], np.asarray(i), params, sampler)


class Built(NamedTuple):
    """Programs of an experiment before its first step."""

    traces: dict[str, Traced]
    compiled: dict[str, Compiled]

    @property
    def measured(self) -> Measurements:
        """Shapes of the measurements of one evaluation step."""
        return self.traces["measure"].out_info

    def compile(self, phases: Iterable[str], report: Callable[[str], None]) -> "Built":
        """With the programs of these phases, compiled in parallel."""
        needed = {name for phase in phases for name in NEEDED[phase]}
        missing = [name for name in self.traces if name in needed - set(self.compiled)]
        if not missing:
            return self
        started = time.monotonic()
        report(f"compiling {', '.join(missing)}")
        lowered = [self.traces[name].lower() for name in missing]
        with ThreadPoolExecutor(usable_cores()) as pool:  # XLA releases Python's lock
            programs = pool.map(lambda program: program.compile(), lowered)
        found = dict(zip(missing, programs, strict=True))
        report(f"compiled in {time.monotonic() - started:.1f} s")
        return self._replace(compiled=self.compiled | found)


def traced(
    experiment: Experiment,
    mesh: Mesh,
    key: Array,
    state: VMCState,
    phases: Iterable[str],
) -> Built:
    """Trace the programs of these phases, and those of the evaluation.

    The key and the state of the training are on the devices of the mesh.
    """
    vmc, evaluation = experiment.vmc(), experiment.evaluation()
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("walkers"))
    where = shardings(state, mesh, experiment.n_walkers)
    params, sampler, walkers = state.params, state.sampler, state.sampler.walkers

    def sample(key, i, params, sampler):
        key = jax.random.fold_in(key, i)
        return vmc.sampler.step(key, vmc.ansatz, params, sampler)

    def trace(function, out, *arguments, donate=()):
        jitted = jax.jit(function, out_shardings=out, donate_argnums=donate)
        return jitted.trace(*arguments)

    sampled = where.sampler, everywhere
    found = {"sample": trace(sample, sampled, key, np.asarray(0), params, sampler)}
    found["local_terms"] = trace(vmc.local_terms, split, params, walkers)
    info = _placed(found["sample"].out_info[1], everywhere)
    terms = _placed(found["local_terms"].out_info, split)
    measurement = params, walkers, info, terms
    found["measure"] = trace(evaluation.measurements, everywhere, *measurement)
    if "burn_in" in phases:
        found["adapt"] = trace(vmc.sampler.adapt, where.sampler, sampler, info)
    if "train" in phases:
        out = where, everywhere
        found["update"] = trace(vmc.update, out, state, info, terms, donate=0)
    return Built(found, {})


def _placed(shapes: Any, sharding: NamedSharding) -> Any:
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), shapes
    )

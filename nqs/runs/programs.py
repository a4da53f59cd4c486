"""The compiled programs of a run."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Compiled

from nqs.runs.compilation import optimized
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
        """One step of `VMC`; info also has the local terms of every walker."""
        vmc, i = run.vmc, run.done["train"]
        sampler, info = self._sample("train", i, vmc.params, vmc.sampler)
        terms = self.programs["local_terms"](vmc.params, sampler.walkers)
        vmc = vmc._replace(sampler=sampler)
        vmc, info = self.programs["update"](vmc, info, terms)
        return run._replace(vmc=vmc), jax.device_get(info) | {"local_terms": terms}

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
        exact = np.asarray(key in ("evaluation", "observe"))
        step = self.keys[key], np.asarray(i), params, sampler, exact
        return self.programs["sample"](*step)


class Built(NamedTuple):
    """Programs of an experiment, which compile in the background."""

    measured: Measurements  # shapes of those of one evaluation step
    programs: dict[str, Future[Compiled]]

    def wait(self, phases: Iterable[str]) -> dict[str, Compiled]:
        """The compiled programs of these phases."""
        needed = {name for phase in phases for name in NEEDED[phase]}
        return {name: self.programs[name].result() for name in needed}


def build(experiment: Experiment, mesh: Mesh, key: Array, state: VMCState) -> Built:
    """Trace the programs of an experiment; each compiles while the next is traced.

    The key and the state of the training are on the devices of the mesh.
    """
    vmc, evaluation = experiment.vmc(), experiment.evaluation()
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("walkers"))
    where = shardings(state, mesh, experiment.n_walkers)
    params, sampler, walkers = state.params, state.sampler, state.sampler.walkers
    # one core traces; a program more at a time would take 140 MB and save no time
    pool, programs = ThreadPoolExecutor(max(1, usable_cores() - 1)), {}

    def add(name, function, out, *arguments, donate=()):
        jitted = jax.jit(function, out_shardings=out, donate_argnums=donate)
        traced = jitted.trace(*arguments)
        # XLA releases Python's lock
        programs[name] = pool.submit(lambda: optimized(traced.lower()))
        return traced.out_info

    def sample(key, i, params, sampler, exact):
        return vmc.sample(jax.random.fold_in(key, i), params, sampler, exact)

    step = key, np.asarray(0), params, sampler, np.asarray(False)
    _, info = add("sample", sample, (where.sampler, everywhere), *step)
    terms = add("local_terms", vmc.local_terms, split, params, walkers)
    info, terms = _placed(info, everywhere), _placed(terms, split)
    if experiment.iterations:
        out = where, everywhere
        add("update", vmc.update, out, state, info, terms, donate=0)
    arguments = params, walkers, info, terms
    measured = add("measure", evaluation.measurements, everywhere, *arguments)
    if experiment.burn_in:
        add("adapt", vmc.sampler.adapt, where.sampler, sampler, info)
    pool.shutdown(wait=False)
    return Built(measured, programs)


def _placed(shapes: Any, sharding: NamedSharding) -> Any:
    return jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=sharding), shapes
    )

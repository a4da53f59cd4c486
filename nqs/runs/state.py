"""The state of a run, and its form in a checkpoint."""

import hashlib
import json
from typing import Any, NamedTuple

import jax
import numpy as np

from nqs.files.checkpoint import ANY_SHAPE
from nqs.files.directory import EXTENDABLE
from nqs.runs.experiment import Experiment
from nqs.statistics import Measurements, stack
from nqs.types import State
from nqs.vmc import VMCState

PHASES: tuple[str, ...] = ("burn_in", "train", "evaluation")


class RunState(NamedTuple):
    """The state of a run between two steps."""

    vmc: VMCState  # of training; its sampler also burns in
    sampler: State  # of the evaluation
    samples: list[Measurements]  # of every evaluation step so far; the list grows
    done: dict[str, int]  # steps in each phase
    seconds: dict[str, float]  # in each phase, and compiling

    def after(self, phase: str, seconds: float) -> "RunState":
        """One more step done in a phase."""
        done = self.done | {phase: self.done[phase] + 1}
        spent = self.seconds | {phase: self.seconds[phase] + seconds}
        return self._replace(done=done, seconds=spent)


def fresh(state: VMCState) -> RunState:
    """The state of a run before its first step."""
    seconds = dict.fromkeys((*PHASES, "compile"), 0.0)
    return RunState(state, state.sampler, [], dict.fromkeys(PHASES, 0), seconds)


def saved(run: RunState, measured: Measurements, n_devices: int) -> dict[str, Any]:
    """The content of a checkpoint.

    Args:
      run: the state.
      measured: by one evaluation step, or shapes of these measurements.
      n_devices: of the run.
    """
    none = jax.tree.map(lambda _: np.zeros(0), measured)
    # before the evaluation, its walkers are those of training
    sampler = run.sampler if run.done["evaluation"] else run.vmc.sampler
    return {
        "vmc": run.vmc,
        "sampler": sampler,
        "samples": stack(run.samples) if run.samples else none,
        "done": run.done,
        "seconds": run.seconds,
        "n_devices": n_devices,
    }


def restored(found: dict[str, Any], iterations: int) -> RunState:
    """The state in a checkpoint, for a run of so many training steps."""
    done = dict(found["done"])
    if done["train"] < iterations:
        done["evaluation"] = 0  # further training changes the parameters
    samples = [
        jax.tree.map(lambda values, i=i: values[i], found["samples"])
        for i in range(done["evaluation"])
    ]
    return RunState(found["vmc"], found["sampler"], samples, done, found["seconds"])


def expected(state: VMCState, measured: Measurements) -> dict[str, Any]:
    """Shapes and dtypes of a checkpoint, from those of its parts."""
    samples = jax.tree.map(lambda _: ANY_SHAPE, measured)
    return saved(fresh(state), measured, 0) | {"samples": samples}


def shapes(experiment: Experiment) -> tuple[VMCState, Measurements]:
    """Shapes and dtypes of the training state and of one evaluation step."""

    def first_step():
        key, n_walkers = jax.random.key(0), experiment.n_walkers
        walkers = experiment.hamiltonian.initial_walkers(key, n_walkers)
        state = experiment.vmc().init(key, walkers)
        return state, experiment.evaluation().step(key, state.params, state.sampler)[1]

    return jax.eval_shape(first_step)


def identity(config: dict[str, Any]) -> str:
    """Fingerprint of everything in a configuration that a resume may not change."""
    fixed = {k: v for k, v in config.items() if k not in EXTENDABLE}
    options = config.get("options") or {}
    fixed["options"] = {k: v for k, v in options.items() if k not in EXTENDABLE}
    text = json.dumps(fixed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

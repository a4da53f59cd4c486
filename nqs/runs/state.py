"""The state of a run, and its form in a checkpoint."""

import hashlib
import json
from typing import Any, NamedTuple

import jax
import numpy as np

from nqs.runs.checkpoint import ANY_SHAPE
from nqs.runs.directory import EXTENDABLE
from nqs.runs.experiment import Experiment
from nqs.statistics.evaluation import stack
from nqs.types import State
from nqs.vmc import VMCState

PHASES: tuple[str, ...] = ("burn_in", "train", "evaluation")


class RunState(NamedTuple):
    """The state of a run between two steps.

    Attributes:
      vmc: the training state, whose sampler also burns in.
      sampler: the sampler state of the evaluation.
      samples: measurements of every evaluation step so far, a list that grows.
      done: steps done in each phase.
      seconds: spent in each phase, and compiling.
    """

    vmc: VMCState
    sampler: State
    samples: list[dict[str, np.ndarray]]
    done: dict[str, int]
    seconds: dict[str, float]

    def after(self, phase: str, seconds: float) -> "RunState":
        """One more step done in a phase."""
        done = self.done | {phase: self.done[phase] + 1}
        spent = self.seconds | {phase: self.seconds[phase] + seconds}
        return self._replace(done=done, seconds=spent)


def fresh(state: VMCState) -> RunState:
    """The state of a run before its first step."""
    seconds = dict.fromkeys((*PHASES, "compile"), 0.0)
    return RunState(state, state.sampler, [], dict.fromkeys(PHASES, 0), seconds)


def saved(run: RunState, names: list[str], n_devices: int) -> dict[str, Any]:
    """The content of a checkpoint.

    Args:
      run: the state.
      names: of all measurements, from `sample_names`.
      n_devices: on which the run goes on.
    """
    samples = stack(run.samples) if run.samples else {}
    # before its first step the evaluation has no walkers of its own
    sampler = run.sampler if run.done["evaluation"] else run.vmc.sampler
    return {
        "vmc": run.vmc,
        "sampler": sampler,
        "samples": {name: samples.get(name, np.zeros(0)) for name in names},
        "done": run.done,
        "seconds": run.seconds,
        "n_devices": n_devices,
    }


def restored(found: dict[str, Any], iterations: int) -> RunState:
    """The state in a checkpoint, for a run of so many training steps."""
    done = dict(found["done"])
    if done["train"] < iterations:
        done["evaluation"] = 0  # training goes on to change the parameters
    samples = [
        {name: values[i] for name, values in found["samples"].items()}
        for i in range(done["evaluation"])
    ]
    return RunState(found["vmc"], found["sampler"], samples, done, found["seconds"])


def expected(experiment: Experiment) -> dict[str, Any]:
    """Shapes and dtypes of a checkpoint of this experiment."""
    state = abstract_state(experiment)
    like = saved(fresh(state), [], 0)
    samples = dict.fromkeys(sample_names(experiment), ANY_SHAPE)
    return like | {"samples": samples}


def abstract_state(experiment: Experiment) -> VMCState:
    """Shapes and dtypes of the training state."""

    def init():
        key, n_walkers = jax.random.key(0), experiment.n_walkers
        walkers = experiment.hamiltonian.initial_walkers(key, n_walkers)
        return experiment.vmc().init(key, walkers)

    return jax.eval_shape(init)


def sample_names(experiment: Experiment) -> list[str]:
    """The keys of the measurements of one evaluation step."""
    state = abstract_state(experiment)
    step = experiment.evaluation().step
    return [*jax.eval_shape(step, jax.random.key(0), state.params, state.sampler)[1]]


def identity(config: dict[str, Any]) -> str:
    """A fingerprint of everything in a configuration that a resume may not change."""
    fixed = {k: v for k, v in config.items() if k not in EXTENDABLE}
    options = config.get("options") or {}
    fixed["options"] = {k: v for k, v in options.items() if k not in EXTENDABLE}
    text = json.dumps(fixed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

"""Measuring a finished run again, with new samples."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from nqs.checks import whole
from nqs.files.directory import RunError
from nqs.observables import LanczosStep
from nqs.runs.compilation import keep_programs
from nqs.runs.devices import one_blas_thread
from nqs.runs.experiment import Experiment
from nqs.runs.interrupts import ended, refusals, signals
from nqs.runs.loading import saved_run
from nqs.runs.loop import programs_of, repeat
from nqs.runs.numbered import next_number
from nqs.runs.result import finish
from nqs.runs.start import Start, prepare
from nqs.runs.state import RunState, restored
from nqs.runs.watch import Watch


def evaluate_again(
    directory: Path,
    steps: int,
    seed: int,
    untrained: bool = False,
    lanczos: bool = False,
) -> dict[str, Any]:
    """Measure a run again, into `evaluations/NUMBER/` of its directory.

    Raises:
      RunError: if its training has not begun, unless `untrained`.
      ValueError: if steps or seed are out of range, or the system has no rows of a
        matrix for `lanczos`, the energy after a Lanczos step.
    """
    whole("steps", steps)
    whole("seed", seed, 0, 2**32 - 1)
    keep_programs()
    experiment, found = saved_run(directory, {})
    if lanczos:
        observables = *experiment.observables, LanczosStep(experiment.hamiltonian)
        experiment = dataclasses.replace(experiment, observables=observables)
    state = restored(found, experiment.iterations)
    trained = state.done["train"]
    if trained == 0 and experiment.iterations > 0 and not untrained:
        raise RunError(
            f"{directory} must hold trained parameters, got those of step 0; resume "
            "the run, or ask for the untrained ones with --untrained"
        )
    start = _with_new_samples(experiment, state, seed)
    target = next_number(directory / "evaluations")
    with refusals(target), one_blas_thread(), signals() as stop:
        target.mkdir(parents=True)
        watch = Watch(start, target, stop, saving=False)
        state, programs = programs_of(start, start.state, ["evaluation"])
        state = ended(repeat("evaluation", steps, programs.evaluation, state, watch))
        return finish(start, state, target, {})


def _with_new_samples(experiment: Experiment, state: RunState, seed: int) -> Start:
    """The start of an evaluation with random numbers of its own."""
    without_training = dataclasses.replace(experiment, iterations=0, burn_in=0)
    start = prepare(without_training)._replace(experiment=experiment)
    if (trained := state.done["train"]) < experiment.iterations:
        start.warnings.append(
            f"training had come to step {trained} of {experiment.iterations}"
        )
    start.keys["evaluation"] = jax.random.fold_in(start.keys["again"], seed)
    seconds, done = state.seconds | {"evaluation": 0.0}, state.done | {"evaluation": 0}
    state = state._replace(done=done, seconds=seconds, samples=[])
    return start._replace(state=start.place(state))

"""Running an experiment: burn in, train, evaluate, report.

Nothing below this room depends on precision, devices, files or progress.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from nqs.files.directory import (
    alone,
    check_directory,
    open_directory,
    write_json,
)
from nqs.files.metrics import Metrics
from nqs.runs.callbacks import Callbacks, SaveSamples, Step
from nqs.runs.compilation import keep_programs
from nqs.runs.devices import configure, one_blas_thread
from nqs.runs.diagnostics import Diagnostics
from nqs.runs.experiment import Experiment
from nqs.runs.hosts import by_first, own
from nqs.runs.interrupts import Interrupted, ended, refusals, signals
from nqs.runs.loading import last_checkpoint
from nqs.runs.programs import Built, Programs
from nqs.runs.progress import Progress
from nqs.runs.result import finish, result_so_far
from nqs.runs.start import Start, prepare
from nqs.runs.state import RunState, expected, restored
from nqs.runs.watch import Watch
from nqs.statistics import means


def run(
    experiment: Experiment,
    parent: Path | None = None,
    built: Callable[[], Built | None] | None = None,
    compiled: Callable[[], Any] | None = None,
    callbacks: Sequence[Any] = (),
) -> dict[str, Any]:
    """Burn in, train and evaluate; write the run directory; return its result.

    Precision, matrix products and CPU devices are set for the whole process, see
    `configure`. Ctrl-C and SIGTERM save a checkpoint and end the process with 128 plus
    the number of the signal; in a notebook they return what there is.

    Args:
      experiment: to run.
      parent: directory of a series of runs, to be resumed after an interruption
        instead of this run.
      built: returns the programs of the experiment, from `ahead`; None to build them.
      compiled: called when all programs are compiled.
      callbacks: objects with `step`, `evaluation` or `end`, see `nqs.runs.callbacks`.

    Raises:
      RunError: if the run cannot start or continue: an existing or changed directory,
        an ansatz that gives no LogPsi, a damaged checkpoint, a full disk, numbers that
        are not finite. The last checkpoint is kept.
    """
    return ended(_steps(experiment, callbacks, parent, built, compiled))


def _opened(start: Start) -> Path:
    """The new run directory, or the one to resume."""
    experiment = start.experiment
    place, config = experiment.directory, experiment.config()
    directory = open_directory(place, experiment.name, config, experiment.resume)
    if start.origin is not None:
        write_json(directory / "start_from.json", start.origin.report())
    return directory


class Steps:
    """The steps of a run for a loop: `for step in nqs.steps(experiment): ...`.

    Files, checkpoints and resume are as in `run`. A loop that is left by `break` or by
    an exception saves a checkpoint. Every step is a `nqs.runs.callbacks.Step`.

    Attributes:
      result: after the last step, that of `run`.
    """

    def __init__(self, experiment: Experiment, callbacks: Sequence[Any] = ()):
        self.experiment, self.callbacks = experiment, callbacks
        self.result: dict[str, Any] | None = None

    def __iter__(self) -> Iterator[Step]:
        """Start the run, or continue it with `resume=True`."""
        self.result = yield from _steps(self.experiment, self.callbacks)


def steps(experiment: Experiment, callbacks: Sequence[Any] = ()) -> Steps:
    """The steps of a run for a loop of your own, see `Steps`."""
    return Steps(experiment, callbacks)


def _steps(
    experiment: Experiment,
    callbacks: Sequence[Any] = (),
    parent: Path | None = None,
    built: Callable[[], Built | None] | None = None,
    compiled: Callable[[], Any] | None = None,
) -> Generator[Step, None, dict[str, Any]]:
    """The steps of `run`, and its result."""
    configure(experiment.precision)
    keep_programs(experiment.compilation_cache)
    place, config, resume = experiment.directory, experiment.config(), experiment.resume
    with refusals(Path(place or "runs")):
        by_first(lambda: check_directory(place, config, resume))
    print("tracing and compiling the steps", flush=True)
    # mistakes are found before anything is written
    start = prepare(experiment, built and built())
    with refusals(Path(place or "runs")):
        directory = by_first(lambda: _opened(start))
    print(f"run directory {directory}", flush=True)
    with (
        own(directory) as directory,
        refusals(directory),
        alone(directory),
        one_blas_thread(),
        signals() as stop,
    ):
        if (every := experiment.save_samples) is not None:
            callbacks = [*callbacks, SaveSamples(every)]
        called = Callbacks(callbacks, start.warnings)
        watch = Watch(start, directory, stop, parent=parent, callbacks=called)
        try:
            result = yield from _all_phases(watch, compiled or (lambda: None))
        except Interrupted as end:
            return result_so_far(start, *end.args)
    called.end(result)
    return result


def ahead(experiment: Experiment) -> Built:
    """The programs of an experiment, for a later `run`; they compile meanwhile."""
    return prepare(dataclasses.replace(experiment, start_from=None)).built


def _all_phases(
    watch: Watch, compiled: Callable[[], Any]
) -> Generator[Step, None, dict[str, Any]]:
    """All phases, from the last checkpoint on."""
    start, directory, state = watch.start, watch.directory, watch.start.state
    experiment = start.experiment
    if experiment.resume:
        state = _resumed(watch)
        watch.raise_totals()
    totals = {
        "burn_in": experiment.burn_in,
        "train": watch.stopped.get("train", experiment.iterations),
        "evaluation": watch.stopped.get("evaluation", experiment.evaluation_steps),
    }
    left = [phase for phase, total in totals.items() if state.done[phase] < total]
    state, programs = programs_of(start, state, left)
    compiled()
    metrics = Metrics(directory / "metrics.jsonl")
    if not state.done["evaluation"]:
        watch.save(state)
        burn_in = programs.burn_in
        state = yield from repeat("burn_in", totals["burn_in"], burn_in, state, watch)
        with _logged(programs, metrics, state, watch) as train:
            state = yield from repeat("train", totals["train"], train, state, watch)
        state = state._replace(sampler=jax.tree.map(jnp.copy, state.vmc.sampler))
        watch.save(state)
    evaluation = programs.evaluation
    total = totals["evaluation"]
    state = yield from repeat("evaluation", total, evaluation, state, watch)
    watch.save(state)
    return by_first(lambda: finish(start, state, directory, metrics.columns()))


def programs_of(
    start: Start, state: RunState, phases: list[str]
) -> tuple[RunState, Programs]:
    """Programs of these phases, and the state with the time that they took."""
    started = time.monotonic()
    programs = Programs(start.built.wait(phases), start.keys)
    spent = start.seconds + time.monotonic() - started
    print(f"compiled in {spent:.1f} s", flush=True)
    seconds = state.seconds | {"compile": state.seconds["compile"] + spent}
    return state._replace(seconds=seconds), programs


def repeat(
    phase: str, total: int, advance: Callable, state: RunState, watch: Watch
) -> Generator[Step, None, RunState]:
    """Advance one phase to its end, or to the step at which a callback stops it."""
    experiment = watch.start.experiment
    progress = Progress(experiment.hamiltonian.energy_unit, experiment.n_walkers)
    with progress.phase(phase, state.done[phase], total):
        while state.done[phase] < total:
            started = time.monotonic()
            following, info = advance(state)
            watch.refuse_broken(info, state, phase)
            state = following.after(phase, time.monotonic() - started)
            progress.update(state.done[phase], info)
            watch.after_step(state, phase)
            step = Step(phase, state.done[phase], total, info, watch.directory, state)
            with watch.saved_on_exit(state):
                total = watch.total_after(step)
                yield step
    return state


@contextlib.contextmanager
def _logged(programs: Programs, metrics: Metrics, state: RunState, watch: Watch):
    """A training step that writes its metrics and, every so often, the observables."""
    every = watch.start.experiment.observe_every
    observed = Metrics(watch.directory / "observables.jsonl", every or 1)
    path, experiment = watch.directory / "diagnostics.ndjson", watch.start.experiment
    log = Diagnostics(path, experiment.optimizer, experiment.iterations)

    def train(state: RunState) -> tuple[RunState, dict[str, Any]]:
        started = time.monotonic()
        following, info = programs.train(state)
        terms = info.pop("local_terms")
        watch.refuse_broken(info, state, "train")  # before it is written
        step = state.done["train"] + 1
        metrics.append(step, info)
        seconds = state.seconds["train"] + time.monotonic() - started
        log.append(step, seconds, info, terms, following.vmc.opt_state)
        if every and step % every == 0:
            observed.append(step, means(programs.observe(following, step)))
        return following, info

    done, warn = state.done["train"], watch.start.warn
    observing = observed.open(done, warn) if every else contextlib.nullcontext()
    with metrics.open(done, warn), log.open(done), observing:
        yield train


def _resumed(watch: Watch) -> RunState:
    """The state of the last good checkpoint; without any, the first state."""
    start, directory = watch.start, watch.directory
    like = expected(start.state.vmc, start.built.measured)
    found = by_first(
        lambda: last_checkpoint(directory, like, watch.identity, start.warn)
    )
    if found is None:
        start.warn("no checkpoint is left: the run starts at its beginning")
        return start.state
    last = watch.stopped.get("train", start.experiment.iterations)
    state = start.place(restored(found, last))
    before, now = found["n_devices"], start.mesh.size
    agreement = "bit for bit" if before == now else "statistically, not bit for bit"
    print(
        f"resumed after {sum(state.done.values())} steps on {now} devices ({before} "
        f"before): the continuation is the same {agreement}",
        flush=True,
    )
    return state

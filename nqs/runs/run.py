"""Running an experiment: the one place that decides, compiles, shards and saves.

Nothing below this file knows about precision, devices, files or progress.
"""

import contextlib
import importlib
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from threadpoolctl import threadpool_limits

from nqs.runs import checkpoints, saved
from nqs.runs.directory import (
    Metrics,
    RunError,
    alone,
    check_directory,
    open_directory,
    read_json,
    write_json,
)
from nqs.runs.experiment import Experiment
from nqs.runs.interrupts import refusals, resume_command, signals, warn
from nqs.runs.progress import Progress
from nqs.runs.result import report, sentence, write_report
from nqs.runs.saved import PHASES
from nqs.statistics.evaluation import means, stack, summary
from nqs.types import Ansatz, Params, State, Walkers
from nqs.vmc import VMCState


def configure(precision: str = "float64") -> None:
    """Set precision, matrix products and CPU devices for the whole process.

    Matrix products are never truncated: TF32 moved energies 20 mHa below the exact one.
    One CPU device per core can only be made before JAX is first used.
    """
    jax.config.update("jax_enable_x64", precision == "float64")
    jax.config.update("jax_default_matmul_precision", "highest")
    with contextlib.suppress(RuntimeError):  # JAX is in use: keep its devices
        jax.config.update("jax_num_cpu_devices", usable_cores())


def usable_cores() -> int:
    """Cores that this process may use; all of them where the system does not say."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_blas_thread() -> contextlib.AbstractContextManager:
    """Within, LAPACK works in the thread that calls it.

    Each CPU device calls it by itself. Threads of its own would fight over the cores,
    and spin there for a while after their work: measured, a step of two electrons on
    two devices takes 104 ms with them and 62 ms without.
    """
    importlib.import_module("scipy.linalg")  # whose LAPACK JAX calls: it must be there
    return threadpool_limits(1, user_api="blas")


def walker_mesh(n_walkers: int, devices: list[Any] | None = None) -> jax.sharding.Mesh:
    """A mesh over the axis `walkers`, of as many devices as divide the walkers."""
    devices = jax.devices() if devices is None else devices
    n_devices = max(k for k in range(1, len(devices) + 1) if n_walkers % k == 0)
    return jax.make_mesh(
        (n_devices,),
        ("walkers",),
        axis_types=(AxisType.Auto,),
        devices=devices[:n_devices],
    )


def shardings(state: Any, mesh: jax.sharding.Mesh, n_walkers: int) -> Any:
    """Where each leaf lives: a sampler's per-walker arrays are split, all else is not.

    Args:
      state: a VMCState or a sampler state, of arrays or their shapes.
      mesh: from `walker_mesh`.
      n_walkers: length of the leading axis that is split.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("walkers"))

    def of_sampler(leaf):
        return split if leaf.shape[:1] == (n_walkers,) else everywhere

    if isinstance(state, VMCState):
        placed = jax.tree.map(lambda leaf: everywhere, state)
        return placed._replace(sampler=jax.tree.map(of_sampler, state.sampler))
    return jax.tree.map(of_sampler, state)


def run(experiment: Experiment, parent: Path | None = None) -> dict[str, Any]:
    """Burn in, train and evaluate; write the run directory; return its result.

    Precision, matrix products and CPU devices are set for the whole process, see
    `configure`.

    Args:
      experiment: what to run.
      parent: directory of the series that this run belongs to, which is the one to
        resume after an interruption.

    Ctrl-C and SIGTERM save a checkpoint and end the process with 128 plus the number of
    the signal.

    Raises:
      RunError: if the run cannot start or go on: an existing or changed directory, an
        ansatz that gives no LogPsi, a damaged checkpoint, a full disk, numbers that are
        not finite. Everything up to the last checkpoint is kept.
    """
    configure(experiment.precision)
    place, config, resume = experiment.directory, experiment.config(), experiment.resume
    with refusals(Path(place or "runs")):
        check_directory(place, config, resume)
    started = _Run(experiment)  # before anything is written: mistakes leave no trace
    with refusals(Path(place or "runs")):
        directory = open_directory(place, experiment.name, config, resume)
    print(f"run directory {directory}", flush=True)
    with refusals(directory), alone(directory), one_blas_thread(), signals() as stop:
        started.parent = parent
        return started.run(directory, stop)


class Loaded(NamedTuple):
    """What `load` gives back."""

    ansatz: Ansatz
    params: Params
    walkers: Walkers


def load(directory: str | Path, **parts: Any) -> Loaded:
    """Ansatz, parameters and walkers of a run.

    The parameters are those that are measured: averaged, if the run averages. Arrays
    have the precision of the run; that of the process stays as it was, so that float64
    arithmetic with them needs `nqs.configure()`.

    Args:
      directory: of the run.
      **parts: ansatz, hamiltonian, sampler or optimizer, where their class cannot be
        imported from here (defined in a script, say).

    Raises:
      RunError: if the directory holds no run, or its checkpoints are damaged.
      ValueError: if a part cannot be rebuilt from its settings.
    """
    names = ("jax_enable_x64", "jax_default_matmul_precision")
    before = {name: getattr(jax.config, name) for name in names}
    try:
        experiment, found = _load(Path(directory), parts)
        walkers = jax.tree.map(jnp.asarray, found["sampler"].walkers)
        params = jax.tree.map(jnp.asarray, found["vmc"].average)
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
    return Loaded(experiment.ansatz, params, walkers)


def evaluate_again(
    directory: Path, steps: int, seed: int, untrained: bool = False
) -> dict[str, Any]:
    """Measure a run again, into `evaluations/NUMBER/` of its directory.

    Raises:
      RunError: if its training has not begun, unless `untrained`.
      ValueError: if steps or seed are out of range.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be 0 to {2**32 - 1}, got {seed}")
    experiment, found = _load(directory, {})
    measuring = _Run(experiment)
    measuring.place(found["vmc"], found["sampler"])
    measuring.seconds |= {k: float(v) for k, v in found["seconds"].items()}
    measuring.seconds["evaluation"] = 0.0
    trained = int(found["done"]["train"])
    if trained == 0 and experiment.iterations > 0 and not untrained:
        raise RunError(
            f"{directory} must hold trained parameters, got those of step 0; resume "
            "the run, or ask for the untrained ones with --untrained"
        )
    if trained < experiment.iterations:
        measuring.warnings.append(
            f"training had come to step {trained} of {experiment.iterations}"
        )
    measuring.keys["evaluation"] = jax.random.fold_in(measuring.keys["again"], seed)
    number = 1
    while (target := directory / "evaluations" / f"{number:04d}").exists():
        number += 1
    with refusals(target), one_blas_thread(), signals() as stop:
        target.mkdir(parents=True)
        return measuring.measure(target, stop, steps)


def _load(directory: Path, parts: dict[str, Any]) -> tuple[Experiment, dict[str, Any]]:
    """The experiment of a run and the tree of its last good checkpoint."""
    config = read_json(directory / "config.json")
    experiment = saved.rebuild(directory, config, parts)
    configure(experiment.precision)
    with refusals(directory):
        found = saved.restore(directory, experiment, saved.identity(config), warn)
    if found is None:
        raise RunError(f"{directory} holds no checkpoint yet")
    return experiment, found


class _Run:
    """The moving parts of one run: states, counters, clocks and files."""

    def __init__(self, experiment: Experiment):
        self.experiment = experiment
        self.warnings: list[str] = []
        self.parent: Path | None = None
        self.done = dict.fromkeys(PHASES, 0)
        self.seconds = dict.fromkeys((*PHASES, "compile"), 0.0)
        self.measured: list[dict[str, np.ndarray]] = []
        self.mesh = walker_mesh(experiment.n_walkers)
        self.everywhere = NamedSharding(self.mesh, PartitionSpec())
        root = jax.random.key(experiment.seed)
        names = ("walkers", "parameters", *PHASES, "again", "observe")
        self.keys = {name: jax.random.fold_in(root, i) for i, name in enumerate(names)}
        self._start()

    def _start(self) -> None:
        """Walkers and parameters before the first step."""
        experiment, n_devices = self.experiment, len(jax.devices())
        if self.mesh.size < n_devices:
            self.warnings.append(
                f"{experiment.n_walkers} walkers are no multiple of {n_devices} "
                f"devices; {self.mesh.size} used"
            )
        walkers = experiment.hamiltonian.initial_walkers(
            self.keys["walkers"], experiment.n_walkers
        )
        try:
            with warnings.catch_warnings(record=True) as caught:
                state = experiment.vmc().init(self.keys["parameters"], walkers)
        except ValueError as error:
            raise RunError(str(error)) from error
        except (AttributeError, TypeError) as error:
            name = type(experiment.ansatz).__name__
            raise RunError(f"{name} cannot be evaluated: {error}") from error
        self.warnings += sorted({str(warning.message) for warning in caught})
        self.n_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        resumed = experiment.resume and saved.has_checkpoint(experiment.directory)
        if experiment.start_from is not None and not resumed:
            state = self._start_from(Path(experiment.start_from), state)
        self.sample_names = saved.sample_names(experiment)  # a first trace of the parts
        self.place(state, state.sampler)

    def _start_from(self, directory: Path, state: VMCState) -> VMCState:
        """The state with measured parameters and walkers of another run."""
        try:
            source, found = _load(directory, {})
        except ValueError as error:
            raise RunError(f"start_from: {error}") from error
        finally:  # loading took the precision of the other run
            configure(self.experiment.precision)
        params, walkers, messages = saved.adopt(
            self.experiment, state.params, source, found
        )
        for message in messages:
            self._warn(message)
        if walkers is not None:
            state = self.experiment.vmc().init(self.keys["parameters"], walkers)
        return state._replace(params=params, average=jax.tree.map(jnp.copy, params))

    def place(self, state: VMCState, sampler: State) -> None:
        """Put the states on the devices, in buffers of their own: steps donate them."""

        def put(leaf, sharding):
            return jax.device_put(jnp.array(leaf, copy=True), sharding)

        self.placed = shardings(state, self.mesh, self.experiment.n_walkers)
        self.state = jax.tree.map(put, state, self.placed)
        self.sampler = jax.tree.map(put, sampler, self.placed.sampler)

    def run(self, directory: Path, stop: list[int]) -> dict[str, Any]:
        """All phases, from wherever the last checkpoint left off."""
        experiment, self.directory, self.stop = self.experiment, directory, stop
        self.saving, self.saved_at = True, time.monotonic()
        self.identity = saved.identity(experiment.config())
        if experiment.resume:
            self._restore()
            write_json(directory / "config.json", experiment.config())
        steps = (experiment.burn_in, experiment.iterations, experiment.evaluation_steps)
        totals = dict(zip(PHASES, steps, strict=True))
        self._compile(*(name for name in PHASES if self.done[name] < totals[name]))
        self.metrics = Metrics(directory / "metrics.jsonl")
        logs = [self.metrics]
        if every := experiment.observe_every:
            self.observed = Metrics(directory / "observables.jsonl", every)
            logs.append(self.observed)
        if not self.done["evaluation"]:
            self._save()
            self._loop("burn_in", experiment.burn_in, self._burn_in)
            with contextlib.ExitStack() as files:
                for file in logs:
                    files.enter_context(file.open(self.done["train"], self._warn))
                self._loop("train", experiment.iterations, self._train)
            self.sampler = jax.tree.map(jnp.copy, self.state.sampler)
            self._save()
        self._loop("evaluation", experiment.evaluation_steps, self._evaluate)
        self._save()
        return self._finish(self.metrics.columns())

    def measure(self, target: Path, stop: list[int], steps: int) -> dict[str, Any]:
        """Only the evaluation, into another directory, without checkpoints."""
        self.directory, self.stop, self.saving = target, stop, False
        self._compile("evaluation")
        self._loop("evaluation", steps, self._evaluate)
        return self._finish({})

    def _compile(self, *phases: str) -> None:
        """Compile the steps of these phases ahead of time, once."""
        started = time.monotonic()
        vmc, evaluation = self.experiment.vmc(), self.experiment.evaluation()
        self.keys = jax.device_put(self.keys, self.everywhere)

        def burn_in(key, i, params, sampler):
            key = jax.random.fold_in(key, i)
            sampler, info = vmc.sampler.step(key, vmc.ansatz, params, sampler)
            return vmc.sampler.adapt(sampler, info), info

        def train(key, state):
            return vmc.step(jax.random.fold_in(key, state.step), state)

        def measure(key, i, params, sampler):
            return evaluation.step(jax.random.fold_in(key, i), params, sampler)

        key, state, sampler = self.keys["train"], self.state, self.placed.sampler
        frozen = (key, np.asarray(0), state.params, state.sampler)
        steps = {
            "burn_in": (burn_in, frozen, sampler, ()),
            "train": (train, (key, state), self.placed, (1,)),
            "evaluation": (measure, frozen, sampler, ()),
        }
        lowered = []
        for name in phases:
            function, arguments, out, donate = steps[name]
            jitted = jax.jit(
                function, out_shardings=(out, self.everywhere), donate_argnums=donate
            )
            lowered.append(jitted.lower(*arguments))
        with ThreadPoolExecutor() as pool:  # XLA compiles outside of Python's lock
            compiled = pool.map(lambda step: step.compile(), lowered)
            self.steps = dict(zip(phases, compiled, strict=True))
        self.seconds["compile"] += time.monotonic() - started

    def _burn_in(self) -> dict[str, Any]:
        key, i = self.keys["burn_in"], np.asarray(self.done["burn_in"])
        sampler, info = self.steps["burn_in"](
            key, i, self.state.params, self.state.sampler
        )
        self.state = self.state._replace(sampler=sampler)
        return jax.device_get(info)

    def _train(self) -> dict[str, Any]:
        self.state, info = self.steps["train"](self.keys["train"], self.state)
        info = jax.device_get(info)
        if not _broken(info):
            self.metrics.append(self.done["train"] + 1, info)
            self._observe(self.done["train"] + 1)
        return info

    def _observe(self, step: int) -> None:
        """Log the observables, when asked, without a trace in the walkers."""
        every = self.experiment.observe_every
        if every is None or step % every:
            return
        _, values = self.steps["evaluation"](
            self.keys["observe"],
            np.asarray(step),
            self.state.params,
            self.state.sampler,
        )
        self.observed.append(step, means(jax.device_get(values)))

    def _evaluate(self) -> dict[str, Any]:
        key, i = self.keys["evaluation"], np.asarray(self.done["evaluation"])
        self.sampler, values = self.steps["evaluation"](
            key, i, self.state.average, self.sampler
        )
        values = jax.device_get(values)
        self.measured.append(values)
        energy = sum(v for k, v in values.items() if k.startswith("term/"))
        seen = {"energy": np.mean(energy).real, "variance": np.var(energy)}
        return values | seen

    def _loop(self, phase: str, total: int, advance: Callable) -> None:
        """Advance one phase to its end, saving now and then, and on a signal."""
        progress = Progress(
            self.experiment.hamiltonian.energy_unit, self.experiment.n_walkers
        )
        with progress.phase(phase, self.done[phase], total):
            while self.done[phase] < total:
                started = time.monotonic()
                info = advance()
                if broken := _broken(info):
                    self._refuse_non_finite(phase, broken)
                self.done[phase] += 1
                self.seconds[phase] += time.monotonic() - started
                progress.update(self.done[phase], info)
                self._stop_if_asked(phase)
                every = self.experiment.checkpoint_every
                if self.saving and time.monotonic() - self.saved_at >= every:
                    self._save()

    def _save(self) -> None:
        """Write a checkpoint of everything that the run would need to go on."""
        samples = stack(self.measured) if self.measured else {}
        # until evaluation begins its sampler would be where the walkers once started
        sampler = self.sampler if self.done["evaluation"] else self.state.sampler
        checkpoints.save(
            self.directory / "checkpoints",
            sum(self.done.values()),
            saved.tree(
                self.state,
                sampler,
                {name: samples.get(name, np.zeros(0)) for name in self.sample_names},
                self.done,
                self.seconds,
            ),
            identity=self.identity,
        )
        self.saved_at = time.monotonic()

    def _restore(self) -> None:
        """Go back to the last good checkpoint; without any, start at the beginning."""
        found = saved.restore(
            self.directory, self.experiment, self.identity, self._warn
        )
        if found is None:
            self._warn("no checkpoint is left: the run starts at its beginning")
            return
        self.place(found["vmc"], found["sampler"])
        self.done = {k: int(v) for k, v in found["done"].items()}
        self.seconds = {k: float(v) for k, v in found["seconds"].items()}
        if self.done["train"] < self.experiment.iterations:
            self.done["evaluation"] = 0  # of parameters that training goes on to change
        self.measured = [
            {name: values[i] for name, values in found["samples"].items()}
            for i in range(self.done["evaluation"])
        ]

    def _warn(self, message: str) -> None:
        self.warnings.append(message)
        warn(message)

    def _stop_if_asked(self, phase: str) -> None:
        """After a signal: save, say how to go on, and end the process."""
        if not self.stop:
            return
        name = signal.Signals(self.stop[0]).name
        text = f"{name}: stopped after step {self.done[phase]} of {phase}"
        if self.saving:
            self._save()
            text += "; a checkpoint is saved. Go on with: "
            text += resume_command(self.parent or self.directory)
        print(text, file=sys.stderr)
        raise SystemExit(128 + self.stop[0])

    def _refuse_non_finite(self, phase: str, broken: str) -> None:
        where = f"at step {self.done[phase] + 1} of {phase}"
        if not self.saving:
            raise RunError(f"{broken} are not finite {where}")
        # A checkpoint of this very step holds parameters that were not measured.
        checkpoints.discard(self.directory / "checkpoints", sum(self.done.values()))
        raise RunError(
            f"{broken} are not finite {where}; the run stopped, and its last good "
            f"checkpoint is in {self.directory / 'checkpoints'}. Try a smaller "
            "learning rate; check the ansatz for divergences"
        )

    def _finish(self, metrics: dict[str, np.ndarray]) -> dict[str, Any]:
        """Estimate, draw, and write `result.json` last."""
        samples = stack(self.measured)
        measured = summary(samples, self.experiment.hamiltonian.derived)
        measured["warnings"] = self.warnings + measured["warnings"]
        result = report(
            self.experiment, measured, self.n_parameters, self.seconds, self.mesh
        )
        write_report(
            self.directory, self.experiment, result, measured, samples, metrics
        )
        for message in result["warnings"]:
            print(f"warning: {message}")
        print(sentence(result))
        return result


def _broken(info: dict[str, Any]) -> str | None:
    """What of a step is not finite, if anything."""
    if count := int(info.get("non_finite", 0)):
        return f"{count} local energies or wave-function values"
    if not np.isfinite(info.get("update_norm", 0.0)):
        return "updates of the parameters"
    return None

"""Running an experiment: the one place that decides, compiles, shards and saves.

Nothing below this file knows about precision, devices, files or progress.
"""

import contextlib
import hashlib
import json
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from nqs import checkpoints
from nqs.directory import EXTENDABLE, Metrics, RunError, open_directory, read_json
from nqs.evaluate import stack, summary
from nqs.experiment import Experiment
from nqs.progress import Progress
from nqs.result import report, sentence, write_report
from nqs.settings import NotImportable, from_json
from nqs.types import Ansatz, Params, Walkers
from nqs.vmc import VMCState

PHASES = ("burn_in", "train", "evaluation")


class Loaded(NamedTuple):
    """What `load` gives back."""

    ansatz: Ansatz
    params: Params
    walkers: Walkers


def configure(precision: str = "float64") -> None:
    """Set precision, matrix products and CPU devices for the whole process.

    Matrix products are never truncated: TF32 moved energies 20 mHa below the exact one.
    One CPU device per core can only be made before JAX is first used.
    """
    jax.config.update("jax_enable_x64", precision == "float64")
    jax.config.update("jax_default_matmul_precision", "highest")
    with contextlib.suppress(RuntimeError):  # JAX is in use: keep its devices
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


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


def run(experiment: Experiment) -> dict[str, Any]:
    """Burn in, train and evaluate; write the run directory; return its result.

    Ctrl-C and SIGTERM save a checkpoint and end the process with 128 plus the number of
    the signal.

    Raises:
      RunError: if the run cannot start or go on: an existing or changed directory, a
        damaged checkpoint, a full disk, numbers that are not finite. Everything up to
        the last checkpoint is kept.
    """
    configure(experiment.precision)
    directory = open_directory(
        experiment.directory, experiment.name, experiment.config(), experiment.resume
    )
    try:
        with _signals() as stop:
            return _Run(experiment, directory, stop).run()
    except checkpoints.CheckpointError as error:
        raise RunError(str(error)) from None
    except OSError as error:
        raise RunError(
            f"cannot write to {directory}: {error.strerror or error}; what was saved "
            "before is untouched"
        ) from error


class _Run:
    """The moving parts of one run: states, counters, clocks and files."""

    def __init__(self, experiment: Experiment, directory: Path, stop: list[int]):
        self.experiment, self.directory, self.stop = experiment, directory, stop
        self.metrics = Metrics(directory / "metrics.jsonl")
        self.progress = Progress(
            experiment.hamiltonian.energy_unit, experiment.n_walkers
        )
        self.warnings: list[str] = []
        self.done = dict.fromkeys(PHASES, 0)
        self.seconds = dict.fromkeys((*PHASES, "compile"), 0.0)
        root = jax.random.key(experiment.seed)
        self.keys = {
            name: jax.random.fold_in(root, i)
            for i, name in enumerate(("walkers", "parameters", *PHASES))
        }
        self.mesh = walker_mesh(experiment.n_walkers)
        self.measured: list[dict[str, np.ndarray]] = []
        self.saved_at = time.monotonic()

    def run(self) -> dict[str, Any]:
        self._prepare()
        if self.experiment.resume:
            self._restore()
        self._compile()
        self.metrics.open(self.done["train"])
        self._loop("burn_in", self.experiment.burn_in, self._burn_in)
        self._loop("train", self.experiment.iterations, self._train)
        if not self.done["evaluation"]:
            self.sampler = jax.tree.map(jnp.copy, self.state.sampler)
        self._save()
        self._loop("evaluation", self.experiment.evaluation_steps, self._evaluate)
        self._save()
        return self._finish()

    def _prepare(self) -> None:
        """Walkers and parameters before the first step, placed on the devices."""
        experiment = self.experiment
        if self.mesh.size < len(jax.devices()):
            self.warnings.append(
                f"{experiment.n_walkers} walkers are no multiple of "
                f"{len(jax.devices())} devices; {self.mesh.size} used"
            )
        walkers = experiment.hamiltonian.initial_walkers(
            self.keys["walkers"], experiment.n_walkers
        )
        with warnings.catch_warnings(record=True) as caught:
            state = experiment.vmc().init(self.keys["parameters"], walkers)
        self.warnings += sorted({str(warning.message) for warning in caught})
        if experiment.start_from is not None and not experiment.resume:
            params, walkers = _start_from(experiment, state.params)
            state = state._replace(
                params=params, sampler=experiment.sampler.init(walkers)
            )
        self.n_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        self.placed = shardings(state, self.mesh, experiment.n_walkers)
        self.state = jax.tree.map(  # fresh buffers, since the steps donate them
            lambda leaf, place: jax.device_put(jnp.array(leaf, copy=True), place),
            state,
            self.placed,
        )
        self.sampler = jax.tree.map(jnp.copy, self.state.sampler)

    def _compile(self) -> None:
        """Compile the three steps ahead of time, once."""
        started = time.monotonic()
        vmc, evaluation = self.experiment.vmc(), self.experiment.evaluation()
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        self.keys = jax.device_put(self.keys, everywhere)

        def burn_in(key, i, params, sampler):
            key = jax.random.fold_in(key, i)
            sampler, info = vmc.sampler.step(key, vmc.ansatz, params, sampler)
            return vmc.sampler.adapt(sampler, info), info

        def train(key, state):
            return vmc.step(jax.random.fold_in(key, state.step), state)

        def measure(key, i, params, sampler):
            return evaluation.step(jax.random.fold_in(key, i), params, sampler)

        def compiled(function, *arguments, out, donate=()):
            jitted = jax.jit(
                function, out_shardings=(out, everywhere), donate_argnums=donate
            )
            return jitted.lower(*arguments).compile()

        i = jax.device_put(jnp.zeros((), int), everywhere)
        key, state = self.keys["train"], self.state
        frozen = (key, i, state.params, state.sampler)
        self.burn_in_step = compiled(burn_in, *frozen, out=self.placed.sampler)
        self.train_step = compiled(train, key, state, out=self.placed, donate=(1,))
        self.measure_step = compiled(measure, *frozen, out=self.placed.sampler)
        self.seconds["compile"] += time.monotonic() - started

    def _index(self, phase: str) -> jax.Array:
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        return jax.device_put(jnp.asarray(self.done[phase]), everywhere)

    def _burn_in(self) -> dict[str, Any]:
        sampler, info = self.burn_in_step(
            self.keys["burn_in"],
            self._index("burn_in"),
            self.state.params,
            self.state.sampler,
        )
        self.state = self.state._replace(sampler=sampler)
        return jax.device_get(info)

    def _train(self) -> dict[str, Any]:
        self.state, info = self.train_step(self.keys["train"], self.state)
        info = jax.device_get(info)
        if not info["non_finite"]:
            self.metrics.append(self.done["train"] + 1, info)
        return info

    def _evaluate(self) -> dict[str, Any]:
        self.sampler, values = self.measure_step(
            self.keys["evaluation"],
            self._index("evaluation"),
            self.state.params,
            self.sampler,
        )
        values = jax.device_get(values)
        self.measured.append(values)
        energy = sum(v for k, v in values.items() if k.startswith("term/"))
        return {
            "energy": np.mean(energy).real,
            "variance": np.var(energy),
            "acceptance": values["acceptance"],
            "non_finite": values["non_finite"],
        }

    def _loop(self, phase: str, total: int, advance: Callable) -> None:
        """Advance one phase to its end, saving now and then, and on a signal."""
        if self.done[phase] >= total:
            return
        with self.progress.phase(phase, self.done[phase], total) as progress:
            while self.done[phase] < total:
                self._stop_if_asked(phase)
                started = time.monotonic()
                info = advance()
                if info.get("non_finite", 0):
                    self._refuse_non_finite(phase, int(info["non_finite"]))
                self.done[phase] += 1
                self.seconds[phase] += time.monotonic() - started
                progress.update(self.done[phase], info)
                if time.monotonic() - self.saved_at >= self.experiment.checkpoint_every:
                    self._save()
        self._stop_if_asked(phase)

    def _save(self) -> None:
        """Write a checkpoint of everything that the run would need to go on."""
        checkpoints.save(
            self.directory / "checkpoints",
            sum(self.done.values()),
            self._tree(stack(self.measured) if self.measured else {}),
            identity=identity(self.experiment.config()),
        )
        self.saved_at = time.monotonic()

    def _tree(self, samples: dict[str, Any]) -> dict[str, Any]:
        """What a checkpoint holds; samples that do not exist yet are empty."""
        names = jax.eval_shape(
            self.experiment.evaluation().step,
            self.keys["evaluation"],
            self.state.params,
            self.sampler,
        )[1]
        return {
            "vmc": self.state,
            "sampler": self.sampler,
            "samples": {name: samples.get(name, np.zeros(0)) for name in names},
            "done": {k: np.asarray(v) for k, v in self.done.items()},
            "seconds": {k: np.asarray(v) for k, v in self.seconds.items()},
        }

    def _restore(self) -> None:
        """Go back to the last good checkpoint; without any, to the beginning."""
        folder = self.directory / "checkpoints"
        if not checkpoints.exist(folder):
            return
        like = self._tree({})
        like["samples"] = dict.fromkeys(like["samples"], checkpoints.ANY_SHAPE)
        _, tree = checkpoints.restore(
            folder,
            like,
            identity=identity(self.experiment.config()),
            warn=self._warn,
        )
        self.state, self.sampler = tree["vmc"], tree["sampler"]
        self.done = {k: int(v) for k, v in tree["done"].items()}
        self.seconds = {k: float(v) for k, v in tree["seconds"].items()}
        if self.done["train"] < self.experiment.iterations:
            self.done["evaluation"] = 0  # of parameters that training goes on to change
        samples = tree["samples"]
        self.measured = [
            {name: values[i] for name, values in samples.items()}
            for i in range(self.done["evaluation"])
        ]

    def _warn(self, message: str) -> None:
        self.warnings.append(message)
        print(f"warning: {message}", file=sys.stderr)

    def _stop_if_asked(self, phase: str) -> None:
        """After a signal: save, say how to go on, and end the process."""
        if not self.stop:
            return
        self._save()
        name = signal.Signals(self.stop[0]).name
        print(
            f"{name}: stopped after step {self.done[phase]} of {phase}; a checkpoint "
            f"is saved. Go on with: {_resume_command(self.directory)}",
            file=sys.stderr,
        )
        raise SystemExit(128 + self.stop[0])

    def _refuse_non_finite(self, phase: str, count: int) -> None:
        raise RunError(
            f"{count} local energies or wave-function values are not finite at step "
            f"{self.done[phase] + 1} of {phase}; the run stopped, and its last good "
            f"checkpoint is in {self.directory / 'checkpoints'}. A smaller learning "
            "rate, or an ansatz that is finite everywhere, would be right"
        )

    def _finish(self) -> dict[str, Any]:
        """Estimate, draw, and write `result.json` last."""
        samples = stack(self.measured)
        measured = summary(samples)
        measured["warnings"] = self.warnings + measured["warnings"]
        result = report(
            self.experiment,
            measured,
            n_parameters=self.n_parameters,
            seconds=self.seconds,
            mesh=self.mesh,
        )
        write_report(
            self.directory, self.experiment, result, measured, samples, self.metrics
        )
        print(sentence(result))
        return result


def identity(config: dict[str, Any]) -> str:
    """A fingerprint of everything in a configuration that a resume may not change."""

    def fixed(value):
        if isinstance(value, dict):
            return {k: fixed(v) for k, v in value.items() if k not in EXTENDABLE}
        return value

    text = json.dumps(fixed(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM in a list, instead of dying of them."""
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    old = {
        number: signal.signal(number, lambda number, frame: caught.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def _resume_command(directory: Path) -> str:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.name.startswith("experiments."):
        return f"python -m {spec.name} --directory {directory} --resume"
    return f"the same script with directory={str(directory)!r}, resume=True"


def load(directory: str | Path, **parts: Any) -> Loaded:
    """Ansatz, parameters and walkers of a run.

    Args:
      directory: of the run.
      **parts: ansatz, hamiltonian, sampler or optimizer, where their class cannot be
        imported from here (defined in a script, say).

    Raises:
      RunError: if the directory holds no run, or its checkpoints are damaged.
      ValueError: if a part cannot be rebuilt from its settings.
    """
    experiment, tree = _load(Path(directory), parts)
    return Loaded(experiment.ansatz, tree["vmc"].params, tree["sampler"].walkers)


def _load(directory: Path, parts: dict[str, Any]) -> tuple[Experiment, dict[str, Any]]:
    """The experiment of a run and the tree of its last good checkpoint."""
    config = read_json(directory / "config.json")
    try:
        fields = {
            name: parts[name] if name in parts else from_json(value)
            for name, value in config.items()
            if name != "options"
        }
    except NotImportable as error:
        raise ValueError(
            f"{directory} was made with a part of a script: {error}; pass it to load, "
            "ansatz=MyAnsatz() say"
        ) from None
    experiment = Experiment(
        **fields, options=config["options"], directory=str(directory), resume=True
    )
    configure(experiment.precision)
    try:
        session = _Run(experiment, directory, [])
        session._prepare()
        if not checkpoints.exist(directory / "checkpoints"):
            raise RunError(f"{directory} holds no checkpoint yet")
        session._restore()
    except checkpoints.CheckpointError as error:
        raise RunError(str(error)) from None
    return experiment, {"vmc": session.state, "sampler": session.sampler}


def _start_from(experiment: Experiment, params: Params) -> tuple[Params, Walkers]:
    """Parameters of another run, and its walkers rescaled to this system."""
    assert experiment.start_from is not None
    source, tree = _load(Path(experiment.start_from), {})
    found = tree["vmc"].params
    wanted = jax.tree_util.tree_leaves_with_path(params)
    shapes = {jax.tree_util.keystr(k): leaf.shape for k, leaf in wanted}
    given = jax.tree_util.tree_leaves_with_path(found)
    others = {jax.tree_util.keystr(k): leaf.shape for k, leaf in given}
    for name in [*shapes, *others]:
        if shapes.get(name) != others.get(name):
            raise RunError(
                f"start_from: parameter {name} has shape {others.get(name)} in "
                f"{experiment.start_from}, but {shapes.get(name)} is needed"
            )
    ratio = experiment.hamiltonian.length_scale / source.hamiltonian.length_scale
    copies = np.arange(experiment.n_walkers) % source.n_walkers

    def rescaled(leaf):
        leaf = jnp.asarray(leaf)[copies]
        return leaf * ratio if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return found, jax.tree.map(rescaled, tree["sampler"].walkers)

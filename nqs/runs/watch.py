"""Checkpoints, signals and numbers that are not finite, after every step of a run."""

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nqs.files import checkpoint
from nqs.files.directory import EXTENDABLE, RunError, extend, read_json, write_json
from nqs.runs.callbacks import Callbacks, Step, Stop
from nqs.runs.hosts import by_first, first, gathered, together
from nqs.runs.interrupts import Interrupted, in_notebook, resume_command
from nqs.runs.start import Start
from nqs.runs.state import RunState, identity, saved


@dataclasses.dataclass
class Watch:
    """The end of every step: refuse numbers that are not finite, stop, or save."""

    start: Start
    directory: Path
    stop: list[int]  # signals received
    saving: bool = True
    parent: Path | None = None  # directory to resume, if the run is one of a series
    callbacks: Callbacks | None = None

    def __post_init__(self):
        resume = self.start.experiment.resume
        self.stopped = by_first(self._stops) if resume else {}
        self.saved_at = time.monotonic()

    @cached_property
    def identity(self) -> str:
        """Fingerprint of the saved settings, which may be of an older version."""
        return identity(read_json(self.directory / "config.json"))

    def raise_totals(self) -> None:
        """Write the numbers of steps of a resumed run into its settings."""
        by_first(lambda: extend(self.directory, self.start.experiment.config()))

    def save(self, run: RunState) -> None:
        """Write a checkpoint."""
        if not self.saving:
            return
        folder, step = self.directory / "checkpoints", sum(run.done.values())
        tree = gathered(saved(run, self.start.built.measured, self.start.mesh.size))
        by_first(lambda: checkpoint.save(folder, step, tree, identity=self.identity))
        self.saved_at = time.monotonic()

    def after_step(self, run: RunState, phase: str) -> None:
        """Stop after a signal, or save if it is time."""
        every = self.start.experiment.checkpoint_every
        due = self.saving and time.monotonic() - self.saved_at >= every
        votes = together([max(self.stop, default=0), due])
        if signals := votes[:, 0].max():
            self._end(run, phase, int(signals))
        if votes[0, 1]:  # the clock of the first process
            self.save(run)

    def total_after(self, step: Step) -> int:
        """The steps of a phase, fewer if a callback stops it after this one.

        A stop is kept in `stopped.json`, so that a resumed run does not undo it.
        """
        stop = self._asked(step)
        if stop is None or step.number == step.total:
            return step.total
        self.stopped[step.phase] = step.number
        text = f"{step.phase} stopped after step {step.number} of {step.total}"
        self.start.warn(f"{text}: {stop.reason}")
        if self.saving:
            totals = self._totals() | {"stopped": self.stopped}
            write_json(self.directory / "stopped.json", totals)
        return step.number

    def _asked(self, step: Step) -> Stop | None:
        """The stop of the callbacks, which are called in the first process."""
        if self.callbacks is None or not self.callbacks.callbacks:
            return None
        called = self.callbacks
        run = step.run._replace(
            vmc=step.run.vmc._replace(sampler=gathered(step.run.vmc.sampler)),
            sampler=gathered(step.run.sampler),
        )
        return by_first(lambda: called.after(step._replace(run=run)))

    def _totals(self) -> dict[str, Any]:
        return {name: getattr(self.start.experiment, name) for name in EXTENDABLE}

    def _stops(self) -> dict[str, int]:
        """Stops of the run that is resumed; none if it is to have more steps."""
        path = self.directory / "stopped.json"
        if not path.exists():
            return {}
        found = read_json(path)
        stops = found.pop("stopped", {})
        if found != self._totals():
            return {}
        for phase, step in stops.items():
            self.start.warnings.append(f"{phase} was stopped after step {step}")
        return stops

    @contextlib.contextmanager
    def saved_on_exit(self, run: RunState) -> Iterator[None]:
        """Save a checkpoint if the loop over the steps is left."""
        try:
            yield
        except BaseException:
            self.save(run)
            raise

    def refuse_broken(self, info: dict[str, Any], run: RunState, phase: str) -> None:
        """Raise RunError if the step after `run` gave numbers that are not finite."""
        if count := int(info.get("non_finite", 0)):
            numbers = f"{count} local energies or wave-function values"
        elif not np.isfinite(info.get("update_norm", 0.0)):
            numbers = "updates of the parameters"
        else:
            return
        where = f"at step {run.done[phase] + 1} of {phase}"
        if not self.saving:
            raise RunError(f"{numbers} are not finite {where}")
        # a checkpoint of the step before may hold the parameters that gave them
        folder = self.directory / "checkpoints"
        checkpoint.discard(folder, sum(run.done.values()))
        raise RunError(
            f"{numbers} are not finite {where}; the run stopped, and its last good "
            f"checkpoint is in {folder}. Try a smaller learning rate; check the ansatz "
            "for divergences"
        )

    def _end(self, run: RunState, phase: str, number: int) -> None:
        """Save, print the command that resumes the run, and end the process."""
        name = signal.Signals(number).name
        text = f"{name}: stopped after step {run.done[phase]} of {phase}"
        if self.saving:
            self.save(run)
            command = resume_command(self.parent or self.directory)
            text += f"; a checkpoint is saved. Resume with: {command}"
        if first():
            print(text, file=sys.stderr)
        if in_notebook():
            raise Interrupted(text, run, self.directory)
        raise SystemExit(128 + number)

"""The trials of `nqs tune`: runs with settings that Optuna suggests.

`tune.json` says what is searched, `study.jsonl` is Optuna's journal, and every trial is
an ordinary run directory. A trial that was killed goes on from its checkpoint.
"""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.command_line.main import options_of
from experiments.command_line.searches import default_value
from experiments.command_line.tuning import (
    LATE,
    Lock,
    Tuning,
    late_energy,
    optuna,
    read,
)
from experiments.command_line.variations import parsed, varied
from nqs.files.metrics import Metrics
from nqs.jobs.claims import claimed, is_claimed
from nqs.jobs.workers import Worker, attempts, last_error, was_stopped

REPORTS = 10  # of the energy to the pruner, in one trial
EVALUATION = ("--evaluation-steps", "10")  # a trial is judged by its training


@dataclasses.dataclass(frozen=True)
class Trials:
    """The trials of the search in a directory, as tasks of workers."""

    directory: Path  # absolute

    @property
    def folder(self) -> Path:
        """Claims and logs."""
        return self.directory / "jobs"

    @property
    def tuning(self) -> Tuning:
        """The search as it is now."""
        return read(self.directory)

    def place(self, number: int) -> Path:
        """The run directory of a trial."""
        return self.directory / f"trial_{number:04d}"

    def claim(self, number: int) -> Path:
        """The file that the worker of a trial claims."""
        return self.folder / f"trial_{number:04d}.lock"

    def study(self, seed: int = 0) -> Any:
        """Optuna's study, with the default settings as its first trial.

        Args:
          seed: of the next suggestions; trials have different ones.
        """
        package, tuning = optuna(), self.tuning
        self.folder.mkdir(parents=True, exist_ok=True)
        journal = package.storages.journal
        path = self.directory / "study.jsonl"
        lock = Lock(self.folder / "study.lock")
        storage = package.storages.JournalStorage(
            journal.JournalFileBackend(str(path), lock_obj=lock)
        )
        pruner = package.pruners.NopPruner()
        if tuning.prune:
            reports = dict(n_startup_trials=4, n_warmup_steps=_steps(self) // LATE)
            pruner = package.pruners.MedianPruner(**reports)
        with claimed(self.folder / "begin.lock", wait=True):
            study = package.create_study(
                storage=storage,
                study_name="tune",
                sampler=package.samplers.TPESampler(seed=seed),
                pruner=pruner,
                load_if_exists=True,
            )
            if not study.get_trials(deepcopy=False):
                study.enqueue_trial(self._defaults(), user_attrs={"default": True})
        return study

    def _defaults(self) -> dict[str, Any]:
        """The default settings; empty if one of them is outside the search."""
        tuning = self.tuning
        options = parsed(options_of(tuning.experiment), tuning.arguments)
        found = {
            each.name: each.inside(default_value(options, each.name))
            for each in tuning.searches
        }
        return {} if None in found.values() else found

    def begun(self, study: Any) -> list[Any]:
        """Trials that have been asked for."""
        waiting = optuna().trial.TrialState.WAITING
        return [t for t in study.get_trials(deepcopy=False) if t.state != waiting]

    def left(self) -> list[str]:
        """One text for every trial that has not ended."""
        ended = [
            trial for trial in self.begun(self.study()) if trial.state.is_finished()
        ]
        return ["trial"] * (self.tuning.trials - len(ended))

    def running(self) -> list[int]:
        """Trials that a process of this machine has claimed."""
        trials = self.begun(self.study())
        unfinished = [t.number for t in trials if not t.state.is_finished()]
        return [number for number in unfinished if is_claimed(self.claim(number))]

    def work(self, worker: Worker) -> None:
        """Make trials until there are enough, those first that were killed."""
        stopped: set[int] = set()
        for _ in range(2):  # a look at a claim takes it for a moment
            while self._made(worker, stopped):
                pass

    def _made(self, worker: Worker, stopped: set[int]) -> bool:
        """Whether this worker made a trial, or asked for one."""
        study = self.study()
        for trial in self.begun(study):
            if trial.state.is_finished() or trial.number in stopped:
                continue
            with claimed(self.claim(trial.number)) as claim:
                state = study.get_trials(deepcopy=False)[trial.number].state
                if claim is not None and not state.is_finished():
                    if not self._run(trial.number, worker, claim):
                        stopped.add(trial.number)
                    return True
        with claimed(self.folder / "ask.lock", wait=True):
            enough = len(self.begun(study)) >= self.tuning.trials
            if not enough and not stopped:
                study.ask()
                return True
        return False

    def command(self, trial: Any) -> list[str]:
        """The options of a trial on the command line."""
        tuning = self.tuning
        default = trial.user_attrs.get("default", False)
        searched = tuning.searches if trial.params or not default else ()
        changes = {each.name: each.suggest(trial) for each in searched}
        if default:
            return [*tuning.arguments]
        return varied(options_of(tuning.experiment), tuning.arguments, changes)

    def _run(self, number: int, worker: Worker, claim: int) -> bool:
        """Make a trial and record its energy; False if it was stopped."""
        study = self.study(seed=number)
        frozen = study.get_trials(deepcopy=False)[number]
        trial = optuna().trial.Trial(study, frozen._trial_id)
        arguments, directory = self.command(trial), self.place(number)
        trial.set_user_attr("arguments", arguments)
        if not any(each.startswith("--evaluation") for each in arguments):
            arguments = [*arguments, *EVALUATION]
        log = self.folder / f"{directory.name}.log"
        report = Report(trial, directory, _steps(self))
        experiment = self.tuning.experiment
        status = attempts(
            worker, experiment, arguments, directory, log, claim, report.look
        )
        states = optuna().trial.TrialState
        if report.pruned:
            study.tell(number, state=states.PRUNED)
        elif was_stopped(status):
            return False
        elif not (directory / "result.json").exists():
            trial.set_user_attr("reason", last_error(log))
            study.tell(number, state=states.FAIL)
        else:
            report.report()
            mean, error = late_energy(report.energies())
            trial.set_user_attr("energy", [mean, error])
            study.tell(number, mean + error)
        return True


def _steps(trials: Trials) -> int:
    """Training steps of every trial."""
    tuning = trials.tuning
    return parsed(options_of(tuning.experiment), tuning.arguments).iterations


class Report:
    """Energies of a trial for the pruner, while it runs.

    Attributes:
      pruned: whether the trial has been ended early.
    """

    def __init__(self, trial: Any, directory: Path, steps: int):
        self.trial, self.directory = trial, directory
        self.every, self.pruned, self.looked = max(1, steps // REPORTS), False, 0.0
        frozen = trial.study.get_trials(deepcopy=False)[trial.number]
        self.reported = set(frozen.intermediate_values)

    def energies(self) -> np.ndarray:
        """Energies of the training so far, (steps,)."""
        columns = Metrics(self.directory / "metrics.jsonl").columns()
        return columns.get("energy", np.zeros(0))

    def look(self, stop: Callable[[], None]) -> None:
        """Report what is new, and stop the run if it is worse than the others."""
        if self.pruned or time.monotonic() - self.looked < 1.0:
            return
        self.looked = time.monotonic()
        if self.report() and self._worse():
            self.pruned = True
            stop()

    def report(self) -> bool:
        """Report the median energies of every tenth of the steps, if one is new."""
        energies, new = self.energies(), False
        for step in range(self.every, len(energies) + 1, self.every):
            if step not in self.reported:
                value = float(np.median(energies[step - self.every : step]))
                self.trial.report(value, step)
                self.reported.add(step)
                new = True
        return new

    def _worse(self) -> bool:
        """Whether to prune; never the default settings, with which others compare."""
        if self.trial.user_attrs.get("default", False):
            return False
        return self.trial.should_prune()

"""The command `nqs tune`: a search for the best settings of an experiment."""

import dataclasses
import math
import shlex
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.command_line.options import Options
from experiments.command_line.searches import searches
from experiments.command_line.trials import Trials
from experiments.command_line.tuning import FILE, Tuning, optuna, read
from nqs.checks import whole
from nqs.runs.directory import RunError, new_directory, write_json
from nqs.runs.figures import BLUE, figure
from nqs.runs.follow import Row, row, show
from nqs.runs.jobs import Jobs, Worker
from nqs.runs.submission import queue
from nqs.runs.supervision import complete
from nqs.statistics.estimates import uncertain

USAGE = """usage: nqs tune NAME [OPTIONS] --search NAME=VALUES [--search ...]
       nqs tune DIR

  --search NAME=VALUES   optimizer.learning_rate=log(0.01,0.3), ansatz.layers=int(1,4),
                         clip=(2,10) or ansatz.width=16|32|64
  --trials N             runs, of which the first has the default settings
  --no-prune             let bad trials end
  --directory DIR        of the search; a fresh one under runs/ without it
  --cluster, --workers, --cores, --gpus, --partition, --time   as for nqs sweep

Other options are those of `nqs run NAME --help`, for all trials. The same command, or
`nqs resume DIR`, continues a search; `nqs tune DIR` shows it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneOptions(Jobs):
    """Options of a search besides those of its trials."""

    search: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="search")
    ] = ()
    trials: int = 40
    prune: bool = True
    directory: str | None = None

    def jobs(self) -> Jobs:
        """Where the workers run."""
        names = [field.name for field in dataclasses.fields(Jobs)]
        return Jobs(**{name: getattr(self, name) for name in names})


def main(arguments: list[str], options_of: Callable[[str], type[Options]]) -> None:
    """Start, continue or show a search.

    Args:
      arguments: of the command line after `tune`.
      options_of: the options class of an experiment by name.
    """
    if not arguments or arguments[0] in ("--help", "-h"):
        print(USAGE)
        return
    first, *rest = arguments
    if (Path(first) / FILE).exists():
        show_trials(Trials(Path(first).absolute()))
        return
    given, others = tyro.cli(
        TuneOptions, args=rest, return_unknown_args=True, add_help=False
    )
    config, jobs = options_of(first), given.jobs()
    tyro.cli(config, default=config(), prog=f"nqs tune {first}", args=others)
    jobs.check()
    optuna()
    found = searches(config, others, given.search)
    number = whole("trials", given.trials)
    tuning = Tuning(first, tuple(others), found, number, given.prune, jobs)
    directory = Path(given.directory or new_directory(f"tune_{first}")).absolute()
    tuning.save(directory)
    carry_on(Trials(directory))


def resume(directory: Path, arguments: list[str]) -> None:
    """Continue a search; options say where, by default as before."""
    tuning = read(directory)
    jobs = tyro.cli(Jobs, default=tuning.jobs, args=arguments, prog="nqs resume DIR")
    jobs.check()
    dataclasses.replace(tuning, jobs=jobs).save(directory)
    carry_on(Trials(directory.absolute()))


def carry_on(trials: Trials) -> None:
    """Make the trials that are left, and show the best settings."""
    directory, jobs = trials.directory, trials.tuning.jobs
    print(f"search with {trials.tuning.trials} trials in {directory}", flush=True)
    trials.study()
    name, left = f"nqs_{directory.name}", trials.left()
    if jobs.cluster == "slurm":
        workers = range(min(jobs.workers or 64, len(left)))
        queue(jobs, {f"{i}": Worker(trials, i, patient=True) for i in workers}, name)
        print(f"jobs are queued; nqs tune {directory} shows them")
        return
    try:
        left = complete(trials, jobs, name, lambda: rows(trials))
    except KeyboardInterrupt:
        print(f"stopped; continue with: nqs resume {directory}", file=sys.stderr)
        raise SystemExit(130) from None
    show_trials(trials)
    if left:
        raise RunError(
            f"{len(left)} of {trials.tuning.trials} trials are left; their output is "
            f"in {trials.folder}, and nqs resume {directory} continues"
        )


def rows(trials: Trials) -> list[Row]:
    """The state of every trial: pending, running, done, pruned or failed."""
    running, found = trials.running(), []
    for trial in trials.begun(trials.study()):
        directory, state = trials.place(trial.number), trial.state.name
        status = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}.get(state)
        status = status or ("running" if trial.number in running else "pending")
        shown = Row("", status)
        if (directory / "config.json").exists():
            shown = row(directory, status)
        pairs = [f"{k.rpartition('.')[2]}={_short(v)}" for k, v in trial.params.items()]
        label = "default" if trial.user_attrs.get("default") else " ".join(pairs)
        energy = trial.user_attrs.get("energy")
        found.append(
            Row(
                f"{trial.number} {label}",
                status,
                shown.steps,
                uncertain(*energy) if energy else shown.energy,
                left=shown.left,
                history=trial.user_attrs.get("reason", ""),
            )
        )
    return found


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def show_trials(trials: Trials) -> None:
    """Show the table and the best settings; write `results.json` and a figure."""
    show(lambda: rows(trials), lambda found: all(r.status != "running" for r in found))
    study = trials.study()
    done = [t for t in trials.begun(study) if t.state.name == "COMPLETE"]
    if not done:
        print("no trial has ended yet")
        return
    importance = importances(study, len(done))
    if importance:
        draw(trials.directory / "figures", importance)
    listed = [
        {"trial": t.number, "state": t.state.name, "parameters": t.params}
        | {name: t.user_attrs.get(name) for name in ("energy", "arguments", "reason")}
        for t in trials.begun(study)
    ]
    kept = {"trials": listed, "importance": importance}
    write_json(trials.directory / "results.json", kept)
    print("\n".join(answer(trials.tuning.experiment, done)))


def importances(study: Any, done: int) -> dict[str, float]:
    """Part of the spread of energies that each setting explains; empty if too few."""
    if done < 4:
        return {}
    try:
        with warnings.catch_warnings(action="ignore"):  # about few trials
            return dict(optuna().importance.get_param_importances(study))
    except (RuntimeError, ValueError):  # all energies are the same, say
        return {}


def answer(experiment: str, done: list[Any]) -> list[str]:
    """The best settings against the default, and the command that has them.

    Settings are better only if their energy is lower by more than two standard errors
    of the difference: the lowest of many uncertain energies is low by chance too.
    """
    best = min(done, key=lambda trial: trial.value)
    default = next((t for t in done if t.user_attrs.get("default")), None)
    energy, error = best.user_attrs["energy"]
    lines = [f"lowest energy of late training: {uncertain(energy, error)}, trial "
             f"{best.number}"]  # fmt: skip
    if default is not None:
        before, its_error = default.user_attrs["energy"]
        lines.append(f"with the default settings: {uncertain(before, its_error)}")
        if before - energy <= 2 * math.hypot(error, its_error):
            best = default
            lines.append("the default settings are best within two standard errors:")
        else:
            lines.append("the best settings:")
    arguments = shlex.join(best.user_attrs["arguments"])
    return [*lines, f"nqs run {experiment} {arguments}".strip()]


def draw(folder: Path, importance: dict[str, float]) -> None:
    """The importance of every setting as bars."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"importance.{suffix}" for suffix in ("png", "pdf")]
    names = sorted(importance, key=lambda name: importance[name])
    with figure(paths, "importance for the energy of late training", "") as axes:
        axes.barh(names, [importance[name] for name in names], color=BLUE)
        axes.set_xlim(0, 1)

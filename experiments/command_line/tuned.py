"""The state of a search: its table, its answer, the importance of every setting."""

import math
import shlex
import warnings
from pathlib import Path
from typing import Any

from experiments.command_line.trials import Trials
from experiments.command_line.tuning import optuna
from nqs.files.directory import write_json
from nqs.runs.figures import BLUE, figure
from nqs.statistics.estimates import uncertain
from nqs.views.follow import Row, row, show


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
                left=shown.left if status == "running" else "",
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

"""The result of an evolution: observables against time, as arrays and figures."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nqs.evolution.settings import EvolutionSettings
from nqs.files.directory import all_or_none, write_json
from nqs.runs.experiment import Experiment
from nqs.runs.figures import BLUE, Profile, figure, labeled
from nqs.statistics import uncertain
from nqs.statistics.measurements import Measurements
from nqs.statistics.summary import summary

SHOWN = 5  # warnings of measurements that the result repeats
FAR = 0.1  # distance from the exact psi, above which there is a warning
APART = 3.0  # standard errors of the energy that are a change
EXACT = 1e-6  # residual of an ansatz that contains the motion
# numbers fitted per equation, two a walker, above which there is a warning
FITTED = 0.1

KEPT = ("variance", "acceptance", "autocorrelation_time", "terms", "observables")


def record(time: float, samples: Measurements) -> dict[str, Any]:
    """The measurements of one time, with error bars, as a line of `outputs.jsonl`.

    Args:
      time: of the evolution.
      samples: of all steps, terms multiplied by their factors.
    """
    found = summary(samples)
    energy = [found["energy"], found["energy_error"]]
    return {
        "time": time,
        "energy": energy,
        **{name: found[name] for name in KEPT},
        "profiles": {name: list(pair) for name, pair in found["profiles"].items()},
        "warnings": found["warnings"],
    }


def finish_evolution(
    experiment: Experiment,
    settings: EvolutionSettings,
    directory: Path,
    columns: dict[str, np.ndarray],
    outputs: list[dict[str, Any]],
    sizes: dict[str, int],
) -> dict[str, Any]:
    """Write `result.json`, `observables.npz` and figures, and print.

    Args:
      experiment: whose psi evolved.
      settings: of the evolution.
      directory: of the evolution, in that of the run.
      columns: of its metrics.
      outputs: lines of its measurements.
      sizes: numbers of real parameters and of walkers.
    """
    result = report(experiment, settings, columns, outputs, sizes)
    arrays = against_time(outputs)
    grids = {
        f"{f.name}_grid": np.asarray(f.grid)
        for f in experiment.observables
        if f.grid is not None
    }
    unit, profiles = experiment.hamiltonian.energy_unit, lines(experiment, arrays)
    with all_or_none(directory) as unfinished:
        np.savez(unfinished / "observables.npz", **(arrays | grids))  # type: ignore
        energies = {"energy", *outputs[0]["terms"]}
        draw_evolution(unfinished / "figures", arrays, profiles, unit, energies)
        write_json(unfinished / "result.json", result)
    for text in result["warnings"]:
        print(f"warning: {text}")
    first, last = outputs[0], outputs[-1]
    print(
        f"energy {uncertain(*first['energy'])} {unit} at time 0, "
        f"{uncertain(*last['energy'])} at {last['time']:g}; distance from the exact "
        f"psi at most {result['distance']:.2g}; {len(outputs)} times in {directory}"
    )
    return result


def lines(experiment: Experiment, arrays: dict[str, np.ndarray]) -> dict[str, Profile]:
    """Profiles (t, k) of observables on a line, with their texts."""
    system, profiles = experiment.hamiltonian, {}
    length, d = system.length_unit, getattr(system, "d", "d")
    for observable in experiment.observables:
        values = arrays.get(observable.name, np.zeros(0))
        if observable.grid is not None and values.shape[2:] == observable.grid.shape:
            mean, error = values[:, 0], values[:, 1]
            profiles[observable.name] = labeled(observable, mean, error, length, d)
    return profiles


def report(
    experiment: Experiment,
    settings: EvolutionSettings,
    columns: dict[str, np.ndarray],
    outputs: Sequence[dict[str, Any]],
    sizes: dict[str, int],
) -> dict[str, Any]:
    """The content of `result.json`."""
    taken = columns["accepted"] > 0
    rate = np.sqrt(columns["residual"] * columns["variance"])
    distance = float(np.sum((rate * columns["time_step"])[taken]))
    found = {
        "experiment": experiment.name,
        "settings": vars(settings),
        **sizes,
        "energy_unit": experiment.hamiltonian.energy_unit,
        "times": [row["time"] for row in outputs],
        "energies": [row["energy"] for row in outputs],
        "steps": int(taken.sum()),
        "rejected": int((~taken).sum()),
        "residual": float(columns["residual"].max()),
        "distance": distance,
        "energy_drift": float(columns["energy_drift"][-1]),
        "log_norm": float(columns["log_norm"][-1]),
    }
    return found | {"warnings": warnings(found, settings, outputs)}


def warnings(
    found: dict[str, Any],
    settings: EvolutionSettings,
    outputs: Sequence[dict[str, Any]],
) -> list[str]:
    """Sentences about numbers that should not be trusted."""
    texts = [f"time {row['time']:g}: {t}" for row in outputs for t in row["warnings"]]
    if more := len(texts) - SHOWN:
        texts[SHOWN:] = [f"{more} more such warnings in outputs.jsonl"] * (more > 0)
    if found["distance"] > FAR:
        texts.append(
            f"the part of the motion that psi leaves out adds up to "
            f"{found['distance']:.2g}; use an ansatz with more parameters"
        )
    p, w = found["n_parameters"], found["n_walkers"]
    if p > FITTED * 2 * w and found["residual"] > EXACT:
        texts.append(
            f"{p} real parameters are fitted to {w} walkers, so that the residual and "
            f"the distance are too small; use n_walkers >= {round(p / FITTED / 2)}"
        )
    (first, error), energies = outputs[0]["energy"], [r["energy"] for r in outputs]
    errors = [one for _, one in energies]
    if settings.ramp or None in errors:
        return texts
    apart = max(abs(e - first) / np.hypot(one, error) for e, one in energies if one)
    if apart > APART:
        texts.append(
            f"the energy changed by {apart:.1f} standard errors; use more walkers, or "
            "a smaller tolerance"
        )
    return texts


def against_time(outputs: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Time (t,), and for every name mean and error (t, 2, ...) of all times."""
    arrays = {"time": np.array([row["time"] for row in outputs])}
    arrays["energy"] = np.array([row["energy"] for row in outputs], float)
    for kind in ("terms", "observables", "profiles"):
        for name in outputs[0][kind]:
            key = name if name not in arrays else f"{name}_term"
            arrays[key] = np.array([row[kind][name] for row in outputs], float)
    return arrays


def draw_evolution(
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    profiles: Mapping[str, Profile],
    unit: str,
    energies: Collection[str] = ("energy",),
) -> None:
    """Write a PNG file for every average against time.

    Args:
      folder: of the files.
      arrays: "time" (t,), and mean and error (t, 2) of numbers.
      profiles: with means (t, k) on grids (k,).
      unit: of the energy.
      energies: names of those arrays that have this unit.
    """
    folder.mkdir(exist_ok=True)
    time, label = arrays["time"], f"time (1/{unit})"
    for name, values in arrays.items():
        if values.ndim == 2:
            text = f"{name} ({unit})" if name in energies else name
            with figure(folder / f"{name}.png", label, text) as axes:
                mean, error = values.T
                axes.plot(time, mean, color=BLUE, marker="." if len(time) < 50 else "")
                band = {"color": BLUE, "alpha": 0.3, "lw": 0}
                axes.fill_between(time, mean - error, mean + error, **band)
                axes.ticklabel_format(axis="y", useOffset=False)
    for name, profile in profiles.items():
        path = folder / f"{name}.png"
        with figure(path, label, profile.axes[0], width=5.2) as axes:
            colors = axes.pcolormesh(time, profile.grid, profile.mean.T, vmin=0)
            axes.figure.colorbar(colors, label=profile.label)

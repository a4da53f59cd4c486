"""The result of a projection: energies at every time step, and their limit."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from nqs.files.directory import all_or_none, read_json, write_json
from nqs.projection.settings import BLOCK, ProjectionSettings
from nqs.runs.comparison import alarms, comparison, known_references
from nqs.runs.experiment import Experiment
from nqs.runs.figures import draw_time_steps
from nqs.runs.result import sentence
from nqs.statistics import Diagnostics, uncertain
from nqs.statistics.projection import at_zero, corrected_energy, extrapolated

# Columns of the metrics that are no expectation values; means of the second are shown.
LABELS = {"step", "n_walkers", "time_step", "burn_in", "non_finite"}
WALK = {"acceptance", "effective_walkers", "effective_time_step", "variance"}
WALK |= {"jumps", "sign_flip"}  # on a lattice
APART = 3.0  # standard errors between two populations that raise a warning


def finish_projection(
    experiment: Experiment,
    settings: ProjectionSettings,
    directory: Path,
    columns: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Estimate, write `result.json` and a figure, and print.

    Args:
      experiment: whose psi is projected.
      settings: of the projection.
      directory: of the projection, in that of the run.
      columns: of its metrics.
    """
    result = report(experiment, settings, columns)
    result["extrapolated"] = _extrapolated(directory.parents[1], result["means"])
    with all_or_none(directory) as unfinished:
        draw_time_steps(unfinished / "figures" / "time_step.png", result)
        write_json(unfinished / "result.json", result)
    for text in result["warnings"]:
        print(f"warning: {text}")
    for each in result["stages"]:
        value = uncertain(*each["means"]["energy"])
        print(f"{each['n_walkers']} walkers, tau {each['time_step']:g}: {value}")
    print(sentence(result))
    return result


def report(
    experiment: Experiment,
    settings: ProjectionSettings,
    columns: dict[str, np.ndarray],
) -> dict[str, Any]:
    """The content of `result.json`, from the columns of the metrics.

    The energy is that of the largest population.
    """
    stages = [stage(columns, *each) for each in settings.stages]
    # on a lattice the time step has no error, and several give one mean
    degree = 0 if experiment.hamiltonian.diffusion is None else 1
    limits = [limit(stages, w, degree) for w in settings.n_walkers]
    largest = max(limits, key=lambda found: found["n_walkers"])
    references, broken = known_references(experiment.hamiltonian)
    compared = comparison(largest["energy"], largest["energy_error"], references)
    warnings = [text for each in stages for text in each.pop("warnings")]
    return {
        "experiment": experiment.name,
        "settings": vars(settings),
        "energy_unit": experiment.hamiltonian.energy_unit,
        **largest,
        "populations": limits,
        "stages": stages,
        "comparison": compared,
        "warnings": warnings + population_bias(limits) + broken + alarms(compared),
    }


def stage(
    columns: dict[str, np.ndarray], n_walkers: int, time_step: float
) -> dict[str, Any]:
    """Means and errors of one population and time step."""
    chosen = (columns["n_walkers"] == n_walkers) & (columns["time_step"] == time_step)
    chosen &= columns["burn_in"] == 0
    series = {k: v[chosen] for k, v in columns.items() if k not in LABELS}
    walk = {name: float(series.pop(name).mean()) for name in WALK & {*series}}
    of_energy = Diagnostics(frozen=walk.get("acceptance", walk.get("jumps")) == 0)
    others = Diagnostics(of_energy.frozen)
    energy, time = series.pop("energy"), BLOCK * time_step
    found, error = of_energy.estimate("energy", energy)
    duration, growth = found.autocorrelation_time, series["growth_energy"]
    corrected = corrected_energy(energy, growth, time, duration, others)
    means = {name: others.mean(name, values) for name, values in series.items()}
    where = f"{n_walkers} walkers, tau {time_step:g}: "
    unit = f"blocks of {BLOCK} steps"  # of these series
    # a warning about the energy is true of all other means
    further = [] if error is None else others.warnings[:1]
    return {
        "n_walkers": n_walkers,
        "time_step": time_step,
        "means": {"energy": [found.mean, error], "energy_corrected": corrected} | means,
        "autocorrelation_time": time * found.autocorrelation_time,
        **walk,
        "warnings": [
            where + re.sub(r"\bsteps?\b", unit, text)
            for text in of_energy.warnings + further
        ],
    }


def limit(stages: list[dict[str, Any]], n_walkers: int, degree: int) -> dict[str, Any]:
    """Means of one population, on a line to zero time step, or of degree 0."""
    mine = [each for each in stages if each["n_walkers"] == n_walkers]
    time_steps = [each["time_step"] for each in mine]

    def zero(name, degree):
        return at_zero(time_steps, [each["means"][name] for each in mine], degree)

    means = {name: zero(name, degree) for name in mine[0]["means"]}
    energy, error = means["energy"]
    return {
        "n_walkers": n_walkers,
        "energy": energy,
        "energy_error": error,
        "energy_quadratic": zero("energy", 2) if degree and len(mine) > 2 else None,
        "means": means,
    }


def population_bias(limits: list[dict[str, Any]]) -> list[str]:
    """A warning where two populations have different energies."""
    errors = [found["energy_error"] for found in limits]
    if len(limits) < 2 or None in errors:
        return []
    energies = [found["energy"] for found in limits]
    difference, error = float(np.ptp(energies)), math.hypot(*sorted(errors)[-2:])
    if difference <= APART * error:
        return []
    return [
        f"energies of the populations differ by {uncertain(difference, error)}: add "
        "walkers"
    ]


def _extrapolated(run: Path, mixed: dict[str, Any]) -> dict[str, Any]:
    """2 mixed - variational of potential terms and observables of a finished run."""
    if not (run / "result.json").exists():
        return {}
    found = read_json(run / "result.json")
    variational = {**found["terms"], **found["observables"]}
    names = [name for name in mixed if name in variational and name != "kinetic"]
    return {name: extrapolated(mixed[name], variational[name]) for name in names}

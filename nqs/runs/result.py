"""The result of a run: `result.json`, its arrays, its figures, its last sentence."""

import math
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nqs.files.directory import all_or_none, write_json
from nqs.files.metrics import Metrics
from nqs.runs.comparison import alarms, comparison, known_references
from nqs.runs.experiment import Experiment
from nqs.runs.figures import Profile, draw_figures, labeled
from nqs.runs.start import Start
from nqs.runs.state import RunState
from nqs.statistics import (
    Measurements,
    derived_series,
    merged_profile,
    stack,
    summary,
    uncertain,
)
from nqs.statistics.extrapolation import blocks, extrapolate
from nqs.types import Hamiltonian, Reference, sum_of_terms

SAMPLING = ("autocorrelation_time", "r_hat", "n_samples", "n_effective", "acceptance")
SETTINGS = ("iterations", "n_walkers", "seed", "precision")


def finish(
    start: Start, state: RunState, directory: Path, metrics: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Estimate, write figures, `observables.npz` and `result.json`, and print.

    All files are written or none.

    Args:
      start: of the run.
      state: at the end.
      directory: of the files.
      metrics: columns of the training history, for the energy at zero variance.
    """
    samples, experiment = stack(state.samples), start.experiment
    measured = measurements(experiment, samples)
    training = blocks(metrics)
    line = extrapolate(training)
    result = report(start, measured, state)
    result["energy_extrapolated"] = None if line is None else [line.energy, line.error]
    arrays = _arrays(experiment, measured["profiles"])
    system, functions = experiment.hamiltonian, experiment.observables
    profiles = drawn_profiles(system, functions, arrays, samples)
    energies = sum_of_terms(samples.terms).real
    with all_or_none(directory) as unfinished:
        np.savez(unfinished / "observables.npz", **arrays)
        figures = unfinished / "figures"
        draw_figures(figures, result, metrics, energies, profiles, training, line)
        write_json(unfinished / "result.json", result)
    for message in result["warnings"]:
        print(f"warning: {message}")
    for number, level in enumerate(result["levels"]):
        print(f"level {number}: {sentence(result | level)}")
    print(sentence(result))
    if result["lanczos"] is not None:
        print(f"after a Lanczos step: {sentence(result | result['lanczos'])}")
    return result


def measurements(experiment: Experiment, samples: Measurements) -> dict[str, Any]:
    """Means and error bars of all samples of an experiment."""
    series = derived_series(experiment.observables)
    return summary(samples, experiment.hamiltonian.derived, series)


def result_so_far(
    start: Start, text: str, state: RunState, directory: Path
) -> dict[str, Any]:
    """The result of an interrupted run; nothing is written.

    Of the evaluation so far, or the mean energy of the last tenth of the training,
    without error. `interrupted` is a sentence, `directory` that of the run.
    """
    where = {"interrupted": text, "directory": str(directory)}
    experiment = start.experiment
    if state.samples:
        measured = measurements(experiment, stack(state.samples))
        return where | report(start, measured, state)
    columns, done = Metrics(directory / "metrics.jsonl").columns(), state.done["train"]
    found: dict[str, Any] = {"energy": None, "energy_error": None, "variance": None}
    for name in ("energy", "variance"):
        if len(latest := columns.get(name, np.zeros(0))[-math.ceil(done / 10) or 1 :]):
            found[name] = float(np.mean(latest))
    found |= {"energy_unit": experiment.hamiltonian.energy_unit, "iterations": done}
    return where | found | {"warnings": start.warnings}


def report(start: Start, measured: dict[str, Any], state: RunState) -> dict[str, Any]:
    """The content of `result.json`, from `summary` and the state at the end."""
    experiment, hamiltonian = start.experiment, start.experiment.hamiltonian
    n, energy, error = hamiltonian.n, measured["energy"], measured["energy_error"]
    references, found = known_references(hamiltonian)
    compared = comparison(energy, error, references)
    better = after_lanczos(references, measured["observables"])
    found += alarms(compared) + alarms(better and better["comparison"])
    return {
        "experiment": experiment.name,
        "config": experiment.config(),
        "energy_unit": hamiltonian.energy_unit,
        "length_unit": hamiltonian.length_unit,
        "n": n,
        "n_parameters": start.n_parameters,
        "energy": energy,
        "energy_error": error,
        "energy_per_particle": energy / n,
        "energy_per_particle_error": None if error is None else error / n,
        "energy_imaginary": measured["energy_imaginary"],
        "variance": measured["variance"],
        # in the continuum, where the energy of infinite temperature is infinite
        "v_score": n * measured["variance"] / energy**2 if energy else None,
        "terms": measured["terms"],
        "observables": measured["observables"] | _v_score(n, measured),
        **{name: measured[name] for name in SAMPLING},
        **{name: getattr(experiment, name) for name in SETTINGS},
        **_costs(state.seconds, start.mesh, state.done["train"]),
        "references": [vars(reference) for reference in references],
        "comparison": compared,
        "deviation_sigma": None if compared is None else compared["sigma"],
        "levels": levels(hamiltonian, measured["observables"]),
        "lanczos": better,
        "warnings": start.warnings + measured["warnings"] + found,
    }


def _costs(
    seconds: dict[str, float], mesh: jax.sharding.Mesh, iterations: int
) -> dict[str, Any]:
    packages = ("jax", "jaxlib", "flax", "optax", "nqs")
    versions = {"python": platform.python_version()}
    return {
        "device": f"{mesh.size} x {mesh.devices.flat[0].device_kind}",
        "versions": versions | {name: version(name) for name in packages},
        "compile_seconds": seconds["compile"],
        "train_seconds": seconds["burn_in"] + seconds["train"],
        "evaluate_seconds": seconds["evaluation"],
        "seconds_per_step": seconds["train"] / max(1, iterations),
        "peak_memory_mb": peak_memory(),
    }


def _v_score(n: int, measured: dict[str, Any]) -> dict[str, list[float | None]]:
    """N Var / E^2 with its error, where E is not zero."""
    if measured["relative_variance"] is None:
        return {}
    mean, error = measured["relative_variance"]
    return {"v_score": [n * mean, None if error is None else n * error]}


def _arrays(experiment: Experiment, measured: dict[str, Any]) -> dict[str, Any]:
    """Content of `observables.npz`: every profile with its grid and error."""
    arrays = {}
    for observable in experiment.observables:
        if (name := observable.name) in measured:
            mean, error = measured[name]
            grid = np.asarray(observable.grid)
            arrays |= {f"{name}_grid": grid, name: mean, f"{name}_error": error}
    return arrays


def drawn_profiles(
    hamiltonian: Any,
    observables: tuple[Any, ...],
    arrays: Mapping[str, np.ndarray],
    samples: Measurements | None,
) -> dict[str, Profile]:
    """Profiles of figures, in bins that are wide enough where there are samples."""
    length, d = hamiltonian.length_unit, getattr(hamiltonian, "d", "d")
    profiles = {}
    for observable in observables:
        name, width = observable.name, 1
        # an empty `axes` is an array without a figure
        if name not in arrays or getattr(observable, "axes", None) == ():
            continue
        mean, error = arrays[name], arrays[f"{name}_error"]
        line = hasattr(observable, "n_bins") and arrays[f"{name}_grid"].ndim == 1
        if line and samples is not None:  # a histogram
            width, mean, error = merged_profile(samples, name, (mean, error))
        profiles[name] = labeled(observable, mean, error, length, d, width)
    return profiles


def levels(
    hamiltonian: Hamiltonian, observables: dict[str, list[float | None]]
) -> list[dict[str, Any]]:
    """Energy, error and reference of every measured level; none for a ground state."""
    names = [f"level_{k}" for k in range(len(observables))]
    measured = [observables[name] for name in names if name in observables]
    known = hamiltonian.spectrum(len(measured)) if measured else ()
    found = []
    for k, (energy, error) in enumerate(measured):
        compared = comparison(float(energy or 0.0), error, known[k : k + 1])
        found.append({"energy": energy, "energy_error": error, "comparison": compared})
    return found


def after_lanczos(
    references: tuple[Reference, ...], observables: dict[str, list[float | None]]
) -> dict[str, Any] | None:
    """Energy, error and reference of a Lanczos step; None if it was not measured."""
    energy, error = observables.get("lanczos_energy", (None, None))
    if energy is None or not math.isfinite(energy):
        return None
    compared = comparison(energy, error, references)
    return {"energy": energy, "energy_error": error, "comparison": compared}


def sentence(result: dict[str, Any]) -> str:
    """One line with the energy, its error and the reference."""
    unit = result["energy_unit"]
    text = f"energy {uncertain(result['energy'], result['energy_error'])} {unit}"
    if result["energy_error"] is None:
        text += " (no error bar: too few samples)"
    compared = result["comparison"]
    if compared is None:
        return text + ", no reference known"
    names = {"exact": "exact", "estimate": "the estimate"}
    name = names.get(compared["kind"], "the upper bound")
    value = uncertain(compared["value"], compared["error"])
    if compared["difference"] == 0:
        return f"{text}, equal to {name} {value}; {compared['source']}"
    side = "above" if compared["difference"] > 0 else "below"
    text += f", {side} {name} {value} by "
    if compared["kind"] == "exact" and compared["relative"] is not None:
        text += f"{100 * abs(compared['relative']):.2g} %"
    else:
        text += f"{abs(compared['difference']):.2g} {unit}"
    if compared["sigma"] is not None:
        text += f" ({compared['sigma']:+.1f} sigma)"
    return f"{text}; {compared['source']}"


def peak_memory() -> float:
    """Peak memory of the process, or of the device where it is reported, in MB."""
    stats = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / 2**20
    try:
        import resource
    except ImportError:  # not on Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)

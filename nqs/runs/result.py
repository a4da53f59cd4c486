"""The result of a run: `result.json`, its arrays, its figures, its last sentence."""

import math
import platform
import resource
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nqs.runs.directory import all_or_none, write_json
from nqs.runs.experiment import Experiment
from nqs.runs.figures import draw_figures, labelled
from nqs.runs.progress import uncertain
from nqs.statistics.extrapolation import blocks, extrapolate
from nqs.types import Reference, sum_of_terms


def report(
    experiment: Experiment,
    measured: dict[str, Any],
    n_parameters: int,
    seconds: dict[str, float],
    mesh: jax.sharding.Mesh,
) -> dict[str, Any]:
    """Everything that `result.json` holds.

    Args:
      experiment: what was run.
      measured: from `nqs.statistics.evaluation.summary`.
      n_parameters: of the ansatz.
      seconds: spent in each phase, and compiling.
      mesh: of the devices that were used.
    """
    hamiltonian = experiment.hamiltonian
    energy, error = measured["energy"], measured["energy_error"]
    references = hamiltonian.references()
    per_particle = None if error is None else error / hamiltonian.n
    return {
        "experiment": experiment.name,
        "config": experiment.config(),
        "energy_unit": hamiltonian.energy_unit,
        "length_unit": hamiltonian.length_unit,
        "n_parameters": n_parameters,
        "energy": energy,
        "energy_error": error,
        "energy_per_particle": energy / hamiltonian.n,
        "energy_per_particle_error": per_particle,
        "energy_imaginary": measured["energy_imaginary"],
        "variance": measured["variance"],
        # in the continuum, where the energy of infinite temperature is infinite
        "v_score": hamiltonian.n * measured["variance"] / energy**2 if energy else None,
        "terms": measured["terms"],
        "observables": measured["observables"] | _v_score(hamiltonian.n, measured),
        "autocorrelation_time": measured["autocorrelation_time"],
        "r_hat": measured["r_hat"],
        "n_samples": measured["n_samples"],
        "n_effective": measured["n_effective"],
        "acceptance": measured["acceptance"],
        "iterations": experiment.iterations,
        "n_walkers": experiment.n_walkers,
        "seed": experiment.seed,
        "precision": experiment.precision,
        "device": f"{mesh.size} x {mesh.devices.flat[0].device_kind}",
        "versions": versions(),
        "compile_seconds": seconds["compile"],
        "train_seconds": seconds["burn_in"] + seconds["train"],
        "evaluate_seconds": seconds["evaluation"],
        "seconds_per_step": seconds["train"] / max(1, experiment.iterations),
        "peak_memory_mb": peak_memory(),
        "references": [vars(reference) for reference in references],
        "deviation_sigma": deviation(energy, error, references),
        "warnings": measured["warnings"],
    }


def _v_score(n: int, measured: dict[str, Any]) -> dict[str, list[float | None]]:
    """N Var / E^2 with its error, where E is not zero."""
    if measured["relative_variance"] is None:
        return {}
    mean, error = measured["relative_variance"]
    return {"v_score": [n * mean, None if error is None else n * error]}


def write_report(
    directory: Path,
    experiment: Experiment,
    result: dict[str, Any],
    measured: dict[str, Any],
    samples: dict[str, np.ndarray],
    metrics: dict[str, np.ndarray],
) -> None:
    """Write figures, `observables.npz` and `result.json`: all of them or none.

    The result gets the one entry that only the training history knows,
    "energy_extrapolated" [value, error], None where that shows no straight line.
    """
    line = extrapolate(blocks(metrics))
    result["energy_extrapolated"] = None if line is None else [line.energy, line.error]
    hamiltonian = experiment.hamiltonian
    d = getattr(hamiltonian, "d", "d")
    profiles = {}
    for observable in experiment.observables:
        if (found := measured["profiles"].get(observable.name)) is not None:
            profiles[observable.name] = labelled(
                observable, *found, length=hamiltonian.length_unit, d=d
            )
    arrays: dict[str, Any] = {}
    for name, profile in profiles.items():
        arrays |= {f"{name}_grid": profile.grid, name: profile.mean}
        arrays[f"{name}_error"] = profile.error
    terms = {k: v for k, v in samples.items() if k.startswith("term/")}
    with all_or_none(directory) as unfinished:
        np.savez(unfinished / "observables.npz", **arrays)
        draw_figures(
            unfinished / "figures",
            metrics,
            sum_of_terms(terms).real,
            result["energy_error"],
            profiles,
            hamiltonian.references(),
            hamiltonian.energy_unit,
        )
        write_json(unfinished / "result.json", result)


def deviation(
    energy: float, error: float | None, references: tuple[Reference, ...]
) -> float | None:
    """Distance from the first reference in standard errors, both errors counted."""
    if not references or error is None:
        return None
    sigma = math.hypot(error, references[0].error)
    # two numbers that agree to rounding are not many standard errors apart
    rounding = 1e-12 * max(1.0, abs(energy))
    return (energy - references[0].value) / max(sigma, rounding)


def sentence(result: dict[str, Any]) -> str:
    """The energy with its error, the reference and the deviation, for a person."""
    unit = result["energy_unit"]
    text = f"energy {uncertain(result['energy'], result['energy_error'])} {unit}"
    if result["energy_error"] is None:
        text += " (no error bar: too few samples)"
    if not result["references"]:
        return text + ", no reference known"
    first = result["references"][0]
    value = uncertain(first["value"], first["error"])
    text += f", {first['kind'].replace('_', ' ')} {value} ({first['source']})"
    if result["deviation_sigma"] is not None:
        text += f", deviation {result['deviation_sigma']:+.1f} sigma"
    return text


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    packages = ("jax", "jaxlib", "flax", "optax", "nqs")
    return {"python": platform.python_version()} | {p: version(p) for p in packages}


def peak_memory() -> float:
    """Largest memory of the process so far, or of the device if it tells, in MB."""
    stats = jax.devices()[0].memory_stats() or {}
    if "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"] / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if platform.system() == "Darwin" else 2**10)

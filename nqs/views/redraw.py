"""Figures of a run from its saved arrays, in any style, without running again."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nqs.files.config import from_json
from nqs.files.directory import RunError
from nqs.files.reading import Run
from nqs.runs.figures import Profile, draw_figures
from nqs.runs.result import drawn_profiles
from nqs.statistics.extrapolation import blocks, extrapolate
from nqs.types import sum_of_terms


def redraw(
    run: Run,
    folder: Path | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    style: str | None = None,
    result: Mapping[str, Any] | None = None,
) -> Path:
    """Draw the figures of a run again; return their folder.

    Args:
      run: from `nqs.read`.
      folder: of the files, by default `figures/` of the run.
      formats: any that matplotlib writes.
      style: name or file of a matplotlib style.
      result: instead of that of the run; without a variance, histories alone.

    Raises:
      RunError: if the run has no result.
      ValueError: for an unknown style or format.
    """
    from matplotlib import style as styles

    folder = folder or run.directory / "figures"
    folder.parent.mkdir(parents=True, exist_ok=True)
    result, columns = result or run.result, run.columns
    training = blocks(columns) if "variance" in result else None
    line, energies, profiles = extrapolate(training), np.zeros(0), {}
    with contextlib.suppress(RunError):  # samples and profiles may be missing
        if "variance" in result:
            energies = sum_of_terms(run.measurements.terms).real
    with contextlib.suppress(RunError):
        profiles = profiles_of(run)
    try:
        with styles.context(style) if style else contextlib.nullcontext():
            arguments = result, columns, energies, profiles, training, line
            draw_figures(folder, *arguments, formats=formats)
    except OSError as error:
        raise ValueError(f"style must be one of matplotlib, got {style!r}") from error
    return folder


def profiles_of(run: Run) -> dict[str, Profile]:
    """Profiles with labels; without these where a part cannot be imported."""
    arrays, samples = run.arrays, None
    with contextlib.suppress(RunError):
        samples = run.measurements
    try:
        system, functions = (
            from_json(run.config[name]) for name in ("hamiltonian", "observables")
        )
        return drawn_profiles(system, functions, arrays, samples)
    except (AttributeError, KeyError, TypeError, ValueError):
        return {
            name: Profile(arrays[f"{name}_grid"], arrays[name], arrays[f"{name}_error"])
            for name in run.profiles
            if arrays[f"{name}_grid"].ndim == arrays[name].ndim == 1
        }

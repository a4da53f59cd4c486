"""Figures of a run: energy, local energies, acceptance and profiles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nqs.statistics import uncertain
from nqs.statistics.extrapolation import Blocks, Extrapolation, blocks, extrapolate
from nqs.types import Reference

BLUE, ORANGE, GREY = "#2166ac", "#d6604d", "#666666"


class Profile(NamedTuple):
    """An average over a grid, and its labels.

    Attributes:
      grid: (k,) or (a, b, 2).
      mean: (k,), (c, k) or, on the second grid, (a, b).
      error: of the same shape, NaN where it is not known.
      axes: text along each axis of the grid.
      label: of the mean.
      curves: label of each of c rows.
    """

    grid: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    axes: tuple[str, ...] = ("r", "")
    label: str = ""
    curves: tuple[str, ...] = ()


def labeled(
    observable: Any, mean: np.ndarray, error: np.ndarray, length: str | None, d: Any
) -> Profile:
    """The measured profile of an observable with its texts, units filled in."""
    unit = f"${length}$" if length and "_" in length else length

    def filled(text: str) -> str:
        return text.format(length=unit or "length", d=d)

    axes = tuple(filled(text) for text in getattr(observable, "axes", ("r", "")))
    label = filled(getattr(observable, "label", observable.name))
    curves = getattr(observable, "curves", ())
    return Profile(np.asarray(observable.grid), mean, error, axes, label, curves)


def draw_figures(
    directory: Path,
    metrics: Mapping[str, np.ndarray],
    local_energy: np.ndarray,
    energy_error: float | None,
    profiles: Mapping[str, Profile],
    references: Sequence[Reference],
    unit: str,
) -> None:
    """Write histories, local-energy histogram and profiles as PNG files.

    Args:
      directory: where they go.
      metrics: columns of metrics.jsonl, (steps,) each.
      local_energy: real samples of the evaluation, any shape.
      energy_error: of their mean, None if it is not known.
      profiles: by name.
      references: the first is drawn into the energies.
      unit: of energy.
    """
    directory.mkdir(exist_ok=True)
    if len(metrics.get("energy", ())):
        _energy(directory / "energy.png", metrics, references, unit)
        _acceptance(directory / "acceptance.png", metrics)
    if (found := blocks(metrics)) is not None:
        evaluated = (local_energy.var(), local_energy.mean(), energy_error)
        path = directory / "energy_variance.png"
        _energy_variance(path, found, extrapolate(found), evaluated, references, unit)
    _histogram(directory / "local_energy.png", local_energy, references, unit)
    for name, profile in profiles.items():
        draw = _image if profile.grid.ndim == 3 else _curves
        draw(directory / f"{name}.png", profile)


def draw_energies(
    path: Path, label: str, x: Sequence[float], results: Sequence[Mapping[str, Any]]
) -> None:
    """The energy per particle of several runs against x, with their references.

    Args:
      path: of the PNG file, whose folder is made if need be.
      label: of x.
      x: (k,) the parameter in which the runs differ.
      results: of the runs, as in their `result.json`.
    """
    figure, axes = _axes(label, f"energy per particle ({results[0]['energy_unit']})")
    sources: dict[str, list[tuple[float, float, float]]] = {}
    for at, result in zip(x, results, strict=True):
        n = result["n"]
        for known in result["references"]:
            row = (at, known["value"] / n, known["error"] / n)
            sources.setdefault(known["source"], []).append(row)
    for i, (source, rows) in enumerate(sources.items()):
        color = (ORANGE, GREY)[i % 2]
        axes.errorbar(*zip(*rows, strict=True), fmt="_x+1"[i % 4], ms=9, color=color,
                      label=source)  # fmt: skip
    order = np.argsort(x)
    energies = np.array([result["energy_per_particle"] for result in results])
    errors = np.array(
        [result["energy_per_particle_error"] or 0.0 for result in results]
    )
    axes.errorbar(
        np.asarray(x)[order], energies[order], errors[order], fmt="o-", ms=4,
        color=BLUE, label="measured", zorder=0,
    )  # fmt: skip
    axes.legend(frameon=False, fontsize="small")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path)


def _axes(x_label: str, y_label: str, width: float = 6.4):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4.0), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _energy(path, metrics, references, unit) -> None:
    energy, step = metrics["energy"], metrics["step"]
    figure, axes = _axes("step", f"energy ({unit})")
    window = len(energy) // 50
    if window < 2:
        axes.plot(step, energy, color=BLUE, marker=".", label="one step")
    else:
        axes.plot(step, energy, color=BLUE, alpha=0.3, lw=0.8, label="one step")
        smooth = np.convolve(energy, np.ones(window) / window, "valid")
        label = f"mean of {window} steps"
        axes.plot(step[window - 1 :], smooth, color=BLUE, label=label)
    values = energy[len(energy) // 5 :]  # where the first steps are off the scale
    values = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
    low, high = values.min(), values.max()
    if references:
        value = references[0].value
        axes.axhline(value, **_line(references[0]))
        low, high = min(low, value), max(high, value)
    margin = 0.1 * (high - low) or 1e-6 * max(1.0, abs(high))
    axes.set_ylim(low - margin, high + margin)
    axes.legend(frameon=False)
    figure.savefig(path)


def _line(reference: Reference) -> dict[str, Any]:
    """How the line of a reference looks."""
    label = f"{reference.kind.replace('_', ' ')}: {reference.value:.8g}"
    return {"color": ORANGE, "ls": "--", "lw": 1, "label": label}


def _acceptance(path, metrics) -> None:
    figure, axes = _axes("step", "acceptance")
    axes.plot(metrics["step"], metrics["acceptance"], color=BLUE, lw=0.8)
    axes.set_ylim(0, 1.02)
    figure.savefig(path)


def _histogram(path, local_energy, references, unit) -> None:
    figure, axes = _axes(f"local energy ({unit})", "probability density")
    values = local_energy.ravel()
    low, high = np.quantile(values, [0.001, 0.999])
    if high - low > 1e-9 * max(1.0, abs(high)):
        axes.hist(values, bins=100, range=(low, high), density=True, color=BLUE)
    else:  # an eigenstate: one value up to rounding
        axes.hist(values - values.mean(), bins=11, color=BLUE)
        axes.set_xlabel(f"local energy - {values.mean():.12g} ({unit})")
        axes.set_ylabel("samples")
        references = ()
    if references:
        axes.axvline(references[0].value, **_line(references[0]))
        axes.legend(frameon=False)
    figure.savefig(path)


def _energy_variance(
    path,
    found: Blocks,
    line: Extrapolation | None,
    evaluated: tuple[float, float, float | None],
    references,
    unit,
) -> None:
    """The line against the evaluated energy: they are not the same thing."""
    figure, axes = _axes(f"variance ({unit}$^2$)", f"energy ({unit})")
    axes.plot(*found, ".", color=BLUE, alpha=0.5, label="training, block averages")
    variance, energy, error = evaluated
    if line is not None:
        ends = np.array([0, max(variance, found.variance.max())])
        axes.plot(ends, line.energy + line.slope * ends, color=BLUE, lw=1)
        label = f"extrapolated: {uncertain(line.energy, line.error)}"
        axes.errorbar(
            0, line.energy, line.error, fmt="s", color=BLUE, label=label, clip_on=False
        )
    axes.errorbar(
        variance,
        energy,
        error,
        fmt="o",
        color="black",
        label=f"evaluated: {uncertain(energy, error)}",
    )
    if references:
        axes.axhline(references[0].value, **_line(references[0]))
    axes.set_xlim(0, None)
    axes.ticklabel_format(axis="x", scilimits=(-2, 4))
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend(frameon=False)
    figure.savefig(path)


def _curves(path, profile: Profile) -> None:
    """Profiles on a line, each in a band of one standard error."""
    figure, axes = _axes(profile.axes[0], profile.label)
    means, errors = np.atleast_2d(profile.mean), np.atleast_2d(profile.error)
    names = profile.curves or ("",) * len(means)
    shown = [i for i in range(len(means)) if means[i].any()] or [0]
    for i in shown:
        mean, error = means[i], errors[i]
        color = (BLUE, ORANGE, GREY)[i % 3]
        few = "o" if len(profile.grid) < 30 else None  # shells rather than bins
        axes.plot(profile.grid, mean, color=color, label=names[i], marker=few, ms=4)
        axes.fill_between(
            profile.grid, mean - error, mean + error, color=color, alpha=0.3, lw=0
        )
    axes.set_ylim(0, None)
    low, high = _reach(profile.grid, np.max(np.abs(means), axis=0))
    axes.set_xlim(low if profile.grid.min() < 0 else 0, high)
    if profile.curves:
        axes.legend(frameon=False)
    figure.savefig(path)


def _image(path, profile: Profile) -> None:
    """A profile on a plane as colors."""
    figure, axes = _axes(*profile.axes[:2], width=5.2)
    x, y = profile.grid[:, 0, 0], profile.grid[0, :, 1]
    colors = axes.pcolormesh(x, y, profile.mean.T, cmap="viridis", vmin=0)
    figure.colorbar(colors, label=profile.label)
    axes.set_aspect("equal")
    axes.set_xlim(*_reach(x, profile.mean.max(axis=1)))
    axes.set_ylim(*_reach(y, profile.mean.max(axis=0)))
    if np.isfinite(profile.error).any():
        text = f"standard error at most {np.nanmax(profile.error):.1g}"
        axes.set_title(text, fontsize="small")
    figure.savefig(path)


def _reach(grid: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """The ends of the part of a grid where there is more than a thousandth to see."""
    half = (grid[1] - grid[0]) / 2 if len(grid) > 1 else 0.5
    seen = grid[mean > 1e-3 * mean.max()] if mean.max() > 0 else grid
    return seen.min() - half, seen.max() + half

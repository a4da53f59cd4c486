"""The figures of a run: what a person wants to look at first."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from nqs.types import Reference

BLUE, ORANGE, GREY = "#2166ac", "#d6604d", "#666666"


def draw_figures(
    directory: Path,
    metrics: Mapping[str, np.ndarray],
    local_energy: np.ndarray,
    profiles: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    references: Sequence[Reference],
    units: tuple[str, str | None],
) -> None:
    """Write energy, acceptance, local-energy histogram and profiles as PNG files.

    Args:
      directory: where they go.
      metrics: columns of metrics.jsonl, (steps,) each.
      local_energy: real samples of the evaluation, any shape.
      profiles: name: (grid, mean, error), (k,) each.
      references: the first is drawn into the energies.
      units: of energy and length.
    """
    directory.mkdir(exist_ok=True)
    if len(metrics.get("energy", ())):
        _energy(directory / "energy.png", metrics, references, units[0])
        _acceptance(directory / "acceptance.png", metrics)
    _histogram(directory / "local_energy.png", local_energy, references, units[0])
    for name, (grid, mean, error) in profiles.items():
        _profile(directory / f"{name}.png", name, grid, mean, error, units[1])


def _axes(x_label: str, y_label: str):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _energy(path, metrics, references, unit) -> None:
    energy, step = metrics["energy"], metrics["step"]
    figure, axes = _axes("step", f"energy ({unit})")
    window = max(1, len(energy) // 50)
    axes.plot(step, energy, color=BLUE, alpha=0.3, lw=0.8, label="one step")
    smooth = np.convolve(energy, np.ones(window) / window, "valid")
    axes.plot(step[window - 1 :], smooth, color=BLUE, label=f"mean of {window}")
    values = energy[len(energy) // 5 :]  # where the first steps are off the scale
    values = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
    low, high = values.min(), values.max()
    if references:
        value = references[0].value
        label = f"{references[0].kind}: {value:.8g}"
        axes.axhline(value, color=ORANGE, ls="--", lw=1, label=label)
        low, high = min(low, value), max(high, value)
    margin = 0.1 * (high - low) or 1e-6 * max(1.0, abs(high))
    axes.set_ylim(low - margin, high + margin)
    axes.legend(frameon=False)
    figure.savefig(path)


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
        label = f"{references[0].kind}: {references[0].value:.8g}"
        axes.axvline(references[0].value, color=ORANGE, ls="--", lw=1, label=label)
        axes.legend(frameon=False)
    figure.savefig(path)


def _profile(path, name, grid, mean, error, unit) -> None:
    figure, axes = _axes(f"r ({unit})" if unit else "r", name)
    axes.plot(grid, mean, color=BLUE)
    if np.isfinite(error).all():
        axes.fill_between(grid, mean - error, mean + error, color=BLUE, alpha=0.3)
    axes.set_ylim(0, None)
    axes.set_xlim(0, None)
    figure.savefig(path)

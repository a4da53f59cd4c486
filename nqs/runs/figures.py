"""Figures of a run: energy, local energies, acceptance and profiles."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nqs.statistics import uncertain
from nqs.statistics.extrapolation import Blocks, Extrapolation

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
      title: of the figure.
    """

    grid: np.ndarray
    mean: np.ndarray
    error: np.ndarray
    axes: tuple[str, ...] = ("r", "")
    label: str = ""
    curves: tuple[str, ...] = ()
    title: str = ""


def labeled(
    observable: Any,
    mean: np.ndarray,
    error: np.ndarray,
    length: str | None,
    d: Any,
    width: int = 1,
) -> Profile:
    """A measured profile with the texts of its observable, units filled in.

    `width` bins of the observable are one of the profile.
    """
    unit = f"${length}$" if length and "_" in length else length

    def filled(text: str) -> str:
        return text.format(length=unit or "length", d=d)

    axes = tuple(filled(text) for text in getattr(observable, "axes", ("r", "")))
    label = filled(getattr(observable, "label", observable.name))
    curves, grid = getattr(observable, "curves", ()), np.asarray(observable.grid)
    title = ""
    if width > 1:
        grid = grid.reshape(-1, width).mean(axis=1)
        title = f"{width} bins merged into one"
    return Profile(grid, mean, error, axes, label, curves, title)


def draw_figures(
    directory: Path,
    result: Mapping[str, Any],
    metrics: Mapping[str, np.ndarray],
    local_energy: np.ndarray,
    profiles: Mapping[str, Profile],
    training: Blocks | None = None,
    line: Extrapolation | None = None,
    formats: Sequence[str] = ("png", "pdf"),
) -> None:
    """Write histories, local-energy histogram and profiles.

    Args:
      directory: of the files.
      result: content of `result.json`; its first reference is drawn.
      metrics: columns of metrics.jsonl, (steps,) each.
      local_energy: real samples of the evaluation, any shape.
      profiles: by name.
      training: block averages of energy and variance.
      line: through these averages.
      formats: of the files; each figure is drawn once.
    """
    directory.mkdir(exist_ok=True)

    def files(name: str) -> list[Path]:
        return [directory / f"{name}.{suffix}" for suffix in formats]

    if len(metrics.get("energy", ())):
        _energy(files("energy"), metrics, result)
        _acceptance(files("acceptance"), metrics)
    if training is not None:
        _energy_variance(files("energy_variance"), training, line, result)
    if local_energy.size:
        _histogram(files("local_energy"), local_energy, result)
    for name, profile in profiles.items():
        draw = _image if profile.grid.ndim == 3 else _curves
        draw(files(name), profile)


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
    path.parent.mkdir(exist_ok=True)
    sources: dict[str, list[tuple[float, float, float]]] = {}
    for at, result in zip(x, results, strict=True):
        n = result["n"]
        for known in result["references"]:
            row = (at, known["value"] / n, known["error"] / n)
            sources.setdefault(known["source"], []).append(row)
    measured = sorted(
        (at, result["energy_per_particle"], result["energy_per_particle_error"] or 0.0)
        for at, result in zip(x, results, strict=True)
    )
    unit = results[0]["energy_unit"]
    with figure(path, label, f"energy per particle ({unit})") as axes:
        for i, (source, rows) in enumerate(sources.items()):
            style = {"fmt": "_x+1"[i % 4], "ms": 9, "color": (ORANGE, GREY)[i % 2]}
            axes.errorbar(*zip(*rows, strict=True), **style, label=source)
        style = {"fmt": "o-", "ms": 4, "color": BLUE, "zorder": 0}
        axes.errorbar(*zip(*measured, strict=True), **style, label="measured")
        axes.legend(frameon=False, fontsize="small")


def draw_time_steps(path: Path, result: Mapping[str, Any]) -> None:
    """The energies of a projection against the time step, with their limits."""
    path.parent.mkdir(exist_ok=True)
    unit = result["energy_unit"]
    with figure(path, f"time step (1/{unit})", f"energy ({unit})") as axes:
        for i, found in enumerate(result["populations"]):
            color, w = (BLUE, GREY, ORANGE)[i % 3], found["n_walkers"]
            rows = []
            for each in result["stages"]:
                if each["n_walkers"] == w:
                    energy, error = each["means"]["energy"]
                    rows.append((each["time_step"], energy, error or 0.0))
            if len(rows) > 1:  # one time step has no limit
                rows.append((0.0, found["energy"], found["energy_error"] or 0.0))
            x, y, errors = zip(*sorted(rows), strict=True)
            axes.errorbar(x, y, errors, fmt="o-", ms=4, c=color, label=f"{w} walkers")
        if (known := result["comparison"]) is not None:
            label = f"{known['kind'].replace('_', ' ')}: {known['value']:.8g}"
            axes.axhline(known["value"], color=ORANGE, ls="--", lw=1, label=label)
        longest = max(each["time_step"] for each in result["stages"])
        axes.set_xlim(-longest / 20, 1.05 * longest)  # from the limit on
        axes.ticklabel_format(useOffset=False)
        place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": 2}
        axes.legend(frameon=False, fontsize="small", **place)


@contextlib.contextmanager
def figure(
    paths: Path | Sequence[Path], x_label: str, y_label: str, width: float = 6.4
) -> Iterator:
    """Axes of a figure that is saved at the end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 4.0), layout="constrained", dpi=120)
    axes = figure.add_subplot()
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[["top", "right"]].set_visible(False)
    yield axes
    for path in [paths] if isinstance(paths, Path) else paths:
        figure.savefig(path)
        figure.set_layout_engine("none")  # the layout of the first file holds for all


def _draw_reference(draw: Callable, result: Mapping[str, Any]) -> float | None:
    """Draw the first reference with `axhline` or `axvline`, and return its value."""
    if not result["references"]:
        return None
    kind, value = (result["references"][0][name] for name in ("kind", "value"))
    label = f"{kind.replace('_', ' ')}: {value:.8g}"
    draw(value, color=ORANGE, ls="--", lw=1, label=label)
    return value


def _energy(paths, metrics, result) -> None:
    energy, step = metrics["energy"], metrics["step"]
    window = len(energy) // 50
    shown = energy[len(energy) // 5 :]  # the first steps are off the scale
    shown = shown[np.isfinite(shown)]
    with figure(paths, "step", f"energy ({result['energy_unit']})") as axes:
        if window < 2:
            axes.plot(step, energy, color=BLUE, marker=".", label="one step")
        else:
            axes.plot(step, energy, color=BLUE, alpha=0.3, lw=0.8, label="one step")
            smooth = np.convolve(energy, np.ones(window) / window, "valid")
            label = f"mean of {window} steps"
            axes.plot(step[window - 1 :], smooth, color=BLUE, label=label)
        value = _draw_reference(axes.axhline, result)
        shown = np.append(shown, [] if value is None else value)
        low, high = (shown.min(), shown.max()) if len(shown) else (0.0, 0.0)
        margin = 0.1 * (high - low) or 1e-6 * max(1.0, abs(high))
        axes.set_ylim(low - margin, high + margin)
        axes.legend(frameon=False)


def _acceptance(paths, metrics) -> None:
    with figure(paths, "step", "acceptance") as axes:
        axes.plot(metrics["step"], metrics["acceptance"], color=BLUE, lw=0.8)
        axes.set_ylim(0, 1.02)


def _histogram(paths, local_energy, result) -> None:
    values, unit = local_energy.ravel(), result["energy_unit"]
    low, high = np.quantile(values, [0.001, 0.999])
    with figure(paths, f"local energy ({unit})", "probability density") as axes:
        if high - low > 1e-9 * max(1.0, abs(high)):
            # 2 n^(1/3) bins resolve a smooth density of n samples above their noise
            n_bins = int(np.clip(2 * np.cbrt(values.size), 10, 100))
            axes.hist(values, n_bins, range=(low, high), density=True, color=BLUE)
            if _draw_reference(axes.axvline, result) is not None:
                axes.legend(frameon=False)
        else:  # an eigenstate: one value up to rounding
            axes.hist(values - values.mean(), bins=11, color=BLUE)
            axes.set_xlabel(f"local energy - {values.mean():.12g} ({unit})")
            axes.set_ylabel("samples")


def _energy_variance(
    paths, training: Blocks, line: Extrapolation | None, result: Mapping[str, Any]
) -> None:
    """The extrapolated energy beside the evaluated one, which is another quantity."""
    variance, energy, error, unit = (
        result[name] for name in ("variance", "energy", "energy_error", "energy_unit")
    )
    with figure(paths, f"variance ({unit}$^2$)", f"energy ({unit})") as axes:
        label = "training, block averages"
        axes.plot(*training, ".", color=BLUE, alpha=0.5, label=label)
        if line is not None:
            ends = np.array([0, max(variance, training.variance.max())])
            axes.plot(ends, line.energy + line.slope * ends, color=BLUE, lw=1)
            label = f"extrapolated: {uncertain(line.energy, line.error)}"
            style = {"fmt": "s", "color": BLUE, "clip_on": False}
            axes.errorbar(0, line.energy, line.error, **style, label=label)
        label = f"evaluated: {uncertain(energy, error)}"
        axes.errorbar(variance, energy, error, fmt="o", color="black", label=label)
        _draw_reference(axes.axhline, result)
        axes.set_xlim(0, None)
        axes.ticklabel_format(axis="x", scilimits=(-2, 4))
        axes.ticklabel_format(axis="y", useOffset=False)
        axes.legend(frameon=False)


def _curves(paths, profile: Profile) -> None:
    """Profiles on a line, each in a band of one standard error."""
    grid = profile.grid
    means, errors = np.atleast_2d(profile.mean), np.atleast_2d(profile.error)
    names = profile.curves or ("",) * len(means)
    marker = "o" if len(grid) < 30 else None  # shells, or few bins
    with figure(paths, profile.axes[0], profile.label) as axes:
        for i in [i for i in range(len(means)) if means[i].any()] or [0]:
            mean, error, color = means[i], errors[i], (BLUE, ORANGE, GREY)[i % 3]
            axes.plot(grid, mean, color=color, label=names[i], marker=marker, ms=4)
            band = {"color": color, "alpha": 0.3, "lw": 0}
            axes.fill_between(grid, mean - error, mean + error, **band)
        unknown = "" if np.isfinite(errors).any() else "no error bars"
        title = ", ".join(text for text in (profile.title, unknown) if text)
        axes.set_title(title, fontsize="small")
        axes.set_ylim(0, None)
        low, high = _reach(grid, np.max(np.abs(means), axis=0))
        axes.set_xlim(low if grid.min() < 0 else 0, high)
        if profile.curves:
            axes.legend(frameon=False)


def _image(paths, profile: Profile) -> None:
    """A profile on a plane as colors."""
    x, y = profile.grid[:, 0, 0], profile.grid[0, :, 1]
    with figure(paths, *profile.axes[:2], width=5.2) as axes:
        colors = axes.pcolormesh(
            x, y, profile.mean.T, cmap="viridis", vmin=0, rasterized=True
        )
        axes.figure.colorbar(colors, label=profile.label)
        axes.set_aspect("equal")
        axes.set_xlim(*_reach(x, profile.mean.max(axis=1)))
        axes.set_ylim(*_reach(y, profile.mean.max(axis=0)))
        if np.isfinite(profile.error).any():
            text = f"standard error at most {np.nanmax(profile.error):.1g}"
            axes.set_title(text, fontsize="small")


def _reach(grid: np.ndarray, mean: np.ndarray) -> tuple[float, float]:
    """The ends of the part of a grid where the mean exceeds 1/1000 of its maximum."""
    half = (grid[1] - grid[0]) / 2 if len(grid) > 1 else 0.5
    seen = grid[mean > 1e-3 * mean.max()] if mean.max() > 0 else grid
    return seen.min() - half, seen.max() + half

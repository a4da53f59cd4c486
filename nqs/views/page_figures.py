"""Figures of the report of a run, as files and with their descriptions."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nqs.files.config import from_json
from nqs.files.directory import RunError
from nqs.files.reading import Run
from nqs.runs.figures import BLUE, GREY, ORANGE
from nqs.runs.figures import figure as sheet
from nqs.statistics import uncertain
from nqs.views.redraw import redraw
from nqs.views.wave import Picture, pictures

ORDER = ("energy", "energy_variance", "local_energy")
TITLES = {
    "energy": "Energy during training",
    "energy_variance": "Energy against variance",
    "local_energy": "Local energies of the evaluation",
    "acceptance": "Acceptance during training",
}


class Shown(NamedTuple):
    """A figure in files, or the reason why there is none."""

    title: str
    files: tuple[Path, ...] = ()  # the same figure in several formats
    text: str = ""  # for readers who do not see it
    slide: bool = False  # one of several positions on a slider


def figures_of(run: Run, folder: Path) -> list[Shown]:
    """Histories, local energies and profiles, drawn as SVG and PNG."""
    redraw(run, folder, ("svg", "png"), result=result_so_far(run))
    names = [path.stem for path in sorted(folder.glob("*.svg"))]
    first = [name for name in ORDER if name in names]
    last = [name for name in ("acceptance",) if name in names]
    middle = [name for name in names if name not in (*first, *last)]
    return [
        Shown(_title(name), _both(folder / name), _described(name, run))
        for name in [*first, *middle, *last]
    ]


def result_so_far(run: Run) -> dict[str, Any]:
    """The result, or the units and references of a run without one."""
    with contextlib.suppress(RunError):
        return run.result
    try:
        system = from_json(run.config["hamiltonian"])
        known = [vars(reference) for reference in system.references()]
        return {"energy_unit": system.energy_unit, "n": system.n, "references": known}
    except Exception:  # whatever a part of a script or another version raises
        return {"energy_unit": "", "n": 1, "references": []}


def wave_figures(run: Run, folder: Path) -> Iterator[Shown]:
    """Cuts of psi and conditional densities, or the reason why there are none."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for i, picture in enumerate(pictures(run)):
            files = _both(folder / f"wave_{i}")
            draw_picture(files, picture)
            held = picture.title.startswith("The others when")
            yield Shown(picture.title, files, _picture_text(picture), slide=held)
    except Exception as error:  # whatever a part of a script raises
        reason = str(error) or type(error).__name__
        yield Shown("No picture of psi", (), reason.splitlines()[0])


def draw_picture(paths: Sequence[Path], picture: Picture) -> None:
    """Draw curves on a line or colors on a plane."""
    x, y, values = picture.x, picture.y, picture.values
    marks = picture.marks
    if values is None:
        with sheet(paths, picture.axes[0], picture.axes[1]) as axes:
            for i, row in enumerate(y):
                color = (BLUE, ORANGE, GREY)[i % 3]
                axes.plot(x, row, color=color, label=picture.curves[i])
            axes.axhline(0, color=GREY, lw=0.5)
            for mark in () if marks is None else marks:
                axes.axvline(mark, color=ORANGE, ls=":", lw=1)
            if len(y) > 1:
                axes.legend(frameon=False)
        return
    with sheet(paths, picture.axes[0], picture.axes[1], width=5.2) as axes:
        size = np.abs(values).max() or 1.0
        signed = values.min() < 0
        style = {"cmap": "RdBu_r" if signed else "viridis", "vmax": size}
        style |= {"vmin": -size if signed else 0, "rasterized": True}
        colors = axes.pcolormesh(x, y, values.T, **style)
        axes.figure.colorbar(colors)
        axes.set_aspect("equal")
        if marks is not None:
            color = "black" if signed else "white"
            axes.plot(*marks.T, "o", ms=5, mfc="none", color=color)


def summary_rows(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The main numbers of a result as texts; older versions lack some fields."""
    unit, n = result["energy_unit"], result.get("n", "the particles")
    rows = [("energy", f"{uncertain(result['energy'], result['energy_error'])} {unit}")]
    each = result["energy_per_particle"], result["energy_per_particle_error"]
    rows.append((f"energy of each of {n}", f"{uncertain(*each)} {unit}"))
    if (known := result.get("comparison")) is not None:
        value = uncertain(known["value"], known["error"])
        kind = known["kind"].replace("_", " ")
        rows.append((f"reference, {kind}", f"{value} {unit}; {known['source']}"))
        sigma = known["sigma"]
        apart = "" if sigma is None else f" ({sigma:+.1f} standard errors)"
        rows.append(("distance from it", f"{known['difference']:.3g} {unit}{apart}"))
    rows.append(("variance", f"{result['variance']:.4g} {unit}²"))
    if (found := result.get("energy_extrapolated")) is not None:
        rows.append(("energy at zero variance", f"{uncertain(*found)} {unit}"))
    rows.append(("acceptance", f"{result['acceptance']:.3f}"))
    for name in ("v_score", "autocorrelation_time", "r_hat", "n_effective"):
        if result.get(name) is not None:
            rows.append((name.replace("_", " "), f"{result[name]:.4g}"))
    seconds = sum(
        result[f"{part}_seconds"] for part in ("compile", "train", "evaluate")
    )
    return [*rows, ("time", f"{seconds:.0f} s on {result['device']}")]


def _both(path: Path) -> tuple[Path, ...]:
    return path.with_suffix(".svg"), path.with_suffix(".png")


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " ").capitalize())


def _described(name: str, run: Run) -> str:
    """The content of a figure in words."""
    result, energy = result_so_far(run), run.columns.get("energy", np.zeros(0))
    unit = result["energy_unit"]
    if name == "energy" and len(energy):
        return (
            f"From {energy[0]:.6g} to {energy[-1]:.6g} {unit} in {len(energy)} steps."
        )
    if name == "local_energy":
        spread = result["variance"] ** 0.5
        return f"Mean {result['energy']:.6g}, standard deviation {spread:.3g} {unit}."
    with contextlib.suppress(KeyError, RunError, ValueError):
        mean, grid = run.arrays[name], run.arrays[f"{name}_grid"]
        if mean.ndim == grid.ndim == 1:
            top = grid[int(np.argmax(mean))]
            return f"Largest value {mean.max():.3g}, at {top:.3g}."
    return ""


def _picture_text(picture: Picture) -> str:
    values = picture.y if picture.values is None else picture.values
    return f"Values from {values.min():.3g} to {values.max():.3g}."

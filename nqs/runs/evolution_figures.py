"""Figures of an evolution: averages against time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nqs.runs.figures import BLUE
from nqs.runs.figures import _figure as figure


def draw_evolution(
    folder: Path,
    arrays: Mapping[str, np.ndarray],
    grids: Mapping[str, np.ndarray],
    unit: str,
) -> None:
    """Write a PNG file for every average against time.

    Args:
      folder: of the files.
      arrays: "time" (t,), and mean and error (t, 2, ...) of everything else.
      grids: NAME_grid (k,) of profiles; those on other grids have no figure.
      unit: of the energy.
    """
    folder.mkdir(exist_ok=True)
    time, label = arrays["time"], f"time (1/{unit})"
    for name, values in arrays.items():
        grid = grids.get(f"{name}_grid")
        if name == "time":
            continue
        if values.ndim == 2:
            with figure(folder / f"{name}.png", label, name) as axes:
                mean, error = values.T
                axes.plot(time, mean, color=BLUE, marker="." if len(time) < 50 else "")
                band = {"color": BLUE, "alpha": 0.3, "lw": 0}
                axes.fill_between(time, mean - error, mean + error, **band)
                axes.ticklabel_format(axis="y", useOffset=False)
        elif grid is not None and values.shape[2:] == grid.shape:
            with figure(folder / f"{name}.png", label, name, width=5.2) as axes:
                colors = axes.pcolormesh(time, grid, values[:, 0].T, vmin=0)
                axes.figure.colorbar(colors)

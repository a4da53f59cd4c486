"""Figures of an evolution: averages against time."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from nqs.runs.figures import BLUE, Profile, figure


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

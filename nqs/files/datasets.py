"""Results as data sets of xarray and ArviZ, packages of the extra `analysis`."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def optional(package: str, extra: str = "analysis") -> Any:
    """A package of an extra.

    Raises:
      ImportError: if it is not installed, with the name of the extra.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ImportError(
            f"{package} must be installed for this: pip install 'nqs[{extra}]'"
        ) from error


def dataset(
    profiles: Sequence[str],
    arrays: Mapping[str, np.ndarray],
    scalars: Mapping[str, Sequence[float | None]],
) -> Any:
    """Profiles, scalars and their errors as an xarray Dataset."""
    found = optional("xarray").Dataset()
    for name in profiles:
        found = found.assign(_variables(name, arrays))
    for name, (mean, error) in scalars.items():
        missing = np.nan if error is None else error
        found = found.assign({name: mean, f"{name}_error": missing})
    return found


def inference_data(samples: Mapping[str, np.ndarray]) -> Any:
    """Real parts of samples (chains, steps) as a posterior for ArviZ."""
    real = {name: np.real(values) for name, values in samples.items()}
    return optional("arviz_base").from_dict({"posterior": real})


def _variables(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Mean and error of one profile as xarray variables, with its grid."""
    xarray = optional("xarray")
    grid, mean, error = (arrays[name + end] for end in ("_grid", "", "_error"))
    axes = [f"{name}_{axis}" for axis in ("xyz" if grid.ndim > 1 else ("grid",))]
    axes = axes[: grid.ndim - 1 or 1]
    rows = [f"{name}_curve{i}" for i in range(mean.ndim - len(axes))]
    points = [grid]
    if grid.ndim > 1:  # of a rectangular grid, points along each axis
        lines = np.moveaxis(grid, -1, 0)
        points = [np.moveaxis(line, i, 0)[:, 0] for i, line in enumerate(lines)]
    coordinates = dict(zip(axes, points, strict=True))
    return {
        key: xarray.DataArray(values, coordinates, dims=[*rows, *axes])
        for key, values in ((name, mean), (f"{name}_error", error))
    }

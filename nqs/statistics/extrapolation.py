"""Energy at zero variance, extrapolated from the training history.

The variance of H vanishes in an eigenstate. Near the ground state, energy and variance
are both quadratic in the admixture of other states, and so on a straight line:

    E = E_0 + slope Var,    1 / slope an excitation energy.

The result is no upper bound, and depends on how straight the line is: it is reported
beside the evaluated energy, never in its place.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

BLOCKS = 64  # in all of the training
FEWEST = 12  # for a line through them
SKIPPED = 0.1  # of the training, while walkers still follow the parameters
REACH = 10.0  # times the final variance: beyond, the line need not be straight
NOISE = 0.05  # of the spread of the variances: the slope is too flat by this part
EQUAL = 1e-9  # relative differences that are rounding
SIGNIFICANT = 3.0  # standard errors of the slope


class Blocks(NamedTuple):
    """Averages of consecutive training steps."""

    variance: np.ndarray  # (b,) of the local energy, unit squared
    energy: np.ndarray  # (b,)


class Extrapolation(NamedTuple):
    """The straight line energy + slope * variance."""

    energy: float  # at zero variance
    error: float  # standard error of this energy
    slope: float  # in the inverse of the energy unit


def blocks(metrics: Mapping[str, np.ndarray]) -> Blocks | None:
    """Block averages of the later part of a training history.

    There are about 64 blocks. The first tenth is left out, and so are blocks whose
    variance is above 10 times its median over the last quarter: too early in the
    training, or with an outlier. None if fewer than 12 blocks are left.

    Args:
      metrics: energy and variance of each step, (steps,) each.
    """
    if not {"energy", "variance"} <= set(metrics):
        return None
    history = np.stack([metrics["variance"], metrics["energy"]])
    history = history[:, np.isfinite(history).all(axis=0)]
    length = max(1, history.shape[1] // BLOCKS)
    n_blocks = history.shape[1] // length
    if n_blocks < FEWEST:
        return None
    last = history[:, history.shape[1] - n_blocks * length :]  # whole blocks to the end
    averages = last.reshape(2, n_blocks, length).mean(axis=-1)
    final = np.median(averages[0, -(n_blocks // 4) :])
    later = averages[:, int(np.ceil(SKIPPED * n_blocks)) :]
    later = later[:, later[0] <= REACH * final]
    return Blocks(*later) if later.shape[1] >= FEWEST else None


def extrapolate(found: Blocks | None) -> Extrapolation | None:
    """Weighted straight line through the blocks, extrapolated to zero variance.

    The error of a mean energy is proportional to the root of its variance, which gives
    the weights. The scatter about the line gives the factor. If the residuals of
    successive blocks have a correlation r > 0, its square grows by (1 + r) / (1 - r).

    Returns:
      None without a significant line: the variances scatter from block to block by
      more than 5 % of their spread, the variances are equal to rounding, or the slope
      is not 3 standard errors above zero.
    """
    if found is None:
        return None
    variance, energy = found
    noise = np.mean(np.diff(variance) ** 2) / 2
    if not (variance > 0).all() or noise > NOISE * np.var(variance):
        return None
    if np.ptp(variance) < EQUAL * variance.max():  # of walkers that stand still
        return None
    # relative to the mean variance and mean energy, against rounding
    scale, origin = variance.mean(), energy.mean()
    weight = 1 / np.sqrt(variance / scale)
    design = weight[:, None] * np.stack([np.ones_like(variance), variance / scale], 1)
    target = weight * (energy - origin)
    (intercept, slope), *_ = np.linalg.lstsq(design, target)
    residuals = target - design @ [intercept, slope]
    covariance = _squared_error(residuals) * np.linalg.inv(design.T @ design)
    error, slope_error = np.sqrt(np.diag(covariance))
    if slope <= SIGNIFICANT * slope_error:
        return None
    return Extrapolation(float(origin + intercept), float(error), slope / scale)


def _squared_error(residuals: np.ndarray) -> float:
    square = np.sum(residuals**2)
    successive = np.sum(residuals[1:] * residuals[:-1]) / square if square else 0.0
    r = np.clip(successive, 0, 0.9)
    return square / (len(residuals) - 2) * (1 + r) / (1 - r)

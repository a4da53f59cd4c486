"""The energy at zero variance, from how both fell during training.

The variance of H vanishes in an eigenstate. Near the ground state, energy and variance
are both quadratic in what is left of other states, and so on a straight line:

    E = E_0 + slope Var,    1 / slope an excitation energy.

What it gives is no upper bound, and it is no better than its straight line: it is
reported beside the evaluated energy, never in its place.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

BLOCKS = 64  # in all of the training
FEWEST = 12  # for a line through them
SKIPPED = 0.1  # of the training, while walkers still follow the parameters
REACH = 10.0  # times the final variance: beyond, the line need not be straight
NOISE = 0.05  # of the spread of the variances: the slope is too flat by as much
SIGNIFICANT = 3.0  # standard errors of the slope


class Blocks(NamedTuple):
    """Averages of consecutive training steps.

    Attributes:
      variance: (b,) of the local energy, unit squared.
      energy: (b,).
    """

    variance: np.ndarray
    energy: np.ndarray


class Extrapolation(NamedTuple):
    """The straight line energy + slope * variance.

    Attributes:
      energy: at zero variance.
      error: standard error of it.
      slope: in the inverse of the energy unit.
    """

    energy: float
    error: float
    slope: float


def blocks(metrics: Mapping[str, np.ndarray]) -> Blocks | None:
    """The later part of a training history that a line may describe.

    About 64 averages of consecutive steps, without the first tenth of them, and without
    those whose variance is above 10 times its median over the last quarter: too early
    in the training, or a step with an outlier. None if fewer than 12 are left.

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
    """The weighted straight line through the blocks, and where it meets zero variance.

    A mean energy has an error proportional to the root of its variance, by which the
    blocks are weighted. How large it is, the scatter about the line tells; where the
    residuals of successive blocks have a correlation r > 0, times (1 + r) / (1 - r).

    Returns:
      None where there is no line to see: the variances scatter from block to block by
      more than 5 % of their spread, or the slope is not 3 standard errors above zero.
    """
    if found is None:
        return None
    variance, energy = found
    spread, noise = np.var(variance), np.mean(np.diff(variance) ** 2) / 2
    if not (variance > 0).all() or noise > NOISE * spread:
        return None
    # in units of the mean variance and about the mean energy, for the sake of rounding
    scale, origin = variance.mean(), energy.mean()
    weight = 1 / np.sqrt(variance / scale)
    design = weight[:, None] * np.stack([np.ones_like(variance), variance / scale], 1)
    target = weight * (energy - origin)
    (intercept, slope), *_ = np.linalg.lstsq(design, target)
    residuals = target - design @ [intercept, slope]
    square = np.sum(residuals**2)
    successive = np.sum(residuals[1:] * residuals[:-1]) / square if square else 0.0
    r = np.clip(successive, 0, 0.9)
    squared_error = square / (len(variance) - 2) * (1 + r) / (1 - r)
    covariance = squared_error * np.linalg.inv(design.T @ design)
    if slope <= SIGNIFICANT * np.sqrt(covariance[1, 1]):
        return None
    return Extrapolation(
        float(origin + intercept), float(np.sqrt(covariance[0, 0])), slope / scale
    )

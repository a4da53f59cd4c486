"""Mean and standard error of correlated Markov chains.

The mean of n = chains * steps samples has the error of n / tau independent ones, where
tau is the autocorrelation time. It is the larger one of two estimates:

- windowed: the autocorrelations summed over a short window. Precise, but insensitive
  to slow modes of small amplitude and to chains that disagree a little.
- blocked: the spread of the means of a few long blocks, which are whole chains where
  there are enough of them. Noisy, but sensitive to everything shorter than a block.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import ArrayLike

# With fewer effective samples the relative error of the error bar exceeds one fifth: it
# is half of sqrt(20 / n_effective), see `_windowed_time`.
ENOUGH = 100

# Width of the window over tau, as in emcee. It cuts off exp(-10) of an exponential.
# Half of it, also common, loses 5 % of the error if half the variance is slow.
WINDOW = 5

# The error from b blocks scatters by 1 / sqrt(2 (b - 1)), 21 % for 12: the larger of it
# and a precise one is 0.4 * 21 % = 8 % too large on average. More blocks are shorter.
BLOCKS = 12

# A local energy sums some tens of rounded terms: a standard deviation below this many
# units in the last place is rounding.
ROUNDING = 64


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Mean of correlated samples, and its precision.

    Attributes:
      mean: of all samples.
      variance: of all samples about their mean, as `numpy.var`.
      n_samples: chains times steps.
      n_effective: number of independent samples that give the same error; above
        `n_samples` if successive ones are anticorrelated.
      r_hat: split R-hat, 1 if the chains agree; nan below 4 steps a chain.
    """

    mean: float
    variance: float
    n_samples: int
    n_effective: float
    r_hat: float

    @property
    def error(self) -> float:
        """Standard error of the mean, sqrt(variance / n_effective)."""
        return math.sqrt(self.variance / self.n_effective)

    @property
    def autocorrelation_time(self) -> float:
        """Steps per effective sample, n_samples / n_effective."""
        return self.n_samples / self.n_effective


class TooFewSamples(ValueError):
    """The series is too short for an error bar; `.estimate` is its result."""

    def __init__(self, message: str, estimate: Estimate):
        super().__init__(message)
        self.estimate = estimate


def estimate(samples: ArrayLike) -> Estimate:
    """Mean, standard error, autocorrelation time and R-hat of correlated samples.

    Samples equal up to rounding (an exact eigenstate) count as independent.

    Args:
      samples: (chains, steps) real; (steps,) is one chain.

    Raises:
      TooFewSamples: if `n_effective` < 100; carries the estimate.
      ValueError: if samples are complex, not finite, absent or of another shape.
    """
    samples = _chains(samples)
    values = samples.astype(float)  # long sums, whatever the precision of the run
    mean, variance, n = values.mean(), values.var(), values.size
    if np.sqrt(variance) <= ROUNDING * np.finfo(samples.dtype).eps * abs(values).max():
        tau, r_hat = 1.0, 1.0
    else:
        deviations = values - mean
        # the mean of n evenly spread points has the error of n^2 independent ones
        tau = max(_windowed_time(deviations), _blocked_time(deviations), 1 / n)
        r_hat = split_r_hat(deviations)
    found = Estimate(float(mean), float(variance), n, float(n / tau), r_hat)
    if found.n_effective < ENOUGH:
        raise TooFewSamples(_shortfall(found, *values.shape), found)
    return found


def uncertain(value: float, error: float | None) -> str:
    """A value with its error in the last digits: 3.00012(34).

    An error of None, zero or not finite is not shown.
    """
    if error is None or not math.isfinite(error) or not math.isfinite(value):
        return f"{value:.8g}"
    if error < 1e-12 * max(1.0, abs(value)):  # rounding, not statistics
        return f"{value:.12g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    if digits and round(error * 10**digits) == 100:  # 0.0996 is 0.10
        digits -= 1
    return f"{value:.{digits}f}({round(error * 10**digits)})"


def _chains(samples: ArrayLike) -> np.ndarray:
    samples = np.asarray(samples)
    if samples.ndim not in (1, 2) or samples.size == 0 or np.iscomplexobj(samples):
        raise ValueError(
            "samples must be real of shape (chains, steps) or (steps,), not empty, got "
            f"{samples.dtype} of shape {samples.shape}"
        )
    if not np.issubdtype(samples.dtype, np.floating):
        samples = samples.astype(float)
    if bad := np.count_nonzero(~np.isfinite(samples)):
        raise ValueError(
            f"samples must be finite, got {bad} of {samples.size} that are not"
        )
    return np.atleast_2d(samples)


def _windowed_time(deviations: np.ndarray) -> float:
    """Autocorrelation time by Sokal's automatic window, pooled over chains of t steps.

    With g(k) the autocovariance about the mean of all chains, tau(w) is

        [sum_{|k|<=w} (1 - |k|/t) g(k)] / [g(0) (1 - sum_{|k|<=w} (1 - |k|/t) / n)]

    at the first w >= 5 max(tau(w), 1); the 1 lets anticorrelations alternate. The
    denominator undoes that every g(k) is too small by the variance of the mean. At
    w = t - 1 this is the spread of the chain means, on which chains too short for a
    window fall back; a single one stops where the denominator gets small. The
    relative standard deviation is sqrt(4 w / n) = sqrt(20 / n_effective).

    References: A. D. Sokal, Monte Carlo Methods in Statistical Mechanics (1989),
    section 3; U. Wolff, Comput. Phys. Commun. 156, 143 (2004), also on the bias.
    """
    steps, n = deviations.shape[1], deviations.size
    padded = 1 << (2 * steps - 1).bit_length()  # keeps the ends from wrapping around
    spectrum = np.square(np.abs(np.fft.rfft(deviations, padded))).sum(axis=0)
    weighted = np.fft.irfft(spectrum, padded)[:steps] / n  # (1 - k/t) g(k)
    lags = np.arange(steps)
    both_signs = np.where(lags > 0, 2, 1)
    correction = 1 - np.cumsum(both_signs * (1 - lags / steps)) / n
    tau = np.cumsum(both_signs * weighted) / weighted[0]
    usable = correction > 0.4  # two chains end at 1/2, up to rounding
    tau = tau[usable] / correction[usable]
    wide_enough = lags[usable] >= WINDOW * np.maximum(tau, 1)
    return tau[np.argmax(wide_enough)] if wide_enough.any() else tau[-1]


def _blocked_time(deviations: np.ndarray) -> float:
    """Autocorrelation time from the means of at least 12 blocks of equal length.

    length * Var(block means) / Var(samples): the last level of the hierarchy of
    H. Flyvbjerg and H. G. Petersen, J. Chem. Phys. 91, 461 (1989), that has enough
    blocks. Chains are cut only if fewer than 12; else it is the between-chain variance.
    """
    chains, steps = deviations.shape
    blocks = min(math.ceil(BLOCKS / chains), steps)  # in a chain
    length = steps // blocks
    cut = deviations[:, : blocks * length].reshape(chains * blocks, length)
    return length * cut.mean(axis=1).var(ddof=1) / np.mean(deviations**2)


def split_r_hat(samples: np.ndarray) -> float:
    """Split R-hat, the width of all chains together over that of each.

    R^2 = (h - 1) / h + Var(means) / mean(variances) of half-chains of h steps, halved
    to detect a drift. A. Gelman et al., Bayesian Data Analysis (2013), section 11.4.
    """
    half = samples.shape[1] // 2
    if half < 2:
        return math.nan  # one step has no variance
    halves = np.concatenate([samples[:, :half], samples[:, -half:]])
    within = halves.var(axis=1, ddof=1).mean()
    if within == 0:
        return math.inf  # chains that stand still at different places
    return math.sqrt((half - 1) / half + halves.mean(axis=1).var(ddof=1) / within)


def _shortfall(found: Estimate, chains: int, steps: int) -> str:
    missing = (ENOUGH - found.n_effective) * found.autocorrelation_time / chains
    more = math.ceil(missing)
    return (
        f"effective samples must be at least {ENOUGH}, got "
        f"{math.floor(found.n_effective)} from {chains} x {steps} steps "
        f"(autocorrelation time {found.autocorrelation_time:.3g}): add about "
        f"{more} step{'s' * (more != 1)} to each chain"
    )

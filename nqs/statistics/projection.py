"""Energies of a projection: population bias, and the limit of small time steps."""

from collections.abc import Sequence

import numpy as np

from nqs.statistics.summary import Diagnostics, MeanError, linearized

# Autocorrelation times of the energy for which the growth of the weights counts.
REMEMBERED = 5


def corrected_energy(
    energy: np.ndarray,
    growth: np.ndarray,
    time: float,
    autocorrelation_time: float,
    diagnostics: Diagnostics,
) -> MeanError:
    """Mean and error of the energy without the bias of a fixed population.

    A generation counts by the product of the last growths of all weights, which a fixed
    population divides out. S. Sorella and L. Buonaura, Phys. Rev. B 57, 11446 (1998).

    Args:
      energy: (steps,) mixed estimates.
      growth: (steps,) energies at which the weights would not grow.
      time: imaginary time between two of them.
      autocorrelation_time: of the energy, in steps.
      diagnostics: receives a warning if there is no error.
    """
    memory = max(1, round(REMEMBERED * min(autocorrelation_time, len(energy) / 50)))
    sums = np.cumsum(np.concatenate([[0.0], growth - np.mean(growth)]))
    past = sums[1:] - sums[np.maximum(0, np.arange(1, len(sums)) - memory)]
    weights = np.exp(-time * past)
    samples = [weights * energy, weights]
    series = linearized(lambda above, below: above / below, samples)
    return diagnostics.mean("energy_corrected", series)


def at_zero(
    time_steps: Sequence[float],
    found: Sequence[Sequence[float | None]],
    degree: int = 1,
) -> MeanError:
    """Value and error at zero of a polynomial through means at several time steps.

    Args:
      time_steps: (k,) different ones.
      found: mean and error at each; without errors all count the same.
      degree: of the polynomial, at most k - 1.
    """
    means = np.array([mean for mean, _ in found], float)
    known = all(error is not None for _, error in found)
    errors = np.array([error if known else 1.0 for _, error in found], float)
    errors = np.maximum(errors, 1e-14 * np.maximum(1, abs(means)))  # rounding
    powers = np.vander(time_steps, min(degree, len(means) - 1) + 1, increasing=True)
    design = powers / errors[:, None]
    inverse = np.linalg.pinv(design, rcond=1e-14)
    value = inverse[0] @ (means / errors)
    return [float(value), float(np.linalg.norm(inverse[0])) if known else None]


def extrapolated(
    mixed: Sequence[float | None], variational: Sequence[float | None]
) -> MeanError:
    """2 mixed - variational, whose error in psi is of second order, and its error.

    M. H. Kalos et al., Phys. Rev. A 9, 2178 (1974).
    """
    error = None
    if mixed[1] is not None and variational[1] is not None:
        error = float(np.hypot(2 * mixed[1], variational[1]))
    assert mixed[0] is not None and variational[0] is not None
    return [2 * mixed[0] - variational[0], error]

"""Means and error bars of everything that was measured, with diagnostics."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nqs.statistics.estimates import ROUNDING, Estimate, TooFewSamples, estimate
from nqs.statistics.measurements import Measurements
from nqs.types import DerivedObservable, sum_of_terms

# Fewer samples than this part of all, if they carry half of the variance, are too few.
# Nodes of psi make tails E^-4 of the density of local energies, which give about 0.03.
FEW = 1e-3

# Largest R-hat of chains that agree (A. Gelman et al., Bayesian Data Analysis).
AGREEING = 1.1

# Bins of a figure are merged until their relative error is below the first number, or
# until only the second number of them is left.
PRECISE = 0.1
FEWEST_BINS = 10
FILLED = 1e-3  # of the largest value: less is an empty bin

OF_THE_ENERGY = ("autocorrelation_time", "r_hat", "n_samples", "n_effective")

MeanError = list[float | None]
Derived = Callable[[dict[str, Any]], Mapping[str, Any]]
Series = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclasses.dataclass
class Diagnostics:
    """Diagnostics of the measured data.

    Attributes:
      frozen: no move was accepted, so that no error can be estimated.
      warnings: sentences for the result.
    """

    frozen: bool
    warnings: list[str] = dataclasses.field(default_factory=list)

    def estimate(self, name: str, samples: Any) -> tuple[Estimate, float | None]:
        """Estimate and standard error of real samples (chains, steps).

        The error is None where it cannot be trusted, and a warning gives the reason.
        """
        if broken := np.count_nonzero(~np.isfinite(samples)):
            self.warnings.append(
                f"{broken} of {samples.size} samples of {name} are not finite"
            )
            return Estimate(np.nan, np.nan, samples.size, np.nan, np.nan), None
        if self.frozen:
            mean, variance = float(np.mean(samples)), float(np.var(samples))
            return Estimate(mean, variance, samples.size, np.nan, np.nan), None
        try:
            found = estimate(samples)
        except TooFewSamples as error:
            self.warnings.append(f"no error bar for {name}: {error}")
            return error.estimate, None
        return found, found.error

    def mean(self, name: str, samples: Any) -> MeanError:
        """Mean and standard error of real samples (chains, steps)."""
        found, error = self.estimate(name, samples)
        return [found.mean, error]

    def means(self, samples: Mapping[str, Any]) -> dict[str, MeanError]:
        """Mean and standard error of the real part of samples (steps, chains)."""
        return {
            name: self.mean(name, values.real.T) for name, values in samples.items()
        }

    def imaginary(self, local_energy: Any) -> float | None:
        """Mean imaginary part of the energy (chains, steps); None if it is real."""
        if not np.iscomplexobj(local_energy):
            return None
        return self.mean("imaginary energy", local_energy.imag)[0]

    def functions(
        self, derived: Derived | None, terms: Mapping[str, Any]
    ) -> dict[str, MeanError]:
        """Mean and error of functions of the means of the terms (chains, steps)."""
        if derived is None:
            return {}
        found = derived({name: np.real(term) for name, term in terms.items()})
        return {
            name: self.mean(name, linearized(function, factors))
            for name, (function, *factors) in found.items()
        }

    def observables(
        self, samples: Measurements, series: Mapping[str, Series]
    ) -> dict[str, MeanError]:
        """Mean and error of scalars and of functions of the samples of others."""
        scalars = {k: v for k, v in samples.scalars.items() if k not in series}
        found, values = self.means(scalars), samples.scalars | samples.profiles
        for name, functions in series.items():
            found |= self.means(functions(values[name]))
        return found

    def profile(self, name: str, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and error (...) of values (steps, groups, ...); at most one warning.

        The error is NaN where it cannot be trusted.
        """
        shape = values.shape[2:]
        of_bins = np.moveaxis(values.reshape(*values.shape[:2], -1), (0, 2), (2, 0))
        own = Diagnostics(self.frozen)
        found = np.array([own.mean(name, samples) for samples in of_bins], float)
        self.warnings += own.warnings[:1]
        return found[:, 0].reshape(shape), found[:, 1].reshape(shape)

    def relative_variance(self, local_energy: Any) -> MeanError | None:
        """<|E_L - E|^2> / E^2 and the error of both averages; None for E = 0."""
        energy = local_energy.real.mean()
        if not energy:
            return None
        deviations = local_energy - local_energy.mean()
        squares = np.abs(deviations) ** 2
        rounding = ROUNDING * np.finfo(squares.dtype).eps * abs(energy)
        if np.sqrt(squares.mean()) <= rounding:  # an eigenstate, as in `estimate`
            return [float(squares.mean() / energy**2), None if self.frozen else 0.0]

        def ratio(square, shift):
            return square / (energy + shift) ** 2

        return self.mean("v_score", linearized(ratio, [squares, deviations.real]))


def summary(
    samples: Measurements,
    derived: Derived | None = None,
    series: Mapping[str, Series] | None = None,
) -> dict[str, Any]:
    """Means and error bars of everything that was measured.

    Args:
      samples: of all steps, from `stack`.
      derived: functions of means, a method of the Hamiltonian.
      series: of observables by name, from `derived_series`.

    Returns:
      energy, energy_error, energy_imaginary, variance, relative_variance (Var / E^2 and
      its error), terms, observables (scalars and functions of means), profiles {name:
      (mean, error)} of their shape, autocorrelation_time, r_hat, n_samples,
      n_effective, acceptance, and warnings. An error is None where it cannot be
      trusted, and a warning gives the reason.
    """
    acceptance = float(np.mean(samples.acceptance))
    diagnostics = Diagnostics(frozen=acceptance == 0)
    terms = {name: values.T for name, values in samples.terms.items()}
    local_energy = sum_of_terms(terms)  # (chains, steps)
    energy, error = _energy(terms, local_energy, diagnostics)
    observables = diagnostics.observables(samples, series or {})
    observables |= diagnostics.functions(derived, terms)
    return {
        "energy": energy.mean,
        "energy_error": error,
        "energy_imaginary": diagnostics.imaginary(local_energy),
        "variance": float(np.mean(np.abs(local_energy - local_energy.mean()) ** 2)),
        "relative_variance": diagnostics.relative_variance(local_energy),
        "terms": diagnostics.means(samples.terms),
        "observables": observables,
        "profiles": {k: diagnostics.profile(k, v) for k, v in samples.profiles.items()},
        **{name: getattr(energy, name) for name in OF_THE_ENERGY},
        "acceptance": acceptance,
        "warnings": diagnostics.warnings,
    }


def derived_series(observables: Iterable[Any]) -> dict[str, Series]:
    """Functions for the further results of observables, by name."""
    return {f.name: f.series for f in observables if isinstance(f, DerivedObservable)}


def _energy(terms: dict[str, Any], local_energy: Any, diagnostics: Diagnostics):
    """Estimate and error of the energy, with warnings about the chains."""
    warnings = diagnostics.warnings
    if diagnostics.frozen:
        warnings.append(
            "no error bars: no move was accepted, the walkers are where they started"
        )
    found, error = diagnostics.estimate("energy", local_energy.real)
    if all((term == term[0, 0]).all() for term in terms.values()):
        error = None
        warnings.append(
            "no error bar for energy: all samples are equal, because psi is an "
            "eigenstate or the chains are stuck"
        )
    if found.r_hat > AGREEING:
        warnings.append(
            f"the chains disagree: R-hat of the energy is {found.r_hat:.3g}, not 1; "
            "they are stuck, or too short"
        )
    if (part := carriers(local_energy)) <= FEW:
        warnings.append(
            f"heavy tails: {part:.2g} of the samples carry half of the variance of the "
            "energy, whose error bar may be too small"
        )
    return found, error


def carriers(samples: np.ndarray) -> float:
    """Part of the samples that carries half of their variance.

    It is 0.124 for a normal distribution. Where it is tiny, the variance depends on a
    few rare samples. It is 1 if samples are not finite, or equal up to rounding: near
    the nodes of an eigenstate rounding itself has heavy tails.
    """
    squares = np.sort(np.abs(samples - np.mean(samples)), axis=None)[::-1] ** 2
    rounding = np.sqrt(np.finfo(samples.dtype).eps) * np.max(np.abs(samples))
    if not np.sqrt(np.mean(squares)) > rounding:
        return 1.0
    total = np.cumsum(squares)
    return float(np.searchsorted(total, total[-1] / 2) + 1) / squares.size


def linearized(function: Callable, samples: list[Any]) -> np.ndarray:
    """Series with the mean and, to first order, the error of a function of means.

    f(<a>, <b>, ...) + df/da (a - <a>) + df/db (b - <b>) + ..., for samples a, b, ... of
    one shape.
    """
    means = [float(np.mean(values)) for values in samples]
    with jax.enable_x64(True):
        value, slopes = jax.value_and_grad(
            lambda means: function(*means).astype(float)
        )([jnp.asarray(mean) for mean in means])
    series = np.full(np.shape(samples[0]), float(value))
    for slope, values, mean in zip(slopes, samples, means, strict=True):
        series = series + float(slope) * (values - mean)
    return series


def merged_profile(
    samples: Measurements, name: str, measured: tuple[np.ndarray, np.ndarray]
) -> tuple[int, np.ndarray, np.ndarray]:
    """A histogram in bins wide enough for a figure.

    The least number of neighbors is merged for which the median relative error of the
    filled bins is below 10 %, while at least 10 bins are left. A merged value is the
    mean of its bins, because profiles are densities in bins of equal width. Its error
    is estimated from the merged samples, because neighboring bins are correlated.

    Args:
      samples: of all steps.
      name: of a profile (..., bins).
      measured: mean and error of the bins, from `summary`.

    Returns:
      How many bins are merged into one, and mean and error (..., merged bins).
    """
    values = samples.profiles[name]
    n_bins = values.shape[-1]
    diagnostics = Diagnostics(frozen=not np.any(samples.acceptance))
    width, (mean, error) = 1, measured
    for wider in range(2, n_bins // FEWEST_BINS + 1):
        if _precise(mean, error):
            break
        if n_bins % wider == 0:
            merged = values.reshape(*values.shape[:-1], -1, wider).mean(axis=-1)
            width, (mean, error) = wider, diagnostics.profile(name, merged)
    return width, mean, error


def _precise(mean: np.ndarray, error: np.ndarray) -> bool:
    size = np.abs(mean)
    filled = size > FILLED * np.max(size)
    return bool(filled.any() and np.median(error[filled] / size[filled]) < PRECISE)

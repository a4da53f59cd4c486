"""Measurements with frozen parameters: energy, terms and observables."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.batching import chunked_map, chunked_sum
from nqs.observables import Observable
from nqs.statistics.estimates import ROUNDING, Estimate, TooFewSamples, estimate
from nqs.types import Ansatz, Hamiltonian, Params, Sampler, State, Walkers, sum_of_terms
from nqs.vmc import local_terms

# Profiles are kept as means over this many groups of walkers; each group serves as a
# chain: enough to see the scatter between chains, few enough for memory.
N_GROUPS = 16

# Large profiles have fewer groups, so that no step keeps more numbers of one than this:
# 33 MB in 1000 steps, as much as four terms of 1024 walkers.
KEPT = 4096

# Numbers of a profile, of all walkers together, that are held before they are averaged.
HELD = 2**20

# Samples that carry half of the variance are few if they are less than this part of
# all; where nodes make tails of a density E^-4 it is about 0.03.
FEW = 1e-3

# Chains whose R-hat is above this disagree (A. Gelman et al., Bayesian Data Analysis).
AGREEING = 1.1


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One step of measuring: sample, then every term and observable of every walker.

    Attributes:
      ansatz: the wave function.
      hamiltonian: the system.
      sampler: the Markov kernel; its width stays as it is.
      observables: what to measure besides the energy.
      chunk_size: walkers at a time; None for all at once.
    """

    ansatz: Ansatz
    hamiltonian: Hamiltonian
    sampler: Sampler
    observables: tuple[Observable, ...] = ()
    chunk_size: int | None = None

    def step(
        self, key: Array, params: Params, state: State
    ) -> tuple[State, dict[str, Array]]:
        """The next sampler state and a flat dict of measurements.

        Keys: "acceptance" and "non_finite" (), "term/NAME" (w,), "scalar/NAME" (w,)
        and "profile/NAME" (groups, ...).
        """
        state, info = self.sampler.step(key, self.ansatz, params, state)
        walkers = state.walkers
        terms = local_terms(
            self.ansatz, self.hamiltonian, params, walkers, self.chunk_size
        )
        broken = jnp.sum(~jnp.isfinite(sum_of_terms(terms)))
        measured = {
            "acceptance": info["acceptance"],
            "non_finite": broken + info.get("non_finite", 0),
        } | {f"term/{name}": term for name, term in terms.items()}
        for observable in self.observables:

            def value(x, f=observable):
                return f(self.ansatz, params, x)

            kind = "scalar" if observable.grid is None else "profile"
            mean = chunked_map if observable.grid is None else group_means
            measured[f"{kind}/{observable.name}"] = mean(
                value, walkers, self.chunk_size
            )
        return state, measured


def group_means(
    f: Callable[[Any], Array], walkers: Walkers, chunk_size: int | None = None
) -> Array:
    """Means (groups, ...) of a profile f over groups of walkers, in bounded memory.

    Walker i belongs to group i modulo the number of groups.
    """
    n_walkers = jax.tree.leaves(walkers)[0].shape[0]
    x = jax.tree.map(lambda leaf: leaf[0], walkers)
    size = max(1, jax.eval_shape(f, x).size)
    groups = N_GROUPS
    while groups > 1 and (groups * size > KEPT or n_walkers % groups):
        groups //= 2
    most = max(1, HELD // size)
    held = 2 ** (most.bit_length() - 1)  # divides most numbers of walkers
    group = jnp.arange(n_walkers) % groups

    def sums(chunk):
        members, group = chunk
        values = jax.vmap(f)(members)
        one_hot = (group[None, :] == jnp.arange(groups)[:, None]).astype(values.dtype)
        return jnp.tensordot(one_hot, values, axes=1)

    total = chunked_sum(sums, (walkers, group), chunk_size, held)
    return total / (n_walkers // groups)


def means(measured: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """Mean and standard error of every observable over the walkers of one step.

    Walkers are independent chains; groups of them count as one, an only group gives no
    error.
    """
    found = {}
    for key, values in measured.items():
        kind, _, name = key.partition("/")
        if kind not in ("scalar", "profile"):
            continue
        values = np.real(values)
        error = None
        if len(values) > 1:
            error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        found[name] = [values.mean(axis=0), error]
    return found


@dataclasses.dataclass
class Doubts:
    """Diagnostics of the measured data.

    Attributes:
      frozen: no walker ever moved, so that no error bar can be known.
      warnings: sentences.
    """

    frozen: bool
    warnings: list[str] = dataclasses.field(default_factory=list)


def summary(
    samples: dict[str, np.ndarray],
    derived: Callable[[dict[str, Any]], dict[str, tuple[Any, ...]]] | None = None,
) -> dict[str, Any]:
    """Means and error bars of everything that was measured.

    Args:
      samples: measurements of `Evaluation.step` stacked along a leading axis of steps.
      derived: the Hamiltonian's.

    Returns:
      energy, energy_error, energy_imaginary, variance, relative_variance (Var / E^2 and
      its error), terms, observables (scalars and functions of means), profiles {name:
      (mean, error)} of their shape, autocorrelation_time, r_hat, n_samples,
      n_effective, acceptance, and warnings. An error is None where it cannot be
      trusted, and a warning says why: too few samples, and how many are missing;
      walkers that never moved; energies that are all the same.
    """
    acceptance = float(np.mean(samples["acceptance"]))
    doubts = Doubts(frozen=acceptance == 0)
    if doubts.frozen:
        doubts.warnings.append(
            "no error bars: no move was accepted, the walkers are where they started"
        )
    terms = {k[5:]: v.T for k, v in samples.items() if k.startswith("term/")}
    scalars = {k[7:]: v.T for k, v in samples.items() if k.startswith("scalar/")}
    profiles = {k[8:]: v for k, v in samples.items() if k.startswith("profile/")}
    local_energy = sum_of_terms(terms)
    energy, error = _estimate(local_energy.real, "energy", doubts)
    if all((term == term[0, 0]).all() for term in terms.values()):
        error = None
        doubts.warnings.append(
            "no error bar for energy: all samples are equal, because psi is an "
            "eigenstate or the chains are stuck"
        )
    elif energy.r_hat > AGREEING:
        doubts.warnings.append(
            f"the chains disagree: R-hat of the energy is {energy.r_hat:.3g}, not 1; "
            "they are stuck, or too short"
        )
    if (part := carriers(local_energy)) <= FEW:
        doubts.warnings.append(
            f"heavy tails: {part:.2g} of the samples carry half of the variance of the "
            "energy, whose error bar may be too small"
        )
    imaginary = None
    if np.iscomplexobj(local_energy):
        imaginary, _ = _estimate(local_energy.imag, "imaginary energy", doubts)
    observables = _table(scalars, doubts)
    if derived is not None:
        found = derived({name: np.real(term) for name, term in terms.items()})
        for name, (function, *means) in found.items():
            observables[name] = _derived(name, function, means, doubts)
    return {
        "energy": energy.mean,
        "energy_error": error,
        "energy_imaginary": None if imaginary is None else imaginary.mean,
        "variance": float(np.mean(np.abs(local_energy - local_energy.mean()) ** 2)),
        "relative_variance": _relative_variance(local_energy, doubts),
        "terms": _table(terms, doubts),
        "observables": observables,
        "profiles": {
            name: _profile(name, values, doubts) for name, values in profiles.items()
        },
        "autocorrelation_time": energy.autocorrelation_time,
        "r_hat": energy.r_hat,
        "n_samples": energy.n_samples,
        "n_effective": energy.n_effective,
        "acceptance": acceptance,
        "warnings": doubts.warnings,
    }


def evaluate(
    evaluation: Evaluation, params: Params, state: State, key: Array, steps: int
) -> dict[str, Any]:
    """`summary` of a run of `steps` steps; step i uses fold_in(key, i)."""
    step = jax.jit(evaluation.step)
    measured = []
    for i in range(steps):
        state, values = step(jax.random.fold_in(key, i), params, state)
        measured.append(jax.device_get(values))
    return summary(stack(measured), evaluation.hamiltonian.derived)


def stack(measured: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The measurements of many steps, stacked along a leading axis."""
    return {name: np.stack([m[name] for m in measured]) for name in measured[0]}


def _estimate(samples: np.ndarray, name: str, doubts: Doubts):
    """The estimate and its error, or None in place of an error not to be trusted."""
    if broken := np.count_nonzero(~np.isfinite(samples)):
        doubts.warnings.append(
            f"{broken} of {samples.size} samples of {name} are not finite"
        )
        nan = np.nan
        return Estimate(nan, nan, samples.size, nan, nan), None
    if doubts.frozen:
        mean, variance = float(np.mean(samples)), float(np.var(samples))
        return Estimate(mean, variance, samples.size, np.nan, np.nan), None
    try:
        found = estimate(samples)
    except TooFewSamples as error:
        doubts.warnings.append(f"no error bar for {name}: {error}")
        return error.estimate, None
    return found, found.error


def carriers(samples: np.ndarray) -> float:
    """The part of the samples that carries half of their variance.

    0.124 for a normal distribution. Where it is tiny the variance rests on a few rare
    samples, and on whether they came. 1 where samples are equal up to rounding, which
    has heavy tails itself near the nodes of an eigenstate, or not finite.
    """
    squares = np.sort(np.abs(samples - np.mean(samples)), axis=None)[::-1] ** 2
    rounding = np.sqrt(np.finfo(samples.dtype).eps) * np.max(np.abs(samples))
    if not np.sqrt(np.mean(squares)) > rounding:
        return 1.0
    total = np.cumsum(squares)
    return float(np.searchsorted(total, total[-1] / 2) + 1) / squares.size


def _table(samples: dict[str, Any], doubts: Doubts) -> dict[str, list[float | None]]:
    estimates: dict[str, tuple[Estimate, float | None]] = {
        name: _estimate(values.real, name, doubts) for name, values in samples.items()
    }
    return {name: [found.mean, error] for name, (found, error) in estimates.items()}


def _profile(
    name: str, values: np.ndarray, doubts: Doubts
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and error (...) of values (steps, groups, ...); one warning at most."""
    missing = Doubts(doubts.frozen)
    shape = values.shape[2:]
    bins = values.reshape(*values.shape[:2], -1)
    found = [_estimate(bins[:, :, k].T, name, missing) for k in range(bins.shape[-1])]
    doubts.warnings += missing.warnings[:1]
    means = np.array([e.mean for e, _ in found])
    errors = np.array([np.nan if error is None else error for _, error in found])
    return means.reshape(shape), errors.reshape(shape)


def _relative_variance(local_energy: Any, doubts: Doubts) -> list[float | None] | None:
    """<|E_L - E|^2> / E^2 with the error that both averages make; None for E = 0.

    To first order it is the mean of |E_L - E|^2 / E^2 - 2 Var / E^3 Re(E_L - E).
    """
    energy = local_energy.real.mean()
    deviations = local_energy - local_energy.mean()
    squares = np.abs(deviations) ** 2
    if not energy:
        return None
    rounding = ROUNDING * np.finfo(squares.dtype).eps * abs(energy)
    if np.sqrt(squares.mean()) <= rounding:  # an eigenstate, as `estimate` sees it
        return [float(squares.mean() / energy**2), None if doubts.frozen else 0.0]
    slope = 2 * squares.mean() / energy**3
    series = squares / energy**2 - slope * deviations.real
    found, error = _estimate(series, "v_score", doubts)
    return [found.mean, error]


def _derived(
    name: str, function: Callable, samples: list[Any], doubts: Doubts
) -> list[float | None]:
    """A function of means with the error that all of them make, to first order."""
    means = [float(np.mean(values)) for values in samples]
    with jax.enable_x64(True):
        value, slopes = jax.value_and_grad(
            lambda means: function(*means).astype(float)
        )([jnp.asarray(mean) for mean in means])
    series = np.full(np.shape(samples[0]), float(value))
    for slope, values, mean in zip(slopes, samples, means, strict=True):
        series = series + float(slope) * (values - mean)
    found, error = _estimate(series, name, doubts)
    return [found.mean, error]

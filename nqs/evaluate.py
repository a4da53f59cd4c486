"""Measuring with frozen parameters: energy, every term and every observable."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.batching import chunked_map
from nqs.observables import Observable
from nqs.statistics import Estimate, TooFewSamples, estimate
from nqs.types import Ansatz, Hamiltonian, Params, Sampler, State, sum_of_terms
from nqs.vmc import local_terms

# Profiles are kept as means over this many groups of walkers, each of which serves as
# a chain: enough to see the scatter between chains, few enough for memory.
N_GROUPS = 16


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

        Keys: "acceptance" and "non_finite" (), "term/NAME" (w,), "scalar/NAME" (w,) and
        "profile/NAME" (groups, k).
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
            values = chunked_map(
                lambda x, f=observable: f(self.ansatz, params, x),
                walkers,
                self.chunk_size,
            )
            kind = "scalar" if values.ndim == 1 else "profile"
            values = values if values.ndim == 1 else _group_means(values)
            measured[f"{kind}/{observable.name}"] = values
        return state, measured


def summary(samples: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means and error bars of everything that was measured.

    Args:
      samples: measurements of `Evaluation.step` stacked along a leading axis of steps.

    Returns:
      energy, energy_error, energy_imaginary, variance, terms, observables (scalars),
      profiles {name: (mean (k,), error (k,))}, autocorrelation_time, r_hat, n_samples,
      n_effective, acceptance, and warnings. An error is None where too few samples were
      taken for it, and a warning says how many are missing.
    """
    warnings: list[str] = []
    terms = {k[5:]: v.T for k, v in samples.items() if k.startswith("term/")}
    scalars = {k[7:]: v.T for k, v in samples.items() if k.startswith("scalar/")}
    profiles = {k[8:]: v for k, v in samples.items() if k.startswith("profile/")}
    local_energy = sum_of_terms(terms)
    energy, error = _estimate(local_energy.real, "energy", warnings)
    imaginary = None
    if np.iscomplexobj(local_energy):
        imaginary, _ = _estimate(local_energy.imag, "imaginary energy", warnings)
    return {
        "energy": energy.mean,
        "energy_error": error,
        "energy_imaginary": None if imaginary is None else imaginary.mean,
        "variance": float(np.mean(np.abs(local_energy - local_energy.mean()) ** 2)),
        "terms": _table(terms, warnings),
        "observables": _table(scalars, warnings),
        "profiles": {
            name: _profile(name, values, warnings) for name, values in profiles.items()
        },
        "autocorrelation_time": energy.autocorrelation_time,
        "r_hat": energy.r_hat,
        "n_samples": energy.n_samples,
        "n_effective": energy.n_effective,
        "acceptance": float(np.mean(samples["acceptance"])),
        "warnings": warnings,
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
    return summary(stack(measured))


def stack(measured: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The measurements of many steps, stacked along a leading axis."""
    return {name: np.stack([m[name] for m in measured]) for name in measured[0]}


def _estimate(samples: np.ndarray, name: str, warnings: list[str]):
    """The estimate and its error, or None in place of an error not to be trusted."""
    if broken := np.count_nonzero(~np.isfinite(samples)):
        warnings.append(f"{broken} of {samples.size} samples of {name} are not finite")
        nan = np.nan
        return Estimate(nan, nan, samples.size, nan, nan), None
    try:
        found = estimate(samples)
    except TooFewSamples as error:
        warnings.append(f"no error bar for {name}: {error}")
        return error.estimate, None
    return found, found.error


def _table(
    samples: dict[str, Any], warnings: list[str]
) -> dict[str, list[float | None]]:
    estimates: dict[str, tuple[Estimate, float | None]] = {
        name: _estimate(values.real, name, warnings) for name, values in samples.items()
    }
    return {name: [found.mean, error] for name, (found, error) in estimates.items()}


def _profile(
    name: str, values: np.ndarray, warnings: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Mean (k,) and error (k,) of values (steps, groups, k); one warning at most."""
    missing: list[str] = []
    found = [
        _estimate(values[:, :, k].T, name, missing) for k in range(values.shape[-1])
    ]
    warnings += missing[:1]
    errors = [np.nan if error is None else error for _, error in found]
    return np.array([e.mean for e, _ in found]), np.array(errors)


def _group_means(values: Array) -> Array:
    """Means (groups, k) of (w, k) over strided groups of walkers."""
    w, k = values.shape
    groups = N_GROUPS if w % N_GROUPS == 0 else 1
    return jnp.mean(values.reshape(w // groups, groups, k), axis=0)


if __name__ == "__main__":
    # The command stands on top of nqs.run, which finds the run and sets the precision.
    from nqs.run import evaluate_main

    evaluate_main()

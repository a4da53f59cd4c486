"""Measuring a wave function with any Hamiltonian and any observables."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from nqs.checks import whole
from nqs.runs.devices import configure, settings_kept
from nqs.runs.loading import Loaded
from nqs.statistics import Evaluation, derived_series, stack, summary
from nqs.types import Hamiltonian, Observable, Sampler


def evaluate(
    psi: Loaded,
    hamiltonian: Hamiltonian | None = None,
    observables: Sequence[Observable] = (),
    *,
    sampler: Sampler | None = None,
    steps: int = 1000,
    burn_in: int = 100,
    seed: int = 1,
    chunk_size: int | None = None,
) -> dict[str, Any]:
    """Energy and observables of a wave function; nothing is written.

    Args:
      psi: from `nqs.load`, or any (ansatz, params, walkers).
      hamiltonian: whose energy to measure; None for that of the run.
      observables: to measure besides it.
      sampler: of |psi|^2; None for that of the run.
      steps: sampler steps that are measured.
      burn_in: sampler steps before them, which tune the step width.
      seed: of the samples.
      chunk_size: walkers at a time; None for all at once.

    Returns:
      As `nqs.statistics.summary`: energy, energy_error, variance, terms, observables,
      profiles {name: (mean, error)}, acceptance, warnings and others.

    Raises:
      ValueError: if a number is out of range, or a part is missing.
    """
    counts = whole("steps", steps), whole("burn_in", burn_in, least=0)
    key = jax.random.key(whole("seed", seed, 0, 2**32 - 1))
    system: Any = hamiltonian or _of_run(psi, "hamiltonian")
    kernel: Any = sampler or _of_run(psi, "sampler")
    parts = system, kernel, tuple(observables), chunk_size
    with settings_kept():
        configure(_precision(psi))
        measured = _samples(Evaluation(psi[0], *parts), psi[1], psi[2], counts, key)
    return summary(stack(measured), system.derived, derived_series(observables))


def _of_run(psi: Any, name: str) -> Any:
    """A part of the run of psi."""
    if not hasattr(psi, "experiment"):
        raise ValueError(f"{name} must be given, because psi is not that of a run")
    return getattr(psi.experiment, name)


def _precision(psi: Any) -> str:
    """That of the parameters, float64 without any."""
    kinds = {np.asarray(leaf).dtype for leaf in jax.tree.leaves(psi[1])}
    return "float32" if kinds == {np.dtype(np.float32)} else "float64"


def _samples(
    evaluation: Evaluation, params: Any, walkers: Any, counts: tuple[int, int], key: Any
) -> list[Any]:
    """Measurements of every step, on the host."""
    sampler, (steps, burn_in) = evaluation.sampler, counts

    @jax.jit
    def tune(key, state):
        state, info = sampler.step(key, evaluation.ansatz, params, state)
        return sampler.adapt(state, info)

    step = jax.jit(evaluation.step)
    key_tune, key_step = jax.random.split(key)
    state, measured = sampler.init(walkers), []
    for i in range(burn_in):
        state = tune(jax.random.fold_in(key_tune, i), state)
    for i in range(steps):
        state, found = step(jax.random.fold_in(key_step, i), params, state)
        measured.append(jax.device_get(found))
    return measured

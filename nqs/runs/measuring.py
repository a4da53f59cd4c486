"""Measuring a wave function with any Hamiltonian and any observables."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from nqs.checks import name_of, whole
from nqs.contracts import (
    SPACE,
    check_capability,
    check_fields,
    check_kind,
    check_numbers,
    check_observables,
    check_walkers,
)
from nqs.runs.comparison import alarms, comparison, known_references
from nqs.runs.compilation import once
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
      psi: of `nqs.load`, or any (ansatz, params, walkers).
      hamiltonian: whose energy to measure; None for that of the run.
      observables: to measure besides it.
      sampler: of |psi|^2; None for that of the run.
      steps: sampler steps that are measured.
      burn_in: sampler steps before them, which tune the step width.
      seed: of the samples.
      chunk_size: walkers at a time; None for all at once.

    Returns:
      As `nqs.statistics.summary`; profiles are {name: (mean, error)}.

    Raises:
      ValueError: if a number is out of range, or a part is missing or does not fit.
    """
    counts = whole("steps", steps), whole("burn_in", burn_in, least=0)
    key = jax.random.key(whole("seed", seed, 0, 2**32 - 1))
    system: Any = hamiltonian or _of_run(psi, "hamiltonian")
    kernel: Any = sampler or _of_run(psi, "sampler")
    one = Evaluation(psi[0], system, kernel, tuple(observables), chunk_size)
    with settings_kept():
        configure(_precision(psi))
        _check(one, psi)
        measured = _samples(one, psi[1], psi[2], counts, key)
    found = summary(stack(measured), system.derived, derived_series(observables))
    return found | {"warnings": found["warnings"] + _alarms(found, system)}


def _check(evaluation: Evaluation, psi: Any) -> None:
    """Refuse a system that psi, its walkers, a sampler or an observable do not fit."""
    if not getattr(getattr(psi, "experiment", None), "check", True):
        return  # its run skipped the checks, too
    params, walkers = psi[1:3]
    ansatz, system, sampler = (
        evaluation.ansatz,
        evaluation.hamiltonian,
        evaluation.sampler,
    )
    x = jax.tree.map(lambda leaf: leaf[0], walkers)
    like = jax.eval_shape(lambda key: system.initial_walkers(key, 1), jax.random.key(0))
    shapes = [
        [leaf.shape[1:] for leaf in jax.tree.leaves(tree)] for tree in (walkers, like)
    ]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"hamiltonian must have configurations of the shape of psi, {shapes[0]}, "
            f"got {name_of(system)} with {shapes[1]}"
        )
    check_fields(ansatz, system, SPACE)  # a psi of other forces is one, too
    check_capability(sampler, ansatz)
    check_kind(sampler, system, x)
    check_walkers(system, walkers)
    check_numbers(ansatz, system, sampler, params, walkers, once)
    check_observables(evaluation.observables, ansatz, params, x)


def _alarms(found: dict[str, Any], system: Any) -> list[str]:
    """Warnings of an energy below the exact one, or of broken references."""
    references, broken = known_references(system)
    compared = comparison(found["energy"], found["energy_error"], references)
    return broken + alarms(compared)


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

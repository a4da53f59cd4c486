"""Diagnostics of the training: time, hyper-parameters and R-hat of every step.

They are in `diagnostics.ndjson`: times differ between two equal runs, whereas
`metrics.jsonl` is the same bit for bit.
"""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nqs.files.metrics import Metrics
from nqs.runs.hosts import gathered
from nqs.statistics.estimates import split_r_hat
from nqs.types import sum_of_terms

WINDOW = 50  # training steps of one R-hat


class Diagnostics:
    """The log of one training."""

    def __init__(self, path: Path, optimizer: Any, iterations: int):
        self.log = Metrics(path)
        self.optimizer, self.energies = optimizer, []
        self.rates = scheduled(optimizer, iterations)

    def open(self, steps: int) -> contextlib.AbstractContextManager:
        """Keep the lines of the first steps; lines of other versions may be missing."""
        return self.log.open(steps, lambda sentence: None)

    def append(
        self, step: int, seconds: float, info: Any, terms: Any, opt_state: Any
    ) -> None:
        """Write one line.

        Args:
          step: its number.
          seconds: of the training so far.
          info: of the step.
          terms: of the local energy, (w,) each.
          opt_state: state of the optimizer, for `optax.inject_hyperparams`.
        """
        row: dict[str, Any] = {"seconds": round(seconds, 6)}
        if self.rates is not None:
            row["learning_rate"] = float(self.rates[step - 1])
        if (shift := getattr(self.optimizer, "damping_at", None)) is not None:
            row["damping"] = shift(row.get("learning_rate"), float(info["variance"]))
        row |= injected(opt_state)
        # summed on the host, which takes less time than a program for the devices
        self.energies.append(np.real(sum_of_terms(jax.device_get(gathered(terms)))))
        if step % WINDOW == 0:
            if len(self.energies) == WINDOW:  # no step was in another process
                values = np.stack(self.energies, axis=1)  # (w, steps)
                row["r_hat"] = split_r_hat(values - values.mean(axis=0))
            self.energies.clear()
        self.log.append(step, row)


def scheduled(optimizer: Any, iterations: int) -> np.ndarray | None:
    """The learning rate of every step (iterations,); None where it is not known."""
    schedule: Any = getattr(optimizer, "schedule", None)
    if not hasattr(schedule, "build") or not iterations:
        return None
    rate: Callable = schedule.build(optimizer.learning_rate)
    try:
        found = jax.vmap(lambda step: jnp.asarray(rate(step), float))
        return np.asarray(found(jnp.arange(iterations)))
    except (TypeError, jax.errors.JAXTypeError):  # a schedule of plain Python
        return None


def injected(opt_state: Any) -> dict[str, float]:
    """Hyper-parameters that `optax.inject_hyperparams` keeps in its state."""

    def holds(node: Any) -> bool:
        return isinstance(getattr(node, "hyperparams", None), dict)

    states = filter(holds, jax.tree.leaves(opt_state, is_leaf=holds))
    return {
        name: float(value)
        for state in states
        for name, value in state.hyperparams.items()
        if np.ndim(value) == 0
    }

"""What `nqs tune` searches, and by which number it judges a trial."""

import contextlib
import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from experiments.command_line.searches import Search
from nqs.files.directory import RunError, read_json
from nqs.jobs.claims import claimed
from nqs.jobs.plan import keep
from nqs.jobs.workers import Jobs

FILE = "tune.json"
LATE = 4  # the last quarter of the training counts
WIDTH = 7.0  # median absolute deviations, 4.7 standard ones of normal energies


@dataclasses.dataclass(frozen=True)
class Tuning:
    """What is searched, and how.

    Attributes:
      experiment: name.
      arguments: options of all trials.
      searches: what differs between the trials.
      trials: number of them, the default settings included.
      prune: end trials early that are worse than the median of the others.
      jobs: where they run.
    """

    experiment: str
    arguments: tuple[str, ...]
    searches: tuple[Search, ...]
    trials: int = 40
    prune: bool = True
    jobs: Jobs = Jobs()

    def save(self, directory: Path) -> None:
        """Write, or check that the directory holds the same search.

        Raises:
          RunError: if it holds something else; only the trials may become more.
        """
        keep(self, directory / FILE, read, ("jobs", "trials"), "search")


def read(directory: Path) -> Tuning:
    """The search in a directory.

    Raises:
      RunError: if there is none, or it is damaged.
    """
    found = read_json(directory / FILE)
    try:
        searched = tuple(
            Search(**each | {"choices": tuple(each["choices"])})
            for each in found["searches"]
        )
        changed: dict[str, Any] = {"searches": searched, "jobs": Jobs(**found["jobs"])}
        changed["arguments"] = tuple(found["arguments"])
        return Tuning(**found | changed)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{directory / FILE} is damaged: {error!r}") from None


def optuna() -> Any:
    """The package Optuna, without its messages.

    Raises:
      RunError: if it is not installed.
    """
    try:
        found = importlib.import_module("optuna")
    except ImportError:
        raise RunError(
            "tune requires the package optuna; install the extra `sweep`: "
            'pip install "nqs[sweep]"'
        ) from None
    found.logging.disable_default_handler()
    return found


class Lock:
    """The lock of the journal, which ends with the process that holds it."""

    def __init__(self, path: Path):
        self.path, self.held = path, contextlib.ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock."""
        self.held.enter_context(claimed(self.path, wait=True))
        return True

    def release(self) -> None:
        """End the lock."""
        self.held.close()


def late_energy(energies: np.ndarray) -> tuple[float, float]:
    """Mean energy of the last quarter of a training, and its error.

    Energies (steps,) far from their median are clipped, so that one bad step does not
    decide. The error includes the autocorrelation as far as so few steps show it.
    """
    from nqs.statistics.estimates import TooFewSamples, estimate

    last = energies[-max(1, len(energies) // LATE) :]
    median = np.median(last)
    width = WIDTH * np.median(np.abs(last - median)) or np.inf  # few different values
    clipped = np.clip(last, median - width, median + width)
    try:
        found = estimate(clipped)
    except TooFewSamples as short:
        found = short.estimate
    return found.mean, found.error

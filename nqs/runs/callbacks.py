"""Callbacks: functions of a run that look at its steps, and may end a phase.

A callback is an object with any of three methods:

    step(step)        after every training step
    evaluation(step)  after every evaluation step
    end(result)       with the result, after it is written

The first two may return a `Stop`, which ends the phase; anything else is ignored. An
exception in a callback becomes a warning of the result, and the run goes on.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from nqs.checks import positive, whole
from nqs.files.directory import replacing
from nqs.runs.hosts import gathered
from nqs.runs.state import RunState
from nqs.types import Params, Walkers, sum_of_terms

HOOKS = {"train": "step", "evaluation": "evaluation"}


class Stop(NamedTuple):
    """Returned by a callback to end the training, or the evaluation, at this step."""

    reason: str = "a callback asked for it"


class Step(NamedTuple):
    """A step of a run, to be read and not changed; arrays are valid until the next.

    Attributes:
      phase: "burn_in", "train" or "evaluation".
      number: steps done in this phase.
      total: steps of this phase.
      info: energy, variance, acceptance and others, as in metrics.jsonl.
      directory: of the run.
      run: its state.
    """

    phase: str
    number: int
    total: int
    info: Mapping[str, Any]
    directory: Path
    run: RunState

    @property
    def params(self) -> Params:
        """A copy of the parameters, on the host."""
        vmc = self.run.vmc
        return _copy(vmc.average if self.phase == "evaluation" else vmc.params)

    @property
    def walkers(self) -> Walkers:
        """A copy of the walkers (w, ...), on the host."""
        evaluating = self.phase == "evaluation"
        return _copy((self.run.sampler if evaluating else self.run.vmc.sampler).walkers)

    @property
    def local_energy(self) -> np.ndarray | None:
        """Local energies (w,) of an evaluation step; None in other phases."""
        if self.phase != "evaluation":
            return None
        return np.array(sum_of_terms(self.run.samples[-1].terms))


class Callbacks:
    """The callbacks of a run, called so that none of them damages it."""

    def __init__(self, callbacks: Sequence[Any], warnings: list[str]):
        self.callbacks, self.warnings = tuple(callbacks), warnings
        self.failed: set[tuple[int, str]] = set()

    def after(self, step: Step) -> Stop | None:
        """The first stop that a callback returns."""
        read_only = step._replace(info=MappingProxyType(dict(step.info)))
        answers = [
            self._call(callback, HOOKS[step.phase], read_only)
            for callback in (self.callbacks if step.phase in HOOKS else ())
        ]
        return next((stop for stop in answers if isinstance(stop, Stop)), None)

    def end(self, result: dict[str, Any]) -> None:
        """Give every callback a copy of the result."""
        for callback in self.callbacks:
            self._call(callback, "end", dict(result))

    def _call(self, callback: Any, name: str, argument: Any) -> Any:
        hook = getattr(callback, name, None)
        if hook is None:
            return None
        try:
            return hook(argument)
        except Exception as error:
            text = f"callback {type(callback).__name__}.{name} raised {error!r}"
            if (id(callback), name) not in self.failed:  # once is enough
                self.failed.add((id(callback), name))
                self.warnings.append(text)
                print(f"warning: {text}", flush=True)
            return None


class StopAtVariance:
    """End the training when the mean variance of `steps` steps is below `variance`."""

    def __init__(self, variance: float, steps: int = 20):
        self.variance = positive("variance", variance)
        self.steps = whole("steps", steps)
        self.latest: list[float] = []

    def step(self, step: Step) -> Stop | None:
        """Compare the mean of the latest variances with the limit."""
        self.latest = [*self.latest, float(step.info["variance"])][-self.steps :]
        mean = float(np.mean(self.latest))
        if len(self.latest) == self.steps and mean < self.variance:
            return Stop(f"variance {mean:.3g} is below {self.variance:.3g}")
        return None


class StopAtPlateau:
    """End the training when the energy falls no more.

    The mean energy of the latest `steps` steps is compared with that of the `steps`
    before them: the training ends when it is lower by less than `gain` times the
    standard error of the difference, with successive steps taken as independent.
    """

    def __init__(self, steps: int = 100, gain: float = 1.0):
        self.steps, self.gain = whole("steps", steps, 2), positive("gain", gain)
        self.energies: list[float] = []

    def step(self, step: Step) -> Stop | None:
        """Compare the two halves of the latest energies."""
        latest = [*self.energies, float(step.info["energy"])]
        self.energies = latest[-2 * self.steps :]
        if len(self.energies) < 2 * self.steps:
            return None
        halves = np.array(self.energies).reshape(2, self.steps)
        before, now = halves.mean(axis=1)
        error = np.sqrt(halves.var(axis=1, ddof=1).sum() / self.steps)
        if before - now < self.gain * error:
            return Stop(f"the energy fell by {before - now:.2g} in {self.steps} steps")
        return None


class SaveSamples:
    """Save walkers and local energies of every so many evaluation steps.

    One file a step, `samples/NUMBER.npz`, read by `nqs.read(directory).walkers`.
    """

    def __init__(self, every: int = 10):
        self.every = whole("every", every)

    def evaluation(self, step: Step) -> None:
        """Write the file of a step; a resumed run writes the same files."""
        if step.number % self.every:
            return
        folder = step.directory / "samples"
        folder.mkdir(exist_ok=True)
        leaves = jax.tree_util.tree_leaves_with_path(step.walkers)
        named = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
        arrays: dict[str, Any] = {"local_energy": step.local_energy} | named
        path = folder / f"{step.number:09d}.npz"
        with replacing(path) as file:
            np.savez(file, allow_pickle=False, **arrays)


def _copy(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: np.array(leaf, copy=True), gathered(tree))

"""Loading a run from its directory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from nqs.checks import one_of
from nqs.files import checkpoint
from nqs.files.config import NotImportable, from_json
from nqs.files.directory import RunError, read_json
from nqs.runs.devices import configure, settings_kept
from nqs.runs.experiment import Experiment
from nqs.runs.interrupts import warn
from nqs.runs.state import expected, identity, shapes
from nqs.types import Ansatz, Configuration, LogPsi, Params, Walkers

PARTS = ("ansatz", "hamiltonian", "sampler", "optimizer", "observables")


class _Psi(NamedTuple):
    ansatz: Ansatz
    params: Params
    walkers: Walkers


class Loaded(_Psi):
    """Ansatz, parameters and walkers of a run.

    Attributes:
      experiment: of the run, with its Hamiltonian and sampler.
    """

    experiment: Experiment

    def __call__(self, x: Configuration) -> LogPsi:
        """Psi of one configuration, in the precision of the run."""
        if isinstance(jax.tree.leaves(x)[0], Tracer):
            return self.ansatz.apply(self.params, x)
        with jax.enable_x64(self.experiment.precision == "float64"):
            return self.ansatz.apply(self.params, x)


def load(directory: str | Path, **parts: Any) -> Loaded:
    """Ansatz, parameters and walkers of a run.

    The parameters are those of the evaluation: averaged, if the run averages. Arrays
    have the precision of the run, and so has psi(x); that of the process does not
    change, so that other float64 arithmetic with them needs `nqs.configure()`.

    Args:
      directory: of the run.
      **parts: ansatz, hamiltonian, sampler, optimizer or observables, where their class
        cannot be imported (defined in a script, say).

    Raises:
      RunError: if the directory holds no run, or its checkpoints are damaged.
      ValueError: if a part cannot be rebuilt from its settings, or is none.
    """
    for name in parts:
        one_of("part", name, PARTS)
    with settings_kept():
        experiment, found = saved_run(Path(directory), parts)
        walkers = jax.tree.map(jnp.asarray, found["sampler"].walkers)
        params = jax.tree.map(jnp.asarray, found["vmc"].average)
    psi = Loaded(experiment.ansatz, params, walkers)
    psi.experiment = experiment
    return psi


def saved_run(
    directory: Path, parts: dict[str, Any]
) -> tuple[Experiment, dict[str, Any]]:
    """The experiment of a run and the content of its last good checkpoint.

    The precision of the process becomes that of the run. Raises as `load`.
    """
    config = read_json(directory / "config.json")
    experiment = _rebuilt(directory, config, parts)
    configure(experiment.precision)
    like = expected(*shapes(experiment))
    found = last_checkpoint(directory, like, identity(config), warn)
    if found is None:
        raise RunError(f"{directory} holds no checkpoint yet")
    return experiment, found


def has_checkpoint(directory: str | Path | None) -> bool:
    """Whether a run has written a checkpoint."""
    return directory is not None and checkpoint.exists(Path(directory) / "checkpoints")


def last_checkpoint(
    directory: Path, like: Any, identity: str, warn: Callable[[str], None]
) -> dict[str, Any] | None:
    """The last good checkpoint of a run directory as NumPy arrays; None without any.

    `like` is a tree of the same shapes, see `nqs.runs.state.expected`.

    Raises:
      CheckpointError: if all are damaged, or they belong to another run.
    """
    if not has_checkpoint(directory):
        return None
    folder = directory / "checkpoints"
    return checkpoint.restore(folder, like, identity=identity, warn=warn)[1]


def _rebuilt(
    directory: Path, config: dict[str, Any], parts: dict[str, Any]
) -> Experiment:
    fields, name = {}, ""
    try:
        for name, value in config.items():
            if name != "options":
                fields[name] = parts[name] if name in parts else from_json(value)
        return Experiment(
            **fields, options=config["options"], directory=str(directory), resume=True
        )
    except NotImportable as error:
        raise ValueError(
            f"{name} of {directory} was defined in a script: {error}; write it in a "
            f"module that Python finds (PYTHONPATH), or pass it, nqs.load(DIRECTORY, "
            f"{name}=...)"
        ) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{directory / 'config.json'} is damaged, or of another version: it "
            f"describes no run ({error!r})"
        ) from None

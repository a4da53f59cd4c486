"""Walkers and parameters before the first step of a run."""

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from nqs.contracts import check_observables, check_walkers
from nqs.files.directory import RunError
from nqs.runs.compilation import once
from nqs.runs.devices import placed, shardings, spread, walker_mesh
from nqs.runs.experiment import Experiment
from nqs.runs.hosts import by_first, several
from nqs.runs.interrupts import warn
from nqs.runs.loading import has_checkpoint
from nqs.runs.programs import Built, build
from nqs.runs.state import PHASES, RunState, fresh
from nqs.runs.transfer import Origin, transferred
from nqs.vmc import VMCState

KEYS = ("walkers", "parameters", *PHASES, "again", "observe")


class Start(NamedTuple):
    """A run before its first step."""

    experiment: Experiment
    mesh: jax.sharding.Mesh
    keys: dict[str, Array]  # of every use of randomness
    state: RunState  # on the devices
    built: Built  # its programs
    seconds: float  # that all of this took
    n_parameters: int
    warnings: list[str]  # for the result
    origin: Origin | None = None  # what it takes from another run

    def warn(self, message: str) -> None:
        """Print a warning, and keep it for the result."""
        self.warnings.append(message)
        warn(message)

    def place(self, state: RunState) -> RunState:
        """The state with copies of its arrays on the devices."""
        return _on_devices(state, self.mesh, self.experiment.n_walkers)


def prepare(experiment: Experiment, built: Built | None = None) -> Start:
    """Walkers, parameters and programs of a run; nothing is written.

    Args:
      experiment: to be run.
      built: programs of the same experiment; None to build them.

    Raises:
      RunError: if the ansatz cannot be evaluated, or contradicts the Hamiltonian.
    """
    started, root = time.monotonic(), jax.random.key(experiment.seed)
    keys = {name: jax.random.fold_in(root, i) for i, name in enumerate(KEYS)}
    mesh, messages = _mesh(experiment.n_walkers)
    origin = None
    state = _collecting(messages, first_state, experiment, keys)
    n_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    resumed = experiment.resume and by_first(
        lambda: has_checkpoint(experiment.directory)
    )
    if experiment.start_from is not None and not resumed:
        state, origin = transferred(experiment, state, keys["parameters"])
        messages += origin.warnings
    run = _on_devices(fresh(state), mesh, experiment.n_walkers)
    everywhere = NamedSharding(mesh, PartitionSpec())
    keys = {name: spread(key, everywhere) for name, key in keys.items()}
    if built is None:
        point = experiment, mesh, keys["train"], run.vmc
        built = _collecting(messages, build, *point)
    spent = time.monotonic() - started
    return Start(
        experiment, mesh, keys, run, built, spent, n_parameters, messages, origin
    )


def _collecting[T](messages: list[str], f: Callable[..., T], *arguments: Any) -> T:
    """`f(*arguments)`; its warnings are added to the messages."""
    with warnings.catch_warnings(action="always", record=True) as caught:
        result = f(*arguments)
    messages += sorted({str(warning.message) for warning in caught})
    return result


def _mesh(n_walkers: int) -> tuple[jax.sharding.Mesh, list[str]]:
    """The mesh of the walkers, and a sentence if it lacks devices."""
    mesh, n_devices = walker_mesh(n_walkers), len(jax.devices())
    if mesh.size == n_devices:
        return mesh, []
    if several():
        raise RunError(
            f"n_walkers must be a multiple of the {n_devices} devices of all "
            f"processes, got {n_walkers}"
        )
    few = f"{n_walkers} walkers are no multiple of {n_devices} devices"
    return mesh, [f"{few}; {mesh.size} used"]


def _on_devices(run: RunState, mesh: jax.sharding.Mesh, n_walkers: int) -> RunState:
    where = shardings(run.vmc, mesh, n_walkers)
    sampler = placed(run.sampler, where.sampler)
    return run._replace(vmc=placed(run.vmc, where), sampler=sampler)


def first_state(experiment: Experiment, keys: dict[str, Array]) -> VMCState:
    """Walkers and parameters from the keys of these names, with psi checked.

    Raises:
      RunError: as `prepare`.
    """
    hamiltonian, n_walkers = experiment.hamiltonian, experiment.n_walkers
    walkers = once(
        lambda key: hamiltonian.initial_walkers(key, n_walkers), keys["walkers"]
    )
    try:
        check_walkers(hamiltonian, walkers, n_walkers)
        vmc = experiment.vmc()
        state = once(vmc.init, keys["parameters"], walkers)
        vmc.check_numbers(state.params, walkers, once)
        x = jax.tree.map(lambda leaf: leaf[0], walkers)
        given = experiment.ansatz, state.params, x
        check_observables(experiment.observables, *given)
        return state
    except ValueError as error:
        raise RunError(str(error)) from error
    except (AttributeError, TypeError) as error:
        name = type(experiment.ansatz).__name__
        raise RunError(f"{name} cannot be evaluated: {error}") from error

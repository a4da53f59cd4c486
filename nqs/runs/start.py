"""Walkers and parameters before the first step of a run."""

import time
import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from nqs.runs.compilation import once
from nqs.runs.devices import configure, placed, shardings, spread, walker_mesh
from nqs.runs.directory import RunError
from nqs.runs.experiment import Experiment
from nqs.runs.hosts import by_first, several
from nqs.runs.interrupts import warn
from nqs.runs.loading import has_checkpoint, saved_run
from nqs.runs.programs import Built, build
from nqs.runs.state import PHASES, RunState, fresh
from nqs.types import Params, Walkers
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
    with warnings.catch_warnings(action="always", record=True) as caught:
        state = _first_state(experiment, keys)
    messages += sorted({str(warning.message) for warning in caught})
    n_parameters = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    resumed = experiment.resume and by_first(
        lambda: has_checkpoint(experiment.directory)
    )
    if experiment.start_from is not None and not resumed:
        state, found = _start_from(experiment, state, keys["parameters"])
        messages += found
    run = _on_devices(fresh(state), mesh, experiment.n_walkers)
    everywhere = NamedSharding(mesh, PartitionSpec())
    keys = {name: spread(key, everywhere) for name, key in keys.items()}
    if built is None:
        built = build(experiment, mesh, keys["train"], run.vmc)
    spent = time.monotonic() - started
    return Start(experiment, mesh, keys, run, built, spent, n_parameters, messages)


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


def _first_state(experiment: Experiment, keys: dict[str, Array]) -> VMCState:
    hamiltonian, n_walkers = experiment.hamiltonian, experiment.n_walkers
    walkers = once(
        lambda key: hamiltonian.initial_walkers(key, n_walkers), keys["walkers"]
    )
    try:
        vmc = experiment.vmc()
        state = once(vmc.init, keys["parameters"], walkers)
        vmc.check_symmetry(state.params, walkers, once)
        return state
    except ValueError as error:
        raise RunError(str(error)) from error
    except (AttributeError, TypeError) as error:
        name = type(experiment.ansatz).__name__
        raise RunError(f"{name} cannot be evaluated: {error}") from error


def _start_from(
    experiment: Experiment, state: VMCState, key: Array
) -> tuple[VMCState, list[str]]:
    """The state with measured parameters and rescaled walkers of another run.

    Parameters and walkers of another shape start anew; the sentences name them.
    """
    try:
        source, found = saved_run(Path(str(experiment.start_from)), {})
    except ValueError as error:
        raise RunError(f"start_from: {error}") from error
    finally:  # loading has set the precision of the other run
        configure(experiment.precision)
    params, messages = _fitting(state.params, found["vmc"].average, source.directory)
    walkers = _rescaled(experiment, source, found["sampler"].walkers)
    if walkers is None:
        messages.append(
            f"start_from: walkers of {source.directory} have another shape, so that "
            "walkers start anew"
        )
    else:
        state = experiment.vmc().init(key, walkers)
    for message in messages:
        warn(message)
    average = jax.tree.map(jnp.copy, params)
    return state._replace(params=params, average=average), messages


def _fitting(
    params: Params, others: Params, directory: str | None
) -> tuple[Params, list[str]]:
    """Parameters of another run where name and shape agree; a sentence names others."""
    leaves = jax.tree_util.tree_leaves_with_path(others)
    given = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    fitting, anew = [], []

    def chosen(path, leaf):
        name = jax.tree_util.keystr(path)
        fits = name in given and given[name].shape == leaf.shape
        (fitting if fits else anew).append(name)
        return jnp.asarray(given[name] if fits else leaf, leaf.dtype)

    params = jax.tree_util.tree_map_with_path(chosen, params)
    if not anew:
        return params, []
    return params, [
        f"start_from: {len(fitting)} parameters are those of {directory}: "
        f"{', '.join(fitting) or 'none'}; {len(anew)} start anew: {', '.join(anew)}"
    ]


def _rescaled(
    experiment: Experiment, source: Experiment, walkers: Walkers
) -> Walkers | None:
    """Walkers of another run rescaled to this system; None if their shapes differ."""
    new = experiment.hamiltonian.initial_walkers(jax.random.key(0), 1)
    here, there = (
        [leaf.shape[1:] for leaf in jax.tree.leaves(w)] for w in (new, walkers)
    )
    if here != there:
        return None
    ratio = experiment.hamiltonian.length_scale / source.hamiltonian.length_scale
    copies = np.arange(experiment.n_walkers) % source.n_walkers

    def rescaled(leaf, like):
        leaf = leaf[copies]
        scaled = leaf * ratio if np.issubdtype(leaf.dtype, np.floating) else leaf
        return jnp.asarray(scaled, like.dtype)

    return jax.tree.map(rescaled, walkers, new)

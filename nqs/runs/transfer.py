"""Parameters and walkers that a run takes from another one, `start_from`.

The other run may have another number of particles, frequency, density or lattice size:
every array of the same name and shape is taken, and the others start anew.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.files.directory import RunError
from nqs.runs.devices import configure
from nqs.runs.experiment import Experiment
from nqs.runs.interrupts import warn
from nqs.runs.loading import saved_run
from nqs.types import Params, Walkers
from nqs.vmc import VMCState


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One array of the parameters.

    Attributes:
      name: its path.
      shape: in this run.
      given: its shape in the other run; None if there is none of this name.
    """

    name: str
    shape: tuple[int, ...]
    given: tuple[int, ...] | None

    @property
    def taken(self) -> bool:
        """Whether it is that of the other run."""
        return self.given == self.shape


@dataclasses.dataclass(frozen=True)
class Origin:
    """What a run takes from another one.

    Attributes:
      directory: of the other run.
      leaves: of the parameters.
      scale: factor of the lengths of its walkers; None if walkers start anew.
    """

    directory: str
    leaves: tuple[Leaf, ...]
    scale: float | None

    @property
    def warnings(self) -> list[str]:
        """Sentences about what starts anew."""
        taken, anew = (
            [n.name for n in self.leaves if n.taken is t] for t in (True, False)
        )
        messages = []
        if anew:
            messages.append(
                f"start_from: {len(taken)} parameters are those of {self.directory}: "
                f"{', '.join(taken) or 'none'}; {len(anew)} start anew: "
                f"{', '.join(anew)}"
            )
        if self.scale is None:
            messages.append(
                f"start_from: walkers of {self.directory} have another shape, so that "
                "walkers start anew"
            )
        return messages

    def sentence(self) -> str:
        """How many parameters are taken."""
        taken = [leaf for leaf in self.leaves if leaf.taken]
        numbers = [
            sum(int(np.prod(leaf.shape)) for leaf in leaves)
            for leaves in (taken, self.leaves)
        ]
        return (
            f"start_from: {len(taken)} of {len(self.leaves)} arrays of parameters, "
            f"{numbers[0]} of {numbers[1]} numbers, are those of {self.directory}"
        )

    def report(self) -> dict[str, Any]:
        """The content of `start_from.json`."""
        leaves = [dataclasses.asdict(n) | {"taken": n.taken} for n in self.leaves]
        walkers = "anew" if self.scale is None else "taken"
        return {
            "directory": self.directory,
            "parameters": leaves,
            "walkers": walkers,
            "length_factor": self.scale,
        }


def transferred(
    experiment: Experiment, state: VMCState, key: Array
) -> tuple[VMCState, Origin]:
    """The state with measured parameters and rescaled walkers of another run.

    Raises:
      RunError: if the other directory holds no run that can be read.
    """
    try:
        source, found = saved_run(Path(str(experiment.start_from)), {})
    except ValueError as error:
        raise RunError(f"start_from: {error}") from error
    finally:  # loading has set the precision of the other run
        configure(experiment.precision)
    params, leaves = fitting(state.params, found["vmc"].average)
    walkers, scale = rescaled(experiment, source, found["sampler"].walkers)
    origin = Origin(str(source.directory), leaves, scale)
    if walkers is not None:
        state = experiment.vmc().init(key, walkers)
    print(origin.sentence(), flush=True)
    for message in origin.warnings:
        warn(message)
    average = jax.tree.map(jnp.copy, params)
    return state._replace(params=params, average=average), origin


def fitting(params: Params, others: Params) -> tuple[Params, tuple[Leaf, ...]]:
    """Parameters with those of another run where name and shape agree."""
    flat = jax.tree_util.tree_leaves_with_path(others)
    given = {jax.tree_util.keystr(path): leaf for path, leaf in flat}
    leaves = []

    def chosen(path, leaf):
        name = jax.tree_util.keystr(path)
        shape = given[name].shape if name in given else None
        leaves.append(Leaf(name, leaf.shape, shape))
        return jnp.asarray(given[name] if shape == leaf.shape else leaf, leaf.dtype)

    return jax.tree_util.tree_map_with_path(chosen, params), tuple(leaves)


def rescaled(
    experiment: Experiment, source: Experiment, walkers: Walkers
) -> tuple[Walkers | None, float | None]:
    """Walkers of another run in units of this system, and the factor of lengths.

    None for both if their shapes differ.
    """
    new = experiment.hamiltonian.initial_walkers(jax.random.key(0), 1)
    here, there = (
        [leaf.shape[1:] for leaf in jax.tree.leaves(w)] for w in (new, walkers)
    )
    if here != there:
        return None, None
    ratio = experiment.hamiltonian.length_scale / source.hamiltonian.length_scale
    copies = np.arange(experiment.n_walkers) % source.n_walkers

    def scaled(leaf, like):
        leaf = leaf[copies]
        real = np.issubdtype(leaf.dtype, np.floating)
        return jnp.asarray(leaf * ratio if real else leaf, like.dtype)

    return jax.tree.map(scaled, walkers, new), float(ratio)

"""What a run saves, and how another run or `load` finds it again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nqs.runs import checkpoints
from nqs.runs.config import NotImportable, from_json
from nqs.runs.directory import EXTENDABLE, RunError
from nqs.runs.experiment import Experiment
from nqs.types import Params, State, Walkers
from nqs.vmc import VMCState

PHASES: tuple[str, ...] = ("burn_in", "train", "evaluation")


def tree(
    state: VMCState,
    sampler: State,
    samples: dict[str, Any],
    done: dict[str, Any],
    seconds: dict[str, Any],
) -> dict[str, Any]:
    """All that a checkpoint holds.

    Args:
      state: after the last training step.
      sampler: after the last evaluation step.
      samples: measurements of the evaluation so far, stacked.
      done: steps done in each phase.
      seconds: spent in each phase, and compiling.
    """
    return {
        "vmc": state,
        "sampler": sampler,
        "samples": samples,
        "done": {name: np.asarray(value) for name, value in done.items()},
        "seconds": {name: np.asarray(value, float) for name, value in seconds.items()},
    }


def abstract_state(experiment: Experiment) -> VMCState:
    """Shapes and dtypes of the training state."""

    def init():
        key, n_walkers = jax.random.key(0), experiment.n_walkers
        walkers = experiment.hamiltonian.initial_walkers(key, n_walkers)
        return experiment.vmc().init(key, walkers)

    return jax.eval_shape(init)


def sample_names(experiment: Experiment) -> list[str]:
    """The keys of the measurements of one evaluation step."""
    state = abstract_state(experiment)
    step = experiment.evaluation().step
    return [*jax.eval_shape(step, jax.random.key(0), state.params, state.sampler)[1]]


def identity(config: dict[str, Any]) -> str:
    """A fingerprint of everything in a configuration that a resume may not change."""
    fixed = {k: v for k, v in config.items() if k not in EXTENDABLE}
    options = config.get("options") or {}
    fixed["options"] = {k: v for k, v in options.items() if k not in EXTENDABLE}
    text = json.dumps(fixed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def has_checkpoint(directory: str | Path | None) -> bool:
    """Whether a run has come as far as its first checkpoint."""
    folder = Path(directory or "") / "checkpoints"
    return directory is not None and any(folder.glob("*.manifest"))


def restore(
    directory: Path,
    experiment: Experiment,
    identity: str,
    warn: Callable[[str], None],
) -> dict[str, Any] | None:
    """The last good checkpoint of a run directory as NumPy arrays; None without any.

    Raises:
      CheckpointError: if all are damaged, or they belong to another run.
    """
    if not has_checkpoint(directory):
        return None
    state = abstract_state(experiment)
    zeros = dict.fromkeys(PHASES, 0)
    like = tree(
        state,
        state.sampler,
        dict.fromkeys(sample_names(experiment), checkpoints.ANY_SHAPE),
        zeros,
        zeros | {"compile": 0},
    )
    folder = directory / "checkpoints"
    _, found = checkpoints.restore(folder, like, identity=identity, warn=warn)
    return found


def rebuild(
    directory: Path, config: dict[str, Any], parts: dict[str, Any]
) -> Experiment:
    """The experiment of a run directory, from its configuration.

    Raises:
      RunError: if the configuration describes none.
      ValueError: if a part was defined in a script and is not among `parts`.
    """
    try:
        fields = {
            name: parts[name] if name in parts else from_json(value)
            for name, value in config.items()
            if name != "options"
        }
        return Experiment(
            **fields, options=config["options"], directory=str(directory), resume=True
        )
    except NotImportable as error:
        raise ValueError(
            f"{directory} was made with a part of a script: {error}; pass it to load, "
            "ansatz=MyAnsatz() say"
        ) from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{directory / 'config.json'} is damaged, or of another version: it "
            f"describes no run ({error!r})"
        ) from None


def adopt(
    experiment: Experiment, params: Params, source: Experiment, found: dict[str, Any]
) -> tuple[Params, Walkers | None, list[str]]:
    """Parameters of another run, and its walkers rescaled to this system.

    Returns:
      Parameters, those of another shape as they start anew; walkers, None where their
      shape differs; and sentences that say which start anew.
    """
    shapes, others = _shapes(params), _shapes(found["vmc"].average)
    fitting = [name for name in shapes if shapes[name] == others.get(name)]
    anew = [name for name in shapes if name not in fitting]
    messages = []
    if anew:
        messages.append(
            f"start_from: {len(fitting)} parameters are those of {source.directory}: "
            f"{', '.join(fitting) or 'none'}; {len(anew)} start anew: {', '.join(anew)}"
        )
    new = experiment.hamiltonian.initial_walkers(jax.random.key(0), 1)
    here, there = (
        [leaf.shape[1:] for leaf in jax.tree.leaves(walkers)]
        for walkers in (new, found["sampler"].walkers)
    )
    leaves = jax.tree_util.tree_leaves_with_path(found["vmc"].average)
    given = {jax.tree_util.keystr(path): leaf for path, leaf in leaves}
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: jnp.asarray(
            given[name] if (name := jax.tree_util.keystr(path)) in fitting else leaf,
            leaf.dtype,
        ),
        params,
    )
    if here != there:
        messages.append(
            f"start_from: walkers start anew: their shape is {here}, that in "
            f"{source.directory} is {there}"
        )
        return params, None, messages
    ratio = experiment.hamiltonian.length_scale / source.hamiltonian.length_scale
    copies = np.arange(experiment.n_walkers) % source.n_walkers

    def rescaled(leaf, dtype):
        leaf = leaf[copies]
        scaled = leaf * ratio if np.issubdtype(leaf.dtype, np.floating) else leaf
        return jnp.asarray(scaled, dtype)

    walkers = jax.tree.map(
        lambda leaf, like: rescaled(leaf, like.dtype), found["sampler"].walkers, new
    )
    return params, walkers, messages


def _shapes(params: Params) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}

"""A run that was killed, at any moment and any number of times, ends bit for bit alike."""

import json
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from nqs import saved
from nqs.directory import read_json
from nqs.optimizers import METHODS
from nqs.run import RunError, load, run
from tests import tiny
from tests.tiny import SAMPLERS, machine, process

pytestmark = pytest.mark.usefixtures("compiled")

# What a clock or a kill may change in a result.
INCIDENTAL = {"compile_seconds", "train_seconds", "evaluate_seconds",
              "seconds_per_step", "peak_memory_mb", "warnings"}  # fmt: skip

# Steps 1 to 3 of a tiny run are burn-in, 4 to 8 training, 9 to 12 evaluation. With
# checkpoint_every=0 each is saved; a save touches some 30 files, its manifest last.
MOMENTS = [
    ("000000000", 4),  # while the very first checkpoint is written
    ("000000002", 9),  # burn-in
    ("000000003.manifest", 1),  # a manifest that exists, but not under its name
    ("metrics.jsonl.tmp", 2),  # before the first training step
    ("000000006", 1),  # training
    ("000000007.manifest", 3),  # while the checkpoint before the last is deleted
    ("000000008_again", 5),  # between training and evaluation
    ("000000010", 12),  # evaluation
    ("observables.npz", 2),  # the run is over, its files are written
    ("result.json", 2),  # result.json is complete, but not under its name
]


def outcome(directory, experiment):
    """All that must not depend on kills: metrics, results, and the last checkpoint."""
    tree = saved.restore(
        directory, experiment, saved.identity(experiment.config()), pytest.fail
    )
    del tree["seconds"]
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    result = read_json(directory / "result.json")
    arrays = np.load(directory / "observables.npz")
    return {
        "metrics": (directory / "metrics.jsonl").read_text(),
        "result": {k: v for k, v in result.items() if k not in INCIDENTAL},
        "observables": {name: arrays[name].tobytes() for name in arrays},
        "tree": {jax.tree_util.keystr(path): leaf.tobytes() for path, leaf in leaves},
    }


def assert_alike(one, other):
    assert one["metrics"] == other["metrics"]
    assert one["result"] == other["result"]
    assert one["observables"] == other["observables"]
    assert one["tree"] == other["tree"]
    assert "['vmc'].params" in str(one["tree"].keys())
    assert "['samples']['term/kinetic']" in one["tree"]


def in_the_end(directory, **settings):
    """The outcome of a run that nobody disturbs."""
    run(machine(**settings, directory=str(directory)))
    return outcome(directory, machine(**settings))


def killed_at_every(moments, directory, **settings):
    """The outcome of a run that is killed at every moment, and resumed every time."""
    settings |= {"directory": str(directory), "checkpoint_every": 0.0}
    for name, count in moments:
        resume = {"resume": (directory / "config.json").exists()}
        killed = process(settings | resume, signal.SIGKILL, name, count)
        _, errors = killed.communicate(timeout=300)
        assert killed.returncode == -signal.SIGKILL, (name, errors)
    run(machine(**settings, resume=True))
    return outcome(directory, machine(**settings))


@pytest.mark.parametrize(
    ("sampler", "optimizer", "moments"),
    [
        ("metropolis", "adam", MOMENTS[1::2]),
        ("langevin", "momentum", MOMENTS[2::4]),
        ("gibbs", "lion", MOMENTS[0::4]),
    ],
)
def test_a_run_killed_again_and_again_ends_as_if_nothing_had_happened(
    tmp_path, sampler, optimizer, moments
):
    parts = {"sampler": sampler, "optimizer": optimizer}
    undisturbed = in_the_end(tmp_path / "a", **parts, checkpoint_every=0.0)
    killed = killed_at_every(moments, tmp_path / "b", **parts)
    assert_alike(killed, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", METHODS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_ten_kills_change_nothing_with_any_sampler_and_optimizer(
    tmp_path, sampler, optimizer
):
    parts = {"sampler": sampler, "optimizer": optimizer}
    undisturbed = in_the_end(tmp_path / "a", **parts, checkpoint_every=0.0)
    assert_alike(killed_at_every(MOMENTS, tmp_path / "b", **parts), undisturbed)

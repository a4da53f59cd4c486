"""Checkpoints survive kills, full disks and flipped bytes, and return bit for bit."""

import contextlib
import itertools
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from nqs.files import checkpoint
from nqs.files.checkpoint import ANY_SHAPE, CheckpointError

ROOT = Path(__file__).parents[1]


class State(NamedTuple):
    step: int
    params: dict
    opt_state: tuple
    walkers: jax.Array
    extras: list


def walkers_sharded_over(n_devices):
    mesh = jax.make_mesh(
        (n_devices,),
        ("walkers",),
        axis_types=(jax.sharding.AxisType.Auto,),
        devices=jax.devices()[:n_devices],
    )
    return NamedSharding(mesh, PartitionSpec("walkers"))


def state():
    params = {"dense": {"kernel": jnp.arange(6.0).reshape(2, 3) / 7, "bias": None}}
    walkers = jax.random.normal(jax.random.key(0), (8, 3, 2))
    payloads = np.array([0x7FF8000000000123, 0xFFF0000000000001, 1 << 63], np.uint64)
    extras = [
        payloads.view(np.float64),  # NaNs with payloads, a negative zero
        np.zeros((0,)),
        jnp.zeros((0, 3), jnp.int32),
        np.array([True, False]),
        jnp.asarray(-3, jnp.int32),
        np.float32(0.1),
        jnp.ones(3, jnp.bfloat16) / 3,
        np.array([1 + 2j, 3 - 4j], np.complex64),
        jax.random.key_data(jax.random.key(1)),
        np.arange(5, dtype=np.uint8)[::2],
        *(np.full(2, i) for i in range(10)),  # more than ten leaves: 10 sorts before 9
    ]
    opt_state = optax.adam(optax.constant_schedule(1e-3)).init(params)
    walkers = jax.device_put(walkers, walkers_sharded_over(4))
    return State(7, params, opt_state, walkers, extras)


def assert_identical(tree, expected):
    assert jax.tree.structure(tree) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(tree), jax.tree.leaves(expected), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes())


def small(step):
    return {"walkers": np.full((4, 2), float(step)), "empty": np.zeros(0)}


def save(directory, *steps):
    for step in steps:
        checkpoint.save(directory, step, small(step), identity="dot")


def restore(directory, like=None, identity="dot"):
    """The newest checkpoint, and the warnings about damaged checkpoints."""
    warnings = []
    like = small(0) if like is None else like
    step, tree = checkpoint.restore(
        directory, like, identity=identity, warn=warnings.append
    )
    return step, tree, warnings


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def python(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_restored_state_is_bit_identical(tmp_path):
    original = state()
    path = checkpoint.save(tmp_path, 7, original, identity="dot")
    assert path == tmp_path / "000000007.npz"
    step, restored, warnings = restore(tmp_path, original)
    assert (step, warnings) == (7, [])
    assert_identical(restored, original)
    assert type(restored.step) is int
    assert isinstance(restored.extras[0], np.ndarray)
    assert isinstance(restored.walkers, np.ndarray)  # it was sharded over four devices


def test_shapes_are_enough_to_restore(tmp_path):
    original = state()
    checkpoint.save(tmp_path, 7, original, identity="dot")
    like = jax.eval_shape(lambda: original)
    like = like._replace(step=jax.ShapeDtypeStruct((), np.int64))
    restored = restore(tmp_path, like)[1]
    assert all(type(x) is np.ndarray for x in jax.tree.leaves(restored))
    assert_identical(restored, original)


def test_any_shape_accepts_any_length(tmp_path):
    samples = np.arange(12.0).reshape(3, 4)
    checkpoint.save(tmp_path, 1, {"a": samples, "b": 2}, identity="dot")
    restored = restore(tmp_path, {"a": ANY_SHAPE, "b": 0})[1]
    assert type(restored["a"]) is np.ndarray
    assert_identical(restored, {"a": samples, "b": 2})
    with pytest.raises(CheckpointError, match=r"\['b'\]"):
        restore(tmp_path, {"a": ANY_SHAPE, "c": 0})


def test_tree_without_leaves_is_restored(tmp_path):
    checkpoint.save(tmp_path, 1, {"a": None, "b": ()}, identity="dot")
    assert restore(tmp_path, {"a": None, "b": ()})[:2] == (1, {"a": None, "b": ()})


def test_the_last_two_are_kept(tmp_path):
    save(tmp_path, 5, 70, 1000)
    assert names(tmp_path) == ["000000070.npz", "000001000.npz"]


def test_numpy_reads_a_checkpoint(tmp_path):
    save(tmp_path, 3)
    with np.load(tmp_path / "000000003.npz") as file:
        np.testing.assert_array_equal(file["1"], small(3)["walkers"])


def test_unrelated_files_are_kept(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    save(tmp_path, 1, 2, 3)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("harm", ["flipped", "truncated", "emptied"])
def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, harm):
    save(tmp_path, 1, 2)
    path = tmp_path / "000000002.npz"
    if harm == "flipped":
        flip_a_byte(path)
    else:
        os.truncate(path, path.stat().st_size // 2 if harm == "truncated" else 0)
    step, tree, (warning,) = restore(tmp_path)
    assert step == 1
    assert_identical(tree, small(1))
    assert "step 2" in warning and path.name in warning


def test_flipped_byte_is_detected(tmp_path):
    save(tmp_path, 1)
    path = tmp_path / "000000001.npz"
    sound = path.read_bytes()
    for i in range(0, len(sound), 7):
        path.write_bytes(sound[:i] + bytes([sound[i] ^ 1]) + sound[i + 1 :])
        with pytest.raises(CheckpointError, match="checksum"):
            restore(tmp_path)


def test_two_damaged_checkpoints_are_an_error_that_names_both(tmp_path):
    save(tmp_path, 1, 2)
    for step in (1, 2):
        flip_a_byte(tmp_path / f"{step:09d}.npz")
    found = r"every .* damaged: step 2: file 0+2.npz .*checksum.*expected.*; step 1: fi"
    with pytest.raises(CheckpointError, match=found):
        restore(tmp_path)


def test_saving_continues_after_a_fallback(tmp_path):
    save(tmp_path, 1, 20)
    flip_a_byte(tmp_path / "000000020.npz")
    assert restore(tmp_path)[0] == 1
    save(tmp_path, 10)  # the damaged file is not used and step 1 is kept
    assert restore(tmp_path)[0] == 10
    assert names(tmp_path) == ["000000001.npz", "000000010.npz"]


def test_damaged_step_can_be_saved_again(tmp_path):
    save(tmp_path, 1, 2)
    flip_a_byte(tmp_path / "000000002.npz")
    save(tmp_path, 2)
    step, tree, warnings = restore(tmp_path)
    assert (step, warnings) == (2, [])
    assert_identical(tree, small(2))


def test_an_intact_step_can_be_saved_repeatedly(tmp_path):
    for value in (5, 6, 7):
        checkpoint.save(tmp_path, 1, small(value), identity="dot")
        assert_identical(restore(tmp_path)[1], small(value))
        assert names(tmp_path) == ["000000001.npz"]


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    save(tmp_path, 1, 2)
    with pytest.raises(CheckpointError, match="step 2 .*another run.*'dot'.*'gas'"):
        restore(tmp_path, identity="gas")


@pytest.mark.parametrize(
    "like, message",
    [
        ({"walkers": np.zeros((4, 3))}, r"\['empty'\] \[0\] float64 .* \['walkers'\]"),
        ({"empty": np.zeros(0)}, r"\['walkers'\] \[4, 2\] float64 .* has nothing"),
        (small(0) | {"z": 1}, r"holds nothing where .* \['z'\] \[\] int64"),
        (small(0) | {"walkers": np.zeros((5, 2))}, r"\[4, 2\] float64 .* \[5, 2\]"),
        (small(0) | {"walkers": np.zeros((4, 2), "f4")}, r"float64 .* float32"),
        (small(0) | {"walkers": [np.zeros((4, 2))]}, r"\['walkers'\]\[0\]"),
        (small(0) | {"walkers": None}, r"\['walkers'\] .* has nothing"),
    ],
)
def test_another_tree_is_refused_by_its_first_leaf(tmp_path, like, message):
    save(tmp_path, 1, 2)
    with pytest.raises(CheckpointError, match="step 2 .*" + message):
        restore(tmp_path, like)


@pytest.mark.parametrize("folder", [".", "absent"])
def test_missing_checkpoint_is_an_error(tmp_path, folder):
    with pytest.raises(CheckpointError, match="^/.* holds no undamaged checkpoint"):
        restore(tmp_path / folder)


def test_interrupted_writes_are_ignored_and_cleaned_by_the_next_save(tmp_path):
    save(tmp_path, 1, 2)
    (tmp_path / "000000003.npz.tmp").write_text("half a checkpoint")
    assert restore(tmp_path)[::2] == (2, [])
    save(tmp_path, 4)
    assert restore(tmp_path)[::2] == (4, [])
    assert names(tmp_path) == ["000000002.npz", "000000004.npz"]


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path):
    program = """
import resource, sys, numpy as np
from pathlib import Path
from nqs.files import checkpoint
directory = Path(sys.argv[1])
small = {"walkers": np.full((4, 2), 1.0), "empty": np.zeros(0)}
checkpoint.save(directory, 1, small, identity="dot")
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    checkpoint.save(directory, 2, {"a": np.random.rand(500_000)}, identity="dot")
except checkpoint.CheckpointError as error:
    print(error)
"""
    output, complaints = python(program, tmp_path).communicate()
    start = f"could not write the checkpoint of step 2 to {tmp_path}: "
    assert output == start + "File too large; the one of step 1 is intact\n"
    assert complaints == ""
    assert_identical(restore(tmp_path)[1], small(1))
    assert names(tmp_path) == ["000000001.npz"]


def test_folder_that_cannot_be_created_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    message = "step 3 to .*: Not a directory; no earlier one is intact"
    with pytest.raises(CheckpointError, match=message):
        save(tmp_path / "file" / "checkpoints", 3)


def test_leaf_that_is_not_an_array_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="PRNGKey"):
        checkpoint.save(tmp_path, 1, {"key": jax.random.key(0)}, identity="dot")


class Killed(BaseException):
    """Like a signal, not caught by handlers of Exception."""


@pytest.mark.parametrize("step", [3, 2])  # a new one; one that is there
def test_kill_between_system_calls_keeps_a_checkpoint(tmp_path, monkeypatch, step):
    def mortal(call, calls):
        def call_or_die(*arguments, **options):
            if next(calls) == moment:
                raise Killed
            return call(*arguments, **options)

        return call_or_die

    for moment in itertools.count():
        directory, died = tmp_path / str(moment), True
        save(directory, 1, 2)
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            calls = itertools.count()
            for name in ("mkdir", "fsync", "replace", "unlink"):
                patch.setattr(os, name, mortal(getattr(os, name), calls))
            checkpoint.save(directory, step, small(9), identity="dot")
            died = False
        found, tree, warnings = restore(directory)
        assert warnings == []
        replaced = np.all(tree["walkers"] == 9)
        assert found == step if replaced or not died else 2
        assert_identical(tree, small(9 if replaced else 2))
        save(directory, 4)
        assert len(names(directory)) == 2
        assert restore(directory)[0] == 4
        if not died:
            break
    assert moment >= 3


@pytest.mark.parametrize("kills", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_kill_9_leaves_a_complete_checkpoint(tmp_path, kills):
    program = """
import itertools, sys, numpy as np
from pathlib import Path
from nqs.files.checkpoint import save
for step in itertools.count(1):
    walkers = np.full((4, 2), float(step))
    tree = {"walkers": walkers, "empty": np.zeros(0)}
    save(Path(sys.argv[1]), step, tree, identity="dot")
    print(step, flush=True)
"""
    runs = [python(program, tmp_path / str(i)) for i in range(kills)]
    assert all(process.stdout.readline() == "1\n" for process in runs)
    moments = random.Random(kills)
    for i, process in enumerate(runs):
        time.sleep(moments.uniform(0.0, 0.2))
        process.kill()
        reported = int((process.communicate()[0].split() or [1])[-1])
        step, tree, warnings = restore(tmp_path / str(i))
        assert step >= reported and warnings == []
        assert_identical(tree, small(step))

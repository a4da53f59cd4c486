"""Several processes of one run: numbers of one process, files, kills and signals."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments.electron_gas import ElectronGasOptions
from experiments.harmonic_oscillator import HarmonicOscillatorOptions
from experiments.heisenberg import HeisenbergOptions
from nqs.runs.checkpoint import leaves
from nqs.runs.directory import RunError
from nqs.runs.hosts import by_first, first, gathered, join, together
from nqs.runs.state import shapes
from tests.benchmarks.collectives import collectives, of_step

RUN = ["harmonic_oscillator", "--n-walkers", "24", "--burn-in", "3", "--seed", "5",
       "--iterations", "60", "--evaluation-steps", "6",
       "--checkpoint-every", "0"]  # fmt: skip
LOST = 60  # seconds until the others of a killed process must have ended

linux = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs cores that a process may use"
)


@contextlib.contextmanager
def one_core(index):
    """Limit this thread, and the processes that it starts, to one core."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(usable)[index % len(usable)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


@contextlib.contextmanager
def processes(count, directory, *more):
    """Processes of one run on one CPU device each, which are killed at the end."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = []
    for index in range(count):
        place = ["--distributed", "--processes", f"localhost:{port}", count, index]
        command = [*RUN, "--directory", directory, *(place if count > 1 else ()), *more]
        with one_core(index):
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "experiments", "run", *map(str, command)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            )
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def finished(count, directory, *more):
    """Exit codes and outputs of processes that run to their end."""
    with processes(count, directory, *more) as started:
        outputs = [process.communicate(timeout=300)[0] for process in started]
        return [process.returncode for process in started], outputs


def training(directory, steps):
    """Wait until a run has taken so many training steps."""
    path = directory / "metrics.jsonl"
    for _ in range(1800):
        if path.exists() and len(path.read_bytes().splitlines()) >= steps:
            return
        time.sleep(0.1)
    raise AssertionError(f"{directory} has not come to step {steps}")


def metrics(directory):
    text = (directory / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run by two processes, and what they print."""
    directory = tmp_path_factory.mktemp("two") / "run"
    codes, outputs = finished(2, directory)
    assert codes == [0, 0], outputs
    return directory, outputs


@linux
def test_processes_take_the_steps_of_one(whole, tmp_path):
    directory, outputs = whole
    alone = tmp_path / "run"
    assert finished(1, alone)[0] == [0]
    for one, two in zip(metrics(alone), metrics(directory), strict=True):
        assert one.keys() == two.keys()
        for name, value in one.items():
            np.testing.assert_allclose(two[name], value, rtol=1e-11, err_msg=name)
    results = [json.loads((d / "result.json").read_text()) for d in (alone, directory)]
    assert results[0]["energy"] == pytest.approx(results[1]["energy"], rel=1e-12)
    assert results[1]["device"].startswith("2 x ")
    saved = [leaves(d / "checkpoints") for d in (alone, directory)]
    name = "['sampler'].walkers"
    assert np.array_equal(saved[0][name], saved[1][name])  # bit for bit
    # files and lines are those of the first process
    here, there = ({p.name for p in d.iterdir()} for d in (alone, directory))
    assert here == there
    assert "energy" in outputs[0] and "energy" not in outputs[1]


@linux
def test_a_killed_process_ends_the_others_and_the_run_continues(whole, tmp_path):
    directory = tmp_path / "run"
    with processes(2, directory) as (one, other):
        training(directory, 8)
        other.kill()
        output = one.communicate(timeout=LOST)[0]
    assert one.returncode == 1
    assert re.search("error: .*process.* ended or was lost", output)
    assert len(metrics(directory)) < 60
    codes, outputs = finished(2, directory, "--resume")
    assert codes == [0, 0] and "the same bit for bit" in outputs[0]
    assert metrics(directory) == metrics(whole[0])


@linux
def test_a_signal_to_one_process_stops_all_with_a_checkpoint(whole, tmp_path):
    directory = tmp_path / "run"
    with processes(2, directory) as started:
        training(directory, 4)
        started[1].send_signal(signal.SIGTERM)
        outputs = [process.communicate(timeout=LOST)[0] for process in started]
    codes = [process.returncode for process in started]
    assert codes == [128 + signal.SIGTERM] * 2, outputs
    assert f"resume {directory}" in outputs[0] and "Resume with" not in outputs[1]
    # on another number of processes it continues statistically
    codes, outputs = finished(1, directory, "--resume")
    assert codes == [0] and "statistically, not bit for bit" in outputs[0]
    assert len(metrics(directory)) == len(metrics(whole[0]))


def test_one_process_needs_no_others():
    assert first() and by_first(lambda: 3) == 3
    assert together([4, 5]).tolist() == [[4, 5]]
    assert gathered({"a": np.ones(2)})["a"].tolist() == [1, 1]
    with pytest.raises(RunError, match="HOST:PORT"):
        join("localhost:1", 2)  # JAX is in use already, and the index is missing


SYSTEMS = {
    "first order": HarmonicOscillatorOptions(n_walkers=16),
    "natural gradient": ElectronGasOptions(
        rs=(1.0,), n_up=1, n_down=1, n_walkers=16, check=False
    ),
    "lattice": HeisenbergOptions(length=(8,), n_walkers=16),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_devices_exchange_sums_and_the_rows_of_a_natural_gradient(name):
    experiment, w = SYSTEMS[name].experiment(), 16
    assert len(jax.devices()) > 1
    found = of_step(experiment, len(jax.devices()))
    assert not found["local_terms"]  # walkers stay where they are
    assert sum(size for *_, size in found["sample"]) < 128  # counts of moves
    kinds = {kind for kind, *_ in found["update"]}
    moved = sum(size for kind, _, size in found["update"] if kind != "all-reduce")
    state, _ = shapes(experiment)
    p = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert kinds == {"all-reduce"} or name != "first order"
    # the derivatives (w, p) by all parameters, and a few matrices (w, w)
    assert moved <= 8 * w * (p + 4 * w)


def test_collectives_are_read_from_the_text_of_a_program():
    text = """
  %all-reduce.1 = (f64[], f64[3,2]{1,0}) all-reduce(%a, %b), channel_id=1
  %x = f64[4]{0} add(%a, %b)
  %all-gather-start = f32[8]{0} all-gather-start(%a), dimensions={0}
"""
    found = [(kind, size) for kind, _, size in collectives(text)]
    assert found == [("all-reduce", 56), ("all-gather", 32)]

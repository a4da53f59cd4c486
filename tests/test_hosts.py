"""Several processes of one run: numbers of one process, files, kills and signals."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from nqs.files.checkpoint import leaves
from nqs.files.directory import RunError
from nqs.runs.hosts import by_first, first, gathered, join, together

RUN = ["harmonic_oscillator", "--n-walkers", "24", "--burn-in", "3", "--seed", "5",
       "--iterations", "60", "--evaluation-steps", "6",
       "--checkpoint-every", "0"]  # fmt: skip
LOST = 60  # seconds until the others of a killed process must have ended

DEVICES = """
import os, runpy
from nqs.runs import hosts

hosts.BEAT = 0.001  # so that one is under way when Python ends
os.sched_getaffinity = lambda process: range({})  # each core is one device
runpy.run_module("experiments", run_name="__main__", alter_sys=True)
"""


@contextlib.contextmanager
def processes(count, directory, *more, run=RUN, n_devices=1):
    """Processes of one run on some CPU devices each, which are killed at the end."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = []
    for index in range(count):
        place = ["--distributed", "--processes", f"localhost:{port}", count, index]
        command = [*run, "--directory", directory, *place, *more]
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", DEVICES.format(n_devices), "run"]
                + [str(argument) for argument in command],
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


def finished(count, directory, *more, **settings):
    """Exit codes and outputs of processes that run to their end."""
    with processes(count, directory, *more, **settings) as started:
        outputs = [process.communicate(timeout=600)[0] for process in started]
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


@pytest.mark.whole
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


@pytest.mark.whole
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


@pytest.mark.whole
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


LAYOUTS = (1, 4), (2, 2), (4, 1)  # processes, and devices of each
SHORT = ["--n-walkers", "32", "--burn-in", "2", "--seed", "5", "--iterations", "8",
         "--evaluation-steps", "1", "--checkpoint-every", "0",
         "--no-check"]  # fmt: skip
KINDS = {
    "trap": ["harmonic_oscillator"],
    "gas": ["electron_gas", "--rs", "1", "--n-up", "1", "--n-down", "1"],
    "neutrons": ["neutron_matter", "--n", "2"],
    "lattice": ["heisenberg", "--length", "8"],
    "nucleus": ["nucleus", "--a", "2", "--z", "1"],
    "molecule": ["molecule", "--atoms", "H 0 0 0; H 0 0 1.4"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_layouts_of_the_same_devices_take_the_same_steps(name, tmp_path):
    for count, n_devices in LAYOUTS:
        settings = {"run": KINDS[name] + SHORT, "n_devices": n_devices}
        codes, outputs = finished(count, tmp_path / f"{count}", **settings)
        assert codes == [0] * count, outputs
    one, two, four = (tmp_path / f"{count}" for count, _ in LAYOUTS)
    assert metrics(two) == metrics(four)
    saved = [leaves(directory / "checkpoints") for directory in (one, two, four)]
    for path in saved[0]:
        if "walkers" in path:
            assert np.array_equal(saved[0][path], saved[1][path])
            assert np.array_equal(saved[1][path], saved[2][path])
    for here, there in zip(metrics(one), metrics(two), strict=True):
        assert there["energy"] == pytest.approx(here["energy"], rel=1e-12)


def test_one_process_needs_no_others():
    assert first() and by_first(lambda: 3) == 3
    assert together([4, 5]).tolist() == [[4, 5]]
    assert gathered({"a": np.ones(2)})["a"].tolist() == [1, 1]
    with pytest.raises(RunError, match="HOST:PORT"):
        join("localhost:1", 2)  # JAX is in use already, and the index is missing

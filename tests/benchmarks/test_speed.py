"""Benchmarks: `make benchmark` prints a JSON line for each, and gates the ratios."""

import json
import subprocess
import sys

import pytest

from tests.benchmarks.peer import SETTINGS
from tests.tiny import ROOT

# Largest allowed ratio of CPU times, ours to the other way's, in the same process.
RATIOS = {
    "laplacian_14": 1 / 3,
    "minsr_feed_forward_20000": 1 / 10,
    "minsr_electrons_6": 1.3,
}
PEER = 1 / 2  # the same against NetKet with its defaults
STEPS = [
    "bosons_10",
    "electrons_6",
    "electrons_20",
    "electron_gas_14",
    "electron_gas_14_metropolis",
    "neutrons_14",
    "neutrons_14_pairing",
    "ising_40",
    "heisenberg_20",
    "j1j2_4x4",
    "feed_forward_20000",
]


def measured(*arguments):
    """The JSON line that a benchmark prints."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    line = done.stdout.splitlines()[-1]
    print(line)
    return json.loads(line)


@pytest.mark.benchmark
@pytest.mark.parametrize("system", SETTINGS)
def test_a_step_against_netket(system):
    assert measured("tests.benchmarks.peer", system)["ratio"] <= PEER


@pytest.mark.benchmark
@pytest.mark.parametrize("name", [*STEPS, *RATIOS])
def test_speed(name):
    found = measured("tests.benchmarks.speed", name)
    if name in RATIOS:
        assert found["ratio"] <= RATIOS[name]
    else:
        pieces = found["sampling_cpu_ms"], found["local_energy_cpu_ms"]
        assert 0 < max(pieces) < found["step_cpu_ms"]

"""`import nqs` is cheap and touches no device."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

RUNS = Path(__file__).parents[1] / "nqs" / "runs"
TIMED = """
import time
start = time.perf_counter()
import jax
middle = time.perf_counter()
import nqs
print(middle - start, time.perf_counter() - start)
"""


def seconds():
    """Of `import jax` and of `import jax, nqs` in a new process."""
    command = [sys.executable, "-c", TIMED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


def test_importing_nqs_costs_little_more_than_importing_jax():
    # the fastest of several processes, because others only slow them down
    times = [seconds() for _ in range(3)]
    jax_seconds, both_seconds = (min(column) for column in zip(*times, strict=True))
    assert both_seconds <= 1.3 * jax_seconds


def test_importing_nqs_touches_no_device_and_loads_no_heavy_package():
    code = """
import sys
import nqs, nqs.types, nqs.batching, nqs.statistics.estimates, hamiltonians, samplers
from jax._src import xla_bridge
assert not xla_bridge.backends_are_initialized()
heavy = {"flax", "folx", "tyro", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lazy_names_of_nqs_are_those_of_its_modules():
    import nqs
    import nqs.vmc

    assert nqs.VMC is nqs.vmc.VMC
    assert nqs.__version__ == version("nqs")
    for name in nqs.__all__:
        assert getattr(nqs, name) is not None
    assert callable(nqs.run) and callable(nqs.load)
    assert set(nqs.__all__) <= set(dir(nqs))


def test_the_lazy_names_of_runs_are_no_modules():
    """A module `nqs.runs.load` would hide the function, once it is imported."""
    import nqs.runs

    for name in nqs.runs.__all__:
        assert callable(getattr(nqs.runs, name))
        assert not (RUNS / f"{name}.py").exists()

"""CPU time of a step against NetKet, DeepQMC or quantax, alternating in one run.

    python -m tests.benchmarks.peer bosons_10
    python -m tests.benchmarks.peer beryllium
    python -m tests.benchmarks.peer real_time_20 quantax

makes an environment for the peer in `.venv-NAME` first. All processes have the same
single core and one thread; the medians of CPU time are compared.
"""

import json
import os
import subprocess
import sys
import venv

import numpy as np

from tests.tiny import ROOT

VERSIONS = {"netket": "3.23.*", "deepqmc": "1.3.*", "quantax": "0.4.*"}
ROUNDS = 15

# Settings of the peer to try, its default first: walkers at a time for particles (0 for
# all of them), chains for 1024 samples of a lattice, a solver in real time, an ansatz.
SETTINGS = {
    "bosons_10": (0, 16, 128),
    "ising_40": (16, 1024),
    "heisenberg_20": (16, 1024),
    "bose_hubbard_8": (16, 1024),
    "real_time_20": (1, 2),
    "beryllium": ("psiformer", "ferminet"),
}


def peer_of(system: str) -> str:
    """The library that has the system, unless another one is asked for."""
    return "deepqmc" if system == "beryllium" else "netket"


def environment(peer: str) -> str:
    """The Python of an environment with the peer."""
    folder = ROOT / f".venv-{peer}"
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        venv.create(folder, with_pip=True)
        package = f"{peer}=={VERSIONS[peer]}"
        install = [python, "-m", "pip", "install", "--quiet", package]
        subprocess.run(install, check=True)
        (folder / "installed").touch()
    return str(python)


def start(*command: str) -> subprocess.Popen:
    """A process on one core that takes a step for every line that it is given."""
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    core = min(os.sched_getaffinity(0))
    process = subprocess.Popen(
        ["taskset", "-c", str(core), *command],
        cwd=ROOT,
        env=os.environ | one_thread,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    while (line := process.stdout.readline()) != "ready\n":
        assert line, f"{command} ended before its first step"
    return process


def seconds(process: subprocess.Popen) -> float:
    """CPU seconds of the next step."""
    process.stdin.write("step\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main(system: str, peer: str | None = None) -> dict[str, float]:
    peer, settings = peer or peer_of(system), SETTINGS[system]
    python = environment(peer)
    script = str(ROOT / "tests" / "benchmarks" / f"{peer}_step.py")
    ways = {
        "ours": start(sys.executable, "-m", "tests.benchmarks.speed", "serve", system)
    }
    for setting in settings:
        ways[f"{peer}_{setting or 'all'}"] = start(python, script, system, str(setting))
    taken = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, process in ways.items():
            taken[name].append(seconds(process))
    for process in ways.values():
        process.stdin.close()
        process.wait()
    median = {name: float(np.median(t)) for name, t in taken.items()}
    best = min(time for name, time in median.items() if name != "ours")
    default = median[f"{peer}_{settings[0] or 'all'}"]
    return {
        "benchmark": f"peer_{system}",
        **{f"{name}_cpu_ms": 1e3 * time for name, time in median.items()},
        "ratio": median["ours"] / default,
        "ratio_to_best": median["ours"] / best,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))

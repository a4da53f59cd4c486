"""CPU time and memory of a training step against particles, walkers and devices.

    python -m tests.benchmarks.scaling              # every series, about an hour
    python -m tests.benchmarks.scaling gas walkers  # some of them
    python -m tests.benchmarks.scaling --figure     # docs/figures/scaling.png

Every point is measured in a process of its own, on as many cores as it has devices. The
rows of the same series in `experiments/results/speed_scaling.jsonl` are replaced.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.results.tables import FOLDER, load

TABLE = "speed_scaling"
FIGURE = FOLDER.parents[1] / "docs" / "figures" / "scaling.png"
STEPS = 5
COLUMNS = {
    "system": "{system}",
    "particles or sites": "{n}",
    "walkers": "{walkers}",
    "cores": "{devices}",
    "parameters": "{parameters}",
    "CPU s a step": "{cpu_s}",
    "compile, s": "{compile_s}",
    "peak, MB": "{peak_mb}",
    "commit": "{commit}",
}

DOT = "quantum dot"
GAS = "electron gas"
SQUARE = "Ising square"
SERIES: dict[str, list[dict[str, Any]]] = {
    "dots": [
        {"system": DOT, "n": n, "walkers": 64} for n in (2, 6, 12, 20, 30, 42, 56)
    ],
    "gas": [{"system": GAS, "n": n, "walkers": 64} for n in (14, 38, 54, 66, 114)],
    "lattices": [
        {"system": SQUARE, "n": n**2, "walkers": 1024} for n in (4, 6, 8, 10, 14, 20)
    ],
    "walkers": [
        {"system": DOT, "n": 6, "walkers": w} for w in (64, 128, 256, 512, 1024, 2048)
    ],
    "devices": [{"system": GAS, "n": 14, "walkers": 256, "devices": k} for k in (1, 2)],
}


def measured(system: str, n: int, walkers: int, devices: int = 1) -> dict[str, Any]:
    """Times and memory of a point, in this process."""
    import jax

    from experiments.command_line.notation import Part
    from experiments.electron_gas import ElectronGasOptions
    from experiments.ising import IsingOptions
    from experiments.quantum_dot import QuantumDotOptions
    from nqs.runs.compilation import optimized
    from nqs.runs.devices import configure, placed, shardings, walker_mesh
    from tests.benchmarks.systems import started

    cores = sorted(os.sched_getaffinity(0))[:devices]
    os.sched_setaffinity(0, cores)
    configure()
    experiment = {
        DOT: lambda: QuantumDotOptions(n=n),
        GAS: lambda: ElectronGasOptions(
            n_up=n // 2,
            n_down=n // 2,
            ansatz=Part("backflow", (("pair_width", 0),)),
        ),
        SQUARE: lambda: IsingOptions(
            lattice="square", length=(round(n**0.5),), ansatz=Part("rbm")
        ),
    }[system]().experiment()
    vmc, state = started(experiment, n_walkers=walkers)
    state = placed(state, shardings(state, walker_mesh(walkers), walkers))
    start = time.monotonic()
    step = jax.jit(vmc.step, donate_argnums=1)
    step = optimized(step.lower(jax.random.key(0), state))
    compiling = time.monotonic() - start
    cpu, wall = [], []
    for i in range(STEPS + 1):  # the first one is not counted
        started_at = time.process_time(), time.monotonic()
        state, info = step(jax.random.key(i), state)
        assert np.isfinite(jax.device_get(info["energy"]))
        cpu.append(time.process_time() - started_at[0])
        wall.append(time.monotonic() - started_at[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "system": system,
        "n": n,
        "walkers": walkers,
        "devices": devices,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        "compile_s": round(compiling, 1),
        "cpu_s": float(f"{np.median(cpu[1:]):.4g}"),
        "wall_s": float(f"{np.median(wall[1:]):.4g}"),
        "peak_mb": round(peak / 1024),
    }


def rows(series: str, commit: str) -> list[dict[str, Any]]:
    """The points of a series, each from a process of its own."""
    found = []
    for point in SERIES[series]:
        command = [sys.executable, "-m", "tests.benchmarks.scaling", json.dumps(point)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        row = {"series": series, **json.loads(done.stdout), "commit": commit}
        row["columns"] = COLUMNS
        print(done.stdout, end="", flush=True)
        found.append(row)
    return found


def exponent(rows: list[dict[str, Any]], of: str, name: str = "cpu_s") -> float:
    """Slope of log(time) against log(size) over the upper half of a series."""
    upper = rows[len(rows) // 2 :]
    sizes, times = ([row[key] for row in upper] for key in (of, name))
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


def draw(path: Path = FIGURE) -> None:
    """Log-log figure of the rows."""
    import matplotlib.pyplot as plt

    found = load(TABLE)
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    labels = {"dots": DOT, "gas": GAS, "lattices": SQUARE}
    for series, label in labels.items():
        own = [row for row in found if row["series"] == series]
        milliseconds = [1e3 * row["cpu_s"] / row["walkers"] for row in own]
        power = f"{label}, $N^{{{exponent(own, 'n'):.1f}}}$"
        axes[0].loglog([row["n"] for row in own], milliseconds, "o-", label=power)
    axes[0].set(xlabel="particles or sites N", ylabel="CPU ms per walker and step")
    own = [row for row in found if row["series"] == "walkers"]
    label = f"{DOT}, N = 6, $w^{{{exponent(own, 'walkers'):.1f}}}$"
    sizes = [row["walkers"] for row in own]
    axes[1].loglog(sizes, [1e3 * row["cpu_s"] for row in own], "o-", label=label)
    axes[1].set(xlabel="walkers w", ylabel="CPU ms per step")
    for panel in axes:
        panel.legend()
        panel.grid(alpha=0.3)
    figure.savefig(path, dpi=80)


def main(arguments: list[str]) -> None:
    if arguments == ["--figure"]:
        draw()
        return
    if arguments and arguments[0].startswith("{"):
        print(json.dumps(measured(**json.loads(arguments[0]))))
        return
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout.strip()
    path = FOLDER / f"{TABLE}.jsonl"
    for series in arguments or SERIES:
        new = rows(series, commit)
        old = load(TABLE) if path.exists() else []
        kept = [row for row in old if row["series"] != series]
        text = "".join(json.dumps(row) + "\n" for row in kept + new)
        path.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])

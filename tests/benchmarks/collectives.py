"""Collectives of one training step: kinds, counts and bytes, from compiled programs.

    python -m tests.benchmarks.collectives electron_gas --rs 1 --n-walkers 64

prints one JSON line for each number of devices.
"""

import dataclasses
import json
import math
import re
import sys
from collections import Counter

import jax
import tyro

from experiments.command_line.main import options_of
from nqs.runs import Experiment
from nqs.runs.devices import placed, shardings, walker_mesh
from nqs.runs.programs import NEEDED, build
from nqs.runs.start import first_state

KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
BITS = {"pred": 8, "s8": 8, "u8": 8, "s32": 32, "u32": 32, "f32": 32, "s64": 64,
        "u64": 64, "f64": 64, "c64": 64, "c128": 128}  # fmt: skip


def collectives(text: str) -> list[tuple[str, str, int]]:
    """Kind, shapes and bytes of the result of every collective of a program's HLO."""
    found = []
    for line in text.splitlines():
        match = re.search(rf"= (.+?) ({KINDS})(?:-start)?\(", line)
        if match:
            shapes = re.findall(r"(\w+)\[([\d,]*)\]", match[1])
            sizes = (
                BITS[kind] // 8 * math.prod(map(int, filter(None, dims.split(","))))
                for kind, dims in shapes
            )
            found.append((match[2], match[1].split("{")[0], sum(sizes)))
    return found


def of_step(experiment: Experiment, n_devices: int) -> dict[str, list]:
    """Collectives of the programs of a training step, by their name."""
    experiment = dataclasses.replace(experiment, observables=(), burn_in=0)
    mesh = walker_mesh(experiment.n_walkers, jax.devices()[:n_devices])
    assert mesh.size == n_devices
    key = jax.random.key(0)
    state = first_state(experiment, {"walkers": key, "parameters": key})
    state = placed(state, shardings(state, mesh, experiment.n_walkers))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    built = build(experiment, mesh, placed(key, everywhere), state)
    programs = built.wait(["train"])
    return {name: collectives(programs[name].as_text()) for name in NEEDED["train"]}


def main() -> None:
    """Print one line for each number of devices."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_num_cpu_devices", 8)
    name, *arguments = sys.argv[1:]
    options = tyro.cli(options_of(name), args=arguments)
    for n_devices in (1, 2, 4, 8):
        row = {"devices": n_devices}
        for program, found in of_step(options.experiment(), n_devices).items():
            count, size = Counter(), Counter()
            for kind, _, n_bytes in found:
                count[kind] += 1
                size[kind] += n_bytes
            row[program] = {kind: [count[kind], size[kind]] for kind in count}
            row[f"{program}: largest"] = sorted(found, key=lambda f: -f[2])[:4]
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()

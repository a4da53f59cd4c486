"""Agreement with the CPU, times and one training on an accelerator, as JSON lines.

    make gpu               # at most eight minutes on one GPU
    make gpu DEVICE=cpu    # the same with small sizes

Each line is printed and appended to `gpu.jsonl`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from experiments.command_line.notation import Part
from experiments.electron_gas import ElectronGasOptions
from nqs import configure, run
from nqs.gradient import energy_gradient
from nqs.runs.compilation import optimized
from nqs.runs.experiment import Experiment
from nqs.types import sum_of_terms
from nqs.vmc import local_terms
from tests.benchmarks.systems import SYSTEMS, started

BUDGET = 480.0  # seconds of everything
REFERENCE = 0.52989  # (4), hartree per electron, of 54 electrons at rs = 1
TOLERANCE = 1e-10  # of energies and gradients, relative to their size

TIMED = {
    "W1": "ising_40",
    "W2": "heisenberg_20",
    "W3": "bosons_10",
    "W4": "electron_gas_14",
    "W5, 6": "electrons_6",
    "W5, 20": "electrons_20",
    "W7": "feed_forward_20000",
    "W8": "neutrons_14_pairing",
}
COMPARED = {name: SYSTEMS[name] for name in SYSTEMS if not name.endswith("metropolis")}
COMPARED |= {
    "twisted_gas_2": ElectronGasOptions(n_up=1, n_down=1, twist=(0.1, 0.2, 0.3))
    .experiment()
}  # fmt: skip


class Lines:
    """JSON lines with the device and the commit."""

    def __init__(self, device: str, path: Path):
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent, capture_output=True, text=True,
        )  # fmt: skip
        self.common = {"device": device, "commit": commit.stdout.strip() or None}
        self.path = path

    def write(self, **line) -> None:
        """Print a line and append it to the file."""
        text = json.dumps(line | self.common)
        print(text, flush=True)
        with self.path.open("a") as file:
            print(text, file=file)


def measured(experiment: Experiment, device) -> tuple[float, np.ndarray]:
    """Mean local energy and flat energy gradient of fixed walkers on a device."""
    cpu = jax.devices("cpu")[0]
    with jax.default_device(cpu):
        vmc, state = started(experiment, n_walkers=32)
        point = state.params, state.sampler.walkers
    params, walkers = jax.device_put(jax.device_get(point), device)

    @jax.jit
    def of(params, walkers):
        terms = local_terms(vmc.ansatz, vmc.hamiltonian, params, walkers)
        energies = sum_of_terms(terms)
        gradient = energy_gradient(vmc.ansatz, params, walkers, energies)
        return jnp.mean(energies), ravel_pytree(gradient)[0]

    energy, gradient = jax.device_get(of(params, walkers))
    return energy, gradient


def compare(name: str, experiment: Experiment, device, lines: Lines) -> bool:
    """Energy and gradient of a system on the device against those on the CPU."""
    energy, gradient = measured(experiment, jax.devices("cpu")[0])
    there, slope = measured(experiment, device)
    scale = np.max(np.abs(gradient))
    apart = abs(there - energy) / abs(energy), np.max(np.abs(slope - gradient)) / scale
    lines.write(
        check="agreement", system=name, energy=float(np.real(energy)),
        relative_difference=float(apart[0]), of_gradient=float(apart[1]),
        holds=bool(max(apart) < TOLERANCE),
    )  # fmt: skip
    return max(apart) < TOLERANCE


def time_step(label: str, name: str, lines: Lines, small: bool, precision: str) -> None:
    """Wall time of a training step, compiled as one program."""
    configure(precision)
    changes = {"n_walkers": 16} if small else {}
    vmc, state = started(SYSTEMS[name], **changes)
    began = time.monotonic()
    step = jax.jit(vmc.step, donate_argnums=1)
    advance = optimized(step.lower(jax.random.key(0), state))
    compiling, taken = time.monotonic() - began, []
    for i in range(2 if small else 12):
        began = time.monotonic()
        state, _ = jax.block_until_ready(advance(jax.random.key(i), state))
        taken.append(time.monotonic() - began)
    lines.write(
        check="step", work=label, system=name, precision=precision,
        walkers=jax.tree.leaves(state.sampler.walkers)[0].shape[0],
        compile_s=compiling, step_ms=1e3 * float(np.median(taken[1:])),
    )  # fmt: skip


def train(lines: Lines, small: bool, seconds: float) -> None:
    """The gas of 54 electrons at rs = 1 from its defaults, for so many seconds."""
    closed = 1 if small else 27
    settings: dict[str, Any] = {"n_up": closed, "n_down": closed, "rs": (1.0,)}
    if small:
        settings |= {"n_walkers": 16, "burn_in": 2, "ansatz": Part("slater_jastrow")}

    def result_of(iterations, evaluation_steps):
        lengths = {"iterations": iterations, "evaluation_steps": evaluation_steps}
        return run(ElectronGasOptions(**settings, **lengths).experiment())

    if small:
        result = result_of(3, 3)
    else:
        trial = result_of(20, 20)
        steps = max(50, round(0.7 * seconds / trial["seconds_per_step"]))
        result = result_of(min(steps, 4000), max(100, steps // 4))
    error = result["energy_per_particle_error"]
    lines.write(
        check="training", system=f"electron_gas_{2 * closed}", reference=REFERENCE,
        energy_per_electron=result["energy_per_particle"], error=error,
        iterations=result["config"]["iterations"], seed=0,
        train_s=result["train_seconds"], peak_mb=result["peak_memory_mb"],
    )  # fmt: skip


def main(kind: str, directory: Path) -> int:
    """Everything on a kind of device; the exit status is 1 if a number differs."""
    started_at = time.monotonic()
    configure()
    jax.config.update("jax_num_cpu_devices", 1)
    small = kind == "cpu"
    try:
        device = jax.devices(kind)[0]
    except RuntimeError:
        found = ", ".join(sorted({d.platform for d in jax.devices()}))
        print(f"no {kind} in this machine, only {found}; nothing was measured")
        return 0
    directory.mkdir(parents=True, exist_ok=True)
    lines = Lines(device.device_kind, directory / "gpu.jsonl")
    systems = ["bosons_10"] if small else [*COMPARED]
    agree = [compare(name, COMPARED[name], device, lines) for name in systems]
    for label, name in TIMED.items():
        if name in systems or not small:
            for precision in ("float64", "float32"):
                time_step(label, name, lines, small, precision)
    configure()
    left = BUDGET - (time.monotonic() - started_at)
    train(lines, small, max(60.0, left - 60))
    lines.write(check="everything", seconds=time.monotonic() - started_at)
    return 0 if all(agree) else 1


if __name__ == "__main__":
    place = Path(os.environ.get("OUT", "runs")) / "gpu"
    raise SystemExit(main(sys.argv[1], place))

"""Runs that compile in a second, and a process that kills itself at a given moment.

    python -m tests.tiny '{"directory": "runs/a", "optimizer": "sgd"}' 9 000000005 7

kills itself (signal 9) at the 7th time that it touches a file named 000000005; with
`FULL_DISK` for a signal, no file can grow from then on.
"""

import dataclasses
import json
import multiprocessing
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from nqs.files.directory import RunError
from nqs.observables import MeanSquareRadius, RadialDensity
from nqs.optimizers import METHODS, SR, FirstOrder, MinSR, Spring
from nqs.runs import Experiment, run
from nqs.statistics import stack, summary
from nqs.types import Function, Hamiltonian, LogPsi, Reference
from samplers import Gibbs, Langevin, Metropolis

ROOT = Path(__file__).parents[1]
SAMPLERS = {
    "metropolis": Metropolis(sweeps=1),
    "langevin": Langevin(sweeps=1),
    "gibbs": Gibbs(sweeps=1),
}
OPTIMIZERS = {method: FirstOrder(method, 0.1) for method in METHODS}
OPTIMIZERS |= {"sr": SR(), "minsr": MinSR(), "spring": Spring()}
FULL_DISK = 0
LOADED_LATER = ["matplotlib.figure", "hamiltonians", "nqs.ansatze"]
# The audit events of Python for everything that changes a file.
TOUCHES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")


@dataclasses.dataclass(frozen=True)
class Well(Hamiltonian):
    """Particles on a line in omega^2 x^2 / 2, for psi = exp(-a x^2 / 2) alone."""

    n: int = 1
    omega: float = 1.0
    energy_unit = "hartree"
    length_unit = "bohr"

    @property
    def length_scale(self):
        return self.omega**-0.5

    def terms(self, ansatz, params, x):
        square, a = jnp.sum(x**2), params["a"].astype(x.dtype)
        kinetic = (self.n * a - a**2 * square) / 2
        return {"kinetic": kinetic, "trap": self.omega**2 * square / 2}

    def initial_walkers(self, key, n_walkers):
        return self.length_scale * jax.random.normal(key, (n_walkers, self.n, 1))

    def references(self):
        return (Reference(self.n * self.omega / 2, 0.0, "exact", "textbook"),)


def gaussian(params, x):
    return LogPsi(jnp.ones((), x.dtype), -params["a"] * jnp.sum(x**2) / 2)


def narrow(key, x):
    """Parameters away from the ground state of `Well()`."""
    return {"a": jnp.asarray(0.7, x.dtype)}


def exact(key, x):
    return {"a": jnp.ones((), x.dtype)}


@dataclasses.dataclass(frozen=True)
class Layered:
    """The Gaussian with an idle hidden layer, from which Gibbs can draw |psi|^2."""

    def init(self, key, x, /):
        return narrow(key, x)

    def apply(self, params, x, /):
        return gaussian(params, x)

    def sample_hidden(self, params, key, x):
        return jnp.zeros((), x.dtype)

    def sample_visible(self, params, key, hidden):
        x = jax.random.normal(key, (1, 1), hidden.dtype)
        return x / jnp.sqrt(2 * params["a"])


class StillState(NamedTuple):
    walkers: jax.Array


@dataclasses.dataclass(frozen=True)
class Still:
    """A sampler that moves no walker and compiles quickly."""

    sweeps: int = 1
    requires: ClassVar[None] = None

    def init(self, walkers, /):
        return StillState(walkers)

    def step(self, key, ansatz, params, state, /):
        return state, {"acceptance": jnp.ones(())}

    def adapt(self, state, info, /):
        return state


def evaluate(evaluation, params, state, key, steps):
    """The `summary` of that many steps with frozen parameters."""
    step, measured = jax.jit(evaluation.step), []
    for i in range(steps):
        state, values = step(jax.random.fold_in(key, i), params, state)
        measured.append(jax.device_get(values))
    return summary(stack(measured), evaluation.hamiltonian.derived)


def experiment(**changes):
    """A run of a few steps of a Gaussian in a well."""
    settings = dict(
        name="tiny",
        ansatz=Function(gaussian, narrow),
        hamiltonian=Well(),
        sampler=SAMPLERS["metropolis"],
        optimizer=FirstOrder("sgd", 0.1),
        observables=(MeanSquareRadius(), RadialDensity(4.0, 10)),
        iterations=5,
        burn_in=3,
        n_walkers=16,
        evaluation_steps=4,
        single_sampling=False,  # which compiles faster
    )
    return Experiment(**settings | changes)


def machine(sampler="metropolis", optimizer="adam", real=False, **changes):
    """The same with any sampler and optimizer; `real` is a Boltzmann machine."""
    parts = {"ansatz": Layered(), "hamiltonian": Well()}
    if real:
        from hamiltonians import HarmonicTrap
        from nqs.ansatze import GaussianBinaryRBM

        parts = {"ansatz": GaussianBinaryRBM(2), "hamiltonian": HarmonicTrap(1, 1)}
    return experiment(
        **parts,
        sampler=SAMPLERS[sampler],
        optimizer=OPTIMIZERS[optimizer],
        averaging=0.5,
        **changes,
    )


def process(settings, *death, **popen):
    """A process that runs `machine(**settings)`, killed as described above."""
    command = [sys.executable, "-m", "tests.tiny", json.dumps(settings)]
    return subprocess.Popen(
        [*command, *map(str, death)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **popen,
    )


def die_at(number, name, count):
    """Send a signal to this process when it touches a file for the count-th time."""
    left = count

    def hook(event, arguments):
        nonlocal left
        if event in TOUCHES and name in str(arguments):
            left -= 1
            if left == 0 and number == FULL_DISK:
                resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
            elif left == 0:
                os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def forked(settings, number, name, count):
    """The exit code of such a process, forked from one with all modules imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*LOADED_LATER, "tests.tiny"])
    child = context.Process(target=live, args=(settings, number, name, count))
    child.start()
    child.join(timeout=300)
    return child.exitcode


def live(settings, *death):
    """Run `machine(**settings)` in this process, killed as described above."""
    jax.config.update("jax_num_cpu_devices", 4)  # as conftest.py has it
    jax.devices()  # so that `configure` does not change them
    if death:
        die_at(*death)
    try:
        run(machine(**settings))
    except RunError as error:  # as on the command line
        raise SystemExit(f"error: {error}") from None


def main():
    settings, *death = sys.argv[1:]
    if death:
        number, name, count = death
        death = [int(number), name, int(count)]
    live(json.loads(settings), *death)


if __name__ == "__main__":
    main()

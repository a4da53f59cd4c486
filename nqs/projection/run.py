"""Projecting the psi of a run: a stage for every population and time step.

The random numbers of a block of steps depend on the seed and on the number of the
block, so that a resumed projection is the same bit for bit.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import NamedSharding, PartitionSpec

from nqs.batching import chunked_map
from nqs.checks import name_of
from nqs.files import checkpoint
from nqs.files.directory import RunError, alone, write_json
from nqs.files.metrics import Metrics
from nqs.projection.continuous import Projection
from nqs.projection.lattice import LatticeProjection
from nqs.projection.population import ProjectionState
from nqs.projection.result import finish_projection
from nqs.projection.settings import BLOCK, STEPS, ProjectionSettings
from nqs.ratios.rows import MatrixRows
from nqs.runs.compilation import keep_programs, once, optimized
from nqs.runs.devices import one_blas_thread, placed, shardings, walker_mesh
from nqs.runs.experiment import Experiment
from nqs.runs.interrupts import refusals, signals, warn
from nqs.runs.loading import saved_run
from nqs.runs.numbered import Checkpoints, opened
from nqs.runs.progress import Progress
from nqs.types import is_scalar


def project(
    directory: Path, settings: ProjectionSettings, resume: bool = False
) -> dict[str, Any]:
    """Project the psi of a run, into `projections/NUMBER/` of its directory.

    Args:
      directory: of the run.
      settings: of the projection.
      resume: continue the last projection, with its own settings or with more steps.

    Returns:
      The content of its `result.json`.

    Raises:
      RunError: if the run is not trained, or the projection cannot start or continue.
      ValueError: if the system or its psi cannot be projected.
    """
    keep_programs()
    experiment, found = saved_run(directory, {})
    trained, iterations = found["done"]["train"], experiment.iterations
    if iterations and not trained:
        raise RunError(f"{directory} must hold trained parameters, got those of step 0")
    if trained < iterations:
        warn(f"training had come to step {trained} of {iterations}")
    driver = driver_of(experiment)
    params, walkers = found["vmc"].average, found["sampler"].walkers
    jax.eval_shape(driver.init, params, walkers)  # refuses a complex psi
    if isinstance(driver, Projection):
        driver.check(params, walkers, once)
    if not resume:
        settings = completed(settings, time_steps(driver))
    target, settings = opened(directory / "projections", settings, resume)
    print(f"projection in {target}", flush=True)
    with refusals(target), alone(target), one_blas_thread(), signals() as stop:
        write_json(target / "config.json", dataclasses.asdict(settings))
        walk = Walk(experiment, driver, settings, target, stop, (params, walkers))
        walk.all_stages(resume)
        columns = walk.metrics.columns()
        return finish_projection(experiment, settings, target, columns)


def time_steps(driver: Projection | LatticeProjection) -> tuple[float, ...]:
    """The default; the energy of a lattice does not depend on it."""
    if isinstance(driver, LatticeProjection):
        return (0.1,)
    in_mev = driver.hamiltonian.energy_unit == "MeV"
    return (0.002, 0.001) if in_mev else (0.01, 0.005)


def completed(
    settings: ProjectionSettings, time_step: tuple[float, ...]
) -> ProjectionSettings:
    """Settings with the default time step and number of steps, if there is none."""
    return dataclasses.replace(
        settings,
        time_step=settings.time_step or time_step,
        steps=settings.steps or STEPS,
    )


def driver_of(experiment: Experiment) -> Projection | LatticeProjection:
    """The projection that the Hamiltonian of a run allows.

    Raises:
      ValueError: if there is none.
    """
    ansatz, hamiltonian = experiment.ansatz, experiment.hamiltonian
    if isinstance(hamiltonian, MatrixRows):
        return LatticeProjection(ansatz, hamiltonian, chunk_size=experiment.chunk_size)
    if hamiltonian.diffusion is None:
        raise ValueError(
            "hamiltonian must be that of particles in a potential, with a diffusion, "
            "or of a lattice, with connected, for a projection, got "
            f"{name_of(hamiltonian)}"
        )
    return Projection(ansatz, hamiltonian, chunk_size=experiment.chunk_size)


@dataclasses.dataclass
class Walk:
    """The stages of a projection, with metrics, checkpoints and signals."""

    experiment: Experiment
    driver: Projection | LatticeProjection
    settings: ProjectionSettings
    directory: Path
    stop: list[int]  # signals received
    origin: tuple[Any, Any]  # parameters and walkers of the run

    def __post_init__(self):
        self.metrics = Metrics(self.directory / "metrics.jsonl")
        about = self.directory, self.experiment, self.settings
        self.checkpoints = Checkpoints(*about, self.stop, "project")
        self.key = jax.random.key(self.settings.seed)
        self.programs: dict[int, Callable] = {}  # of a block, by population

    def all_stages(self, resume: bool) -> None:
        """Carry out all stages, from the last checkpoint on."""
        done, state = self.restored() if resume else (0, None)
        blocks = self.settings.blocks
        with self.metrics.open(done, warn):
            for number, stage in enumerate(self.settings.stages):
                first = max(0, done - number * blocks)
                if first < blocks:
                    self.stage(number, *stage, first, state if first else None)

    def stage(
        self, number: int, n_walkers: int, time_step: float, first: int, state: Any
    ) -> None:
        """The blocks of one stage from `first` on; `state` None is its beginning."""
        state = self.beginning(n_walkers, time_step) if state is None else state
        state = self.on_devices(state)
        program = self.programs[n_walkers]
        unit, blocks = self.experiment.hamiltonian.energy_unit, self.settings.blocks
        progress = Progress(unit, n_walkers)
        row = {"n_walkers": n_walkers, "time_step": time_step}
        energies = self.energies(row)
        name, steps = f"{n_walkers} walkers, tau {time_step:g}", BLOCK * blocks
        with progress.phase(name, BLOCK * first, steps):
            for block in range(first, blocks):
                done = number * blocks + block + 1
                following, info = program(self.key, np.asarray(done), state)
                info = jax.device_get(info)
                self.checkpoints.refuse_broken(info, f"in block {done}")
                state = following
                burn_in = block < self.settings.burn_in // BLOCK
                self.metrics.append(done, row | {"burn_in": burn_in} | info)
                if not burn_in:
                    energies.append(info["energy"])
                progress.update(BLOCK * (block + 1), info, energies)
                where, last = f"after block {done}", block + 1 == blocks
                self.checkpoints.after(done, {"state": state}, where, last)

    def energies(self, row: dict[str, Any]) -> list[float]:
        """Energies of the blocks of a stage so far, without those of the burn-in."""
        kind = row | {"burn_in": False}
        lines = self.metrics.rows()
        return [line["energy"] for line in lines if kind.items() <= line.items()]

    def beginning(self, n_walkers: int, time_step: float) -> ProjectionState:
        """The first state of a stage, with walkers of the run."""
        params, walkers = self.origin
        walkers = walkers[np.arange(n_walkers) % len(walkers)]
        state = once(self.driver.init, params, walkers)
        tau = np.asarray(time_step, state.time_step.dtype)
        return state._replace(time_step=tau)

    def on_devices(self, state: ProjectionState) -> ProjectionState:
        """The state on the devices, for which a block is compiled if need be."""
        n_walkers = len(state.walkers)
        mesh = walker_mesh(n_walkers)
        everywhere = NamedSharding(mesh, PartitionSpec())
        where = shardings(state, mesh, n_walkers)
        where = where._replace(params=jax.tree.map(lambda _: everywhere, state.params))
        self.key, state = jax.device_put(self.key, everywhere), placed(state, where)
        if n_walkers not in self.programs:
            out = where, everywhere
            jitted = jax.jit(self.block, out_shardings=out, donate_argnums=2)
            lowered = jitted.lower(self.key, np.asarray(0), state)
            self.programs[n_walkers] = optimized(lowered)
        return state

    def block(
        self, key: Array, number: Array, state: ProjectionState
    ) -> tuple[ProjectionState, dict[str, Array]]:
        """Ten steps, means of their info, and scalar observables after the last one."""
        key = jax.random.fold_in(key, number)

        def step(state, i):
            return self.driver.step(jax.random.fold_in(key, i), state)

        state, info = jax.lax.scan(step, state, jnp.arange(BLOCK))
        broken = jnp.sum(info.pop("non_finite"))
        info = jax.tree.map(lambda values: jnp.mean(values, axis=0), info)
        return state, info | self.observed(state) | {"non_finite": broken}

    def observed(self, state: ProjectionState) -> dict[str, Array]:
        """Mixed means of the scalar observables of the run."""
        driver, found = self.driver, {}
        for observable in self.experiment.observables:
            if is_scalar(observable):
                values = chunked_map(
                    lambda x, f=observable: f(driver.ansatz, state.params, x),
                    state.walkers,
                    driver.chunk_size,
                )
                found[observable.name] = jnp.mean(state.weights * jnp.real(values))
        return found

    def restored(self) -> tuple[int, ProjectionState | None]:
        """Blocks done and state of the last checkpoint; without any, the beginning."""
        like = jax.eval_shape(self.driver.init, *self.origin)
        like = jax.tree.map(lambda _: checkpoint.ANY_SHAPE, like)
        found = self.checkpoints.last({"state": like})
        if found is None:
            return 0, None
        done, state = found[0], found[1]["state"]
        # the run may have been trained further since
        self.origin = state.params, self.origin[1]
        return done, state

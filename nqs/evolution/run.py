"""Evolving the psi of a run in real time: intervals, each followed by measurements.

The random numbers of a step depend on the seed and on the number of the step, so that
a resumed evolution is the same bit for bit.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nqs.ansatze.powers import power
from nqs.evolution.driver import Evolution, EvolutionState
from nqs.evolution.drives import Drive, Ramp
from nqs.evolution.programs import evolution_programs
from nqs.evolution.result import finish_evolution, record
from nqs.evolution.settings import EvolutionSettings, assignments
from nqs.evolution.start import complex_psi, first_walkers, quenched
from nqs.files.directory import RunError, alone
from nqs.files.metrics import Metrics
from nqs.observables import Dipole, Observable
from nqs.optimizers.real_time import RealTime
from nqs.runs.compilation import keep_programs, once
from nqs.runs.devices import one_blas_thread
from nqs.runs.experiment import Experiment
from nqs.runs.interrupts import refusals, signals, warn
from nqs.runs.loading import saved_run
from nqs.runs.numbered import Checkpoints, opened
from nqs.runs.progress import Progress
from nqs.statistics import Measurements

SHORTEST = 1e-6  # of the evolution: steps this short never come to its end


def evolve(
    directory: Path,
    settings: EvolutionSettings,
    resume: bool = False,
    drive: Drive | None = None,
) -> dict[str, Any]:
    """Evolve the psi of a run in real time, into `evolutions/NUMBER/` of its directory.

    Args:
      directory: of the run.
      settings: of the evolution.
      resume: continue the last evolution, with its own settings.
      drive: factors of the terms as a function of time, see `nqs.Evolution`; on
        resume, the same function. None for those of `settings.ramp`.

    Returns:
      The content of its `result.json`.

    Raises:
      RunError: if the run is not trained, or the evolution cannot start or continue.
      ValueError: if the system or its psi cannot evolve with these settings.
    """
    keep_programs()
    experiment, found = saved_run(Path(directory), {})
    if experiment.iterations and not found["done"]["train"]:
        raise RunError(f"{directory} must hold trained parameters, got those of step 0")
    folder = Path(directory) / "evolutions"
    if not resume:  # a refusal leaves no directory
        beginning(experiment, found, settings, drive)
    target, settings = opened(folder, settings, resume)
    driver, first = beginning(experiment, found, settings, drive)
    print(f"evolution in {target}", flush=True)
    with refusals(target), alone(target), one_blas_thread(), signals() as stop:
        start = once(driver.init, *first)
        course = Course(experiment, driver, settings, target, stop, start)
        course.all_intervals(resume)
        logs = course.metrics.columns(), course.outputs.rows()
        return finish_evolution(experiment, settings, target, *logs, sizes(start))


def sizes(state: EvolutionState) -> dict[str, int]:
    """Numbers of real parameters and of walkers."""
    leaves = jax.tree.leaves(state.params)
    w = jax.tree.leaves(state.sampler.walkers)[0].shape[0]
    return {"n_parameters": sum(leaf.size for leaf in leaves), "n_walkers": w}


def beginning(
    experiment: Experiment,
    found: dict[str, Any],
    settings: EvolutionSettings,
    drive: Drive | None,
) -> tuple[Evolution, tuple[Any, ...]]:
    """The driver, and the arguments of its `init`; a ValueError if it is refused."""
    params, walkers = found["vmc"].average, found["sampler"].walkers
    walkers = first_walkers(walkers, settings.n_walkers)
    ansatz, params = complex_psi(experiment.ansatz, params, walkers, settings.shift)
    driver = driver_of(experiment, ansatz, settings, drive)
    first = params, walkers, settings.time_step, settings.time / settings.outputs
    jax.eval_shape(driver.init, *first)
    jax.eval_shape(driver.terms, 0.0, params, walkers)
    return driver, first


def driver_of(
    experiment: Experiment,
    ansatz: Any,
    settings: EvolutionSettings,
    drive: Drive | None = None,
) -> Evolution:
    """The driver, with the sampler of the run."""
    sampler: Any = experiment.sampler
    if settings.sweeps is not None:
        sampler = dataclasses.replace(sampler, sweeps=settings.sweeps)
    if drive is None and settings.ramp:
        factors = tuple(assignments("ramp", settings.ramp).items())
        drive = Ramp(factors, settings.ramp_time)
    return Evolution(
        ansatz,
        quenched(experiment.hamiltonian, settings),
        sampler,
        RealTime(settings.cut, settings.noise_cut),
        drive,
        settings.tolerance,
        experiment.chunk_size,
        None if settings.power == 2 else power(ansatz, settings.power / 2),
    )


def measured_with(
    observables: tuple[Observable, ...], shift: tuple[float, ...]
) -> tuple[Observable, ...]:
    """The observables of the run, and the sums of positions of shifted particles."""
    names = {observable.name for observable in observables}
    dipoles = [Dipole(axis) for axis in range(len(shift))]
    return (*observables, *(one for one in dipoles if one.name not in names))


@dataclasses.dataclass
class Course:
    """The intervals of an evolution, with metrics, checkpoints and signals."""

    experiment: Experiment
    driver: Evolution
    settings: EvolutionSettings
    directory: Path
    stop: list[int]  # signals received
    start: EvolutionState

    def __post_init__(self):
        self.metrics = Metrics(self.directory / "metrics.jsonl")
        self.outputs = Metrics(self.directory / "outputs.jsonl")
        about = self.directory, self.experiment, self.settings
        self.checkpoints = Checkpoints(*about, self.stop, "evolve")
        self.times = np.linspace(0, self.settings.time, self.settings.outputs + 1)

    def all_intervals(self, resume: bool) -> None:
        """Evolve and measure, from the last checkpoint on."""
        measured, restored = self.restored() if resume else (0, None)
        observables = measured_with(self.experiment.observables, self.settings.shift)
        of_run = self.driver, observables, self.settings
        state, programs = evolution_programs(*of_run, restored or self.start)
        n_walkers = jax.tree.leaves(state.sampler.walkers)[0].shape[0]
        progress = Progress(self.experiment.hamiltonian.energy_unit, n_walkers)
        count = len(self.times)
        with (
            self.metrics.open(int(state.step), warn),
            self.outputs.open(measured, warn),
            progress.phase("interval", measured, count),
        ):
            state = state if restored else programs.relax(state)
            for number in range(measured, count):
                state = programs.until(state, self.times[number])
                while float(state.time) < float(state.until):
                    state, info = programs.step(state)
                    self.refuse_broken(info)
                    self.metrics.append(int(state.step), info)
                    progress.update(number, info)
                    self.after_step(state, number)
                state, samples = programs.measure(state, number)
                self.append(number, state, samples)
                self.after_step(state, number + 1, last=number + 1 == count)

    def append(self, number: int, state: EvolutionState, samples: Measurements) -> None:
        """Write the measurements of one time, terms multiplied by their factors."""
        factors = self.driver.factors(state.time, samples.terms)
        terms = {name: samples.terms[name] * float(factor) for name, factor in factors}
        line = record(float(state.time), samples._replace(terms=terms))
        self.outputs.append(number + 1, line)

    def refuse_broken(self, info: dict[str, Any]) -> None:
        """Raise RunError if numbers are not finite, or a step is too short."""
        self.checkpoints.refuse_broken(info, f"at time {info['time']:g}")
        longest = self.settings.time / self.settings.outputs
        if not info["accepted"] and info["time_step"] < SHORTEST * longest:
            raise RunError(
                f"steps at time {info['time']:g} are shorter than "
                f"{info['time_step']:.1g}; raise the tolerance, cut or n_walkers"
            )

    def after_step(
        self, state: EvolutionState, measured: int, last: bool = False
    ) -> None:
        """Save if it is time, and end the process after a signal."""
        tree = {"state": state, "measured": measured}
        where = f"at time {float(state.time):g}"
        self.checkpoints.after(int(state.step) + measured, tree, where, last)

    def restored(self) -> tuple[int, EvolutionState | None]:
        """Outputs measured and state of the last checkpoint."""
        found = self.checkpoints.last({"state": self.start, "measured": 0})
        return (found[1]["measured"], found[1]["state"]) if found else (0, None)

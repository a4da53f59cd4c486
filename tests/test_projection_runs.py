"""Projection of a run: files, results, kill and resume."""

import dataclasses
import json
import os
import shutil
import signal
from contextlib import nullcontext, redirect_stdout
from io import StringIO
from typing import Any
from unittest import mock

import jax
import numpy as np
import pytest

import nqs.project
from experiments.command_line import main as command_line
from hamiltonians import ClassicalIsing, HarmonicTrap, Heisenberg, NeutronMatter
from nqs.ansatze import BinaryRBM, Boltzmann
from nqs.excited import SideBySide
from nqs.files.directory import RunError, read_json
from nqs.files.metrics import Metrics
from nqs.observables import Magnetization
from nqs.projection import continuous as driver
from nqs.projection import population
from nqs.projection import run as projection
from nqs.projection.continuous import Projection
from nqs.projection.lattice import LatticeProjection
from nqs.projection.run import completed, driver_of, project, time_steps
from nqs.projection.settings import ProjectionSettings
from nqs.runs import figures, run
from nqs.runs.devices import walker_mesh
from nqs.runs.numbered import opened
from nqs.space.lattice import Lattice
from nqs.space.spins import Spins
from nqs.statistics import Diagnostics
from nqs.statistics.projection import at_zero, corrected_energy, extrapolated
from samplers import Exchange, SiteMetropolis
from tests.tiny import experiment, machine

pytestmark = pytest.mark.usefixtures("without_figures", "built_once")

FEW = ProjectionSettings(
    time_step=(0.2, 0.1), n_walkers=(16,), steps=40, burn_in=20, checkpoint_every=0
)

SPINS = dataclasses.replace(FEW, time_step=(0.4, 0.1), burn_in=0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One particle in a trap, with a Boltzmann machine for a psi; not trained."""
    directory = tmp_path_factory.mktemp("runs") / "a"
    run(machine(real=True, directory=str(directory), iterations=0, burn_in=0))
    return directory


@pytest.fixture(scope="module")
def projected(trained, tmp_path_factory):
    """The same, projected once."""
    directory = tmp_path_factory.mktemp("projected") / "a"
    shutil.copytree(trained, directory)
    with redirect_stdout(StringIO()) as printed:
        project(directory, FEW)
    (directory / "printed.txt").write_text(printed.getvalue())
    return directory


@pytest.fixture
def directory(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "a")
    return tmp_path / "a"


def magnet(directory):
    """A ring of four spins with a Boltzmann machine for a psi."""
    return experiment(
        ansatz=BinaryRBM(),
        hamiltonian=Heisenberg(Lattice((4,))),
        sampler=SiteMetropolis(Exchange(Lattice((4,)))),
        observables=(Magnetization(),),
        directory=str(directory),
    )


@pytest.fixture(scope="module")
def of_spins(tmp_path_factory):
    """A run of such a ring, projected once."""
    directory = tmp_path_factory.mktemp("lattices") / "a"
    run(magnet(directory))
    project(directory, SPINS)
    return directory


def rows(directory, number="0001"):
    text = (directory / "projections" / number / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_projection_writes_its_files(projected):
    target = projected / "projections" / "0001"
    result = read_json(target / "result.json")
    assert (target / "figures" / "time_step.png").stat().st_size > 1000
    found = rows(projected)
    assert [row["step"] for row in found] == list(range(1, 13))
    assert [row["burn_in"] for row in found[:6]] == [True] * 2 + [False] * 4
    assert [row["time_step"] for row in found] == [0.2] * 6 + [0.1] * 6
    first, second = result["stages"]
    energies = [row["energy"] for row in found[2:6]]
    assert first["means"]["energy"][0] == pytest.approx(np.mean(energies))
    line = 2 * second["means"]["energy"][0] - first["means"]["energy"][0]
    assert result["energy"] == pytest.approx(line)
    # 2 mixed - variational
    variational = read_json(projected / "result.json")["terms"]["trap"][0]
    expected = 2 * result["means"]["trap"][0] - variational
    assert result["extrapolated"]["trap"][0] == pytest.approx(expected)
    assert "kinetic" not in result["extrapolated"]
    assert "r_squared" in result["extrapolated"]
    printed = (projected / "printed.txt").read_text().splitlines()
    assert printed[-1].startswith("energy ")
    progress = next(line for line in printed if "tau 0.2 60/60 " in line)
    assert f"  mean {np.mean(energies):.6g}  " in progress
    few = next(line for line in printed if "warning" in line)
    assert "1 x 4 blocks of 10 steps" in few and "blocks of 10 steps to each" in few
    # four blocks are too few for an error bar: said once of each time step
    assert [line.split(":")[1] for line in printed if "warning" in line] == [
        " 16 walkers, tau 0.2",
        " 16 walkers, tau 0.1",
    ]


@pytest.mark.parametrize(
    "time_steps, shown", [([0.2], [0.2]), ([0.2, 0.1], [0, 0.1, 0.2])]
)
def test_the_limit_of_several_time_steps_is_drawn(time_steps, shown, monkeypatch):
    axes = mock.Mock()
    monkeypatch.setattr(figures, "figure", lambda *_: nullcontext(axes))
    means = {"energy": [1.0, 0.1]}
    stages = [{"n_walkers": 8, "time_step": t, "means": means} for t in time_steps]
    population = {"n_walkers": 8, "energy": 1.0, "energy_error": 0.1}
    result = {"energy_unit": "J", "populations": [population], "stages": stages}
    figures.draw_time_steps(mock.Mock(), result | {"comparison": None})
    assert list(axes.errorbar.call_args[0][0]) == shown
    left, right = axes.set_xlim.call_args[0]
    assert left < 0 < 0.2 < right


class Killed(BaseException):
    """Ends a projection as SIGKILL does: nothing is saved or closed."""


def kill_at(monkeypatch, directory, settings, line):
    """Project, and die after that line of the metrics."""
    append = Metrics.append

    def killed(self, step, info):
        append(self, step, info)
        if step == line:
            raise Killed

    monkeypatch.setattr(Metrics, "append", killed)
    with pytest.raises(Killed):
        project(directory, settings)
    monkeypatch.undo()


@pytest.mark.further
@pytest.mark.parametrize("line", [1, 6, 11])
def test_killed_projection_resumes_bit_for_bit(projected, monkeypatch, line):
    kill_at(monkeypatch, projected, FEW, line)
    number = f"{len(list(projected.glob('projections/*'))):04d}"
    assert len(rows(projected, number)) == line
    again = project(projected, ProjectionSettings(), resume=True)
    assert rows(projected, number) == rows(projected)
    whole = read_json(projected / "projections" / "0001" / "result.json")
    assert json.loads(json.dumps(again["stages"])) == whole["stages"]


@pytest.mark.further
@pytest.mark.parametrize("line", [1, 5])
def test_killed_projection_of_a_lattice_resumes_bit_for_bit(
    of_spins, monkeypatch, line
):
    kill_at(monkeypatch, of_spins, SPINS, line)
    number = f"{len(list(of_spins.glob('projections/*'))):04d}"
    project(of_spins, ProjectionSettings(), resume=True)
    assert rows(of_spins, number) == rows(of_spins)


def test_resume_may_raise_the_steps_of_one_stage(tmp_path):
    one = dataclasses.replace(FEW, time_step=(0.2,))
    opened(tmp_path, one, resume=False)
    longer = dataclasses.replace(one, steps=80)
    assert opened(tmp_path, ProjectionSettings(steps=80), resume=True)[1] == longer
    assert opened(tmp_path, longer, resume=True)[1] == longer
    with pytest.raises(RunError, match="steps may only be raised .* has 40, got 20"):
        opened(tmp_path, ProjectionSettings(steps=20), resume=True)
    with pytest.raises(RunError, match="seed cannot change on resume: .* 0, got 1"):
        opened(tmp_path, ProjectionSettings(steps=80, seed=1), resume=True)
    opened(tmp_path, FEW, resume=False)  # its checkpoints have the second stage alone
    with pytest.raises(RunError, match="steps cannot change on resume: .* 40, got 80"):
        opened(tmp_path, ProjectionSettings(steps=80), resume=True)


@pytest.mark.further
def test_longer_projection_is_that_of_one_go(directory, capsys):
    short = dataclasses.replace(FEW, time_step=(0.2,))
    project(directory, short)
    capsys.readouterr()
    long = project(directory, ProjectionSettings(steps=80), resume=True)
    energies = [row["energy"] for row in rows(directory)[2:]]
    assert len(energies) == 8
    assert "tau 0.2 100/100  E " in (printed := capsys.readouterr().out)
    assert f"  mean {np.mean(energies):.6g}  " in printed
    assert long["settings"]["steps"] == 80
    assert read_json(directory / "projections" / "0001" / "config.json")["steps"] == 80
    assert project(directory, ProjectionSettings(), resume=True) == long
    once = project(directory, dataclasses.replace(short, steps=80))
    assert once == long
    assert rows(directory) == rows(directory, "0002")


@pytest.mark.further
def test_projection_of_a_lattice_writes_its_files(of_spins):
    target = of_spins / "projections" / "0001"
    result = read_json(target / "result.json")
    assert result["energy_quadratic"] is None
    energies = [each["means"]["energy"][0] for each in result["stages"]]
    assert min(energies) <= result["energy"] <= max(energies)  # no line to zero
    assert all(each["jumps"] > 0 for each in result["stages"])
    assert all(each["sign_flip"] == 0 for each in result["stages"])
    assert {"exchange", "magnetization"} <= {*result["extrapolated"]}
    assert len(rows(of_spins)) == 8


def test_default_time_step_depends_on_the_system(tmp_path):
    settings = ProjectionSettings(seed=1)
    complete = completed(settings, (0.1,))
    assert complete == dataclasses.replace(settings, time_step=(0.1,), steps=20_000)
    target, _ = opened(tmp_path, complete, resume=False)
    assert opened(tmp_path, complete, resume=True) == (target, complete)
    assert opened(tmp_path, ProjectionSettings(), resume=True) == (target, complete)
    psi = Boltzmann(ClassicalIsing(Lattice((2, 2), "square")))
    neutrons = NeutronMatter(Spins(1, 1), 0.1)
    assert time_steps(Projection(psi, HarmonicTrap(2, 2))) == (0.01, 0.005)
    assert time_steps(Projection(psi, neutrons)) == (0.002, 0.001)
    assert time_steps(LatticeProjection(psi, Heisenberg(Lattice((4,))))) == (0.1,)


def test_driver_depends_on_the_hamiltonian():
    @dataclasses.dataclass
    class Parts:
        hamiltonian: Any
        ansatz: Any = Boltzmann(ClassicalIsing(Lattice((2, 2), "square")))
        chunk_size = None

    def driver_for(hamiltonian) -> Any:
        parts: Any = Parts(hamiltonian)
        return driver_of(parts)

    def refusal(hamiltonian):
        with pytest.raises(ValueError, match="must be that of particles") as error:
            driver_for(hamiltonian)
        return str(error.value)

    neutrons = NeutronMatter(Spins(1, 1), 0.1)
    assert isinstance(driver_for(HarmonicTrap(2, 2)), Projection)
    assert isinstance(driver_for(neutrons), Projection)
    ring = Heisenberg(Lattice((4,)))
    assert isinstance(driver_for(ring), LatticeProjection)
    classical = ClassicalIsing(Lattice((2, 2), "square"))
    assert "got ClassicalIsing" in refusal(classical)
    assert "got SideBySide" in refusal(SideBySide(ring, 2))
    explicit = dataclasses.replace(neutrons, spin_explicit=True)
    assert "got NeutronMatter" in refusal(explicit)


@pytest.mark.further
def test_signal_saves_a_checkpoint(directory, monkeypatch, capsys):
    append = Metrics.append

    def stopped(self, step, info):
        append(self, step, info)
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Metrics, "append", stopped)
    with pytest.raises(SystemExit) as ended:
        project(directory, FEW)
    assert ended.value.code == 128 + signal.SIGTERM
    assert f"nqs project {directory} --resume" in capsys.readouterr().err
    monkeypatch.undo()
    project(directory, FEW, resume=True)
    assert len(rows(directory)) == 12


@pytest.mark.further
def test_energy_is_that_of_one_device(directory, monkeypatch):
    monkeypatch.setattr(
        population, "FEW", 2.0
    )  # walkers move between devices in each step
    short = dataclasses.replace(FEW, time_step=(0.2,))
    project(directory, short)
    one = jax.devices()[:1]
    monkeypatch.setattr(projection, "walker_mesh", lambda w: walker_mesh(w, one))
    project(directory, short)
    for row, other in zip(rows(directory), rows(directory, "0002"), strict=True):
        assert row == pytest.approx(other, rel=1e-9)


@pytest.mark.further
def test_energy_of_a_lattice_is_that_of_one_device(of_spins, tmp_path, monkeypatch):
    monkeypatch.setattr(population, "FEW", 2.0)
    directory = tmp_path / "a"
    shutil.copytree(of_spins, directory)
    shutil.rmtree(directory / "projections")
    short = dataclasses.replace(SPINS, time_step=(0.4,))
    project(directory, short)
    one = jax.devices()[:1]
    monkeypatch.setattr(projection, "walker_mesh", lambda w: walker_mesh(w, one))
    project(directory, short)
    for row, other in zip(rows(directory), rows(directory, "0002"), strict=True):
        assert row == pytest.approx(other, rel=1e-9)


def test_numbers_that_are_not_finite_stop_the_projection(directory, monkeypatch):
    def broken(self, key, state):
        state, info = step(self, key, state)
        return state, info | {"non_finite": info["non_finite"] + 1}

    step = driver.Projection.step
    monkeypatch.setattr(driver.Projection, "step", broken)
    with pytest.raises(RunError, match="10 local energies .* not finite in block 1"):
        project(directory, FEW)


@pytest.mark.further
def test_command_projects_and_refuses(directory, monkeypatch, capsys, tmp_path):
    options = ["--time-step", "0.2", "--steps", "10", "--burn-in", "0",
               "--n-walkers", "8", "16"]  # fmt: skip
    command = ["nqs", "project", str(directory), *options]
    monkeypatch.setattr("sys.argv", command)
    command_line.main()
    assert "16 walkers, tau 0.2: " in capsys.readouterr().out
    config = read_json(directory / "projections" / "0001" / "config.json")
    assert config["n_walkers"] == [8, 16]

    def refusal(*arguments):
        with pytest.raises(SystemExit) as ended:
            nqs.project.main([str(a) for a in arguments])
        assert ended.value.code == 1
        return capsys.readouterr().err

    text = refusal(directory, "--resume", "--seed", "1")
    assert "seed cannot change on resume" in text
    assert "does not exist" in refusal(tmp_path / "nowhere")
    shutil.rmtree(directory / "projections")
    assert "holds no projection to resume" in refusal(directory, "--resume")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"steps": 15}, "steps must be a multiple of 10, got 15"),
        ({"steps": 0}, "steps must be an integer >= 10, got 0"),
        ({"burn_in": 5}, "burn_in must be a multiple of 10, got 5"),
        ({"time_step": (0.1, 0.1)}, "time_step must be different numbers"),
        ({"time_step": ()}, "time_step must be different numbers"),
        ({"time_step": (-0.1,)}, "time_step must be finite and positive, got -0.1"),
        ({"n_walkers": (1,)}, "n_walkers must be an integer >= 2, got 1"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"checkpoint_every": -1.0}, "checkpoint_every must be finite and >= 0"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ProjectionSettings(**changes)


def test_line_and_parabola_to_zero_time_step():
    taus = [0.04, 0.02, 0.01]
    line = [[2 - 3 * tau, 0.1] for tau in taus]
    value, error = at_zero(taus, line)
    assert value == pytest.approx(2) and error is not None and 0.1 < error < 0.2
    curve = [[2 - 3 * tau + 5 * tau**2, 0.1] for tau in taus]
    assert at_zero(taus, curve, 2)[0] == pytest.approx(2)
    # 2 E(tau) - E(2 tau), and the error of this sum
    value, error = at_zero([0.02, 0.01], [[1.0, 0.3], [1.1, 0.2]])
    assert value == pytest.approx(1.2) and error == pytest.approx(0.5)
    assert at_zero([0.02], [[1.0, 0.3]]) == pytest.approx([1.0, 0.3])
    assert at_zero([0.02, 0.01], [[1.0, None], [1.1, 0.2]])[1] is None
    assert at_zero([0.02, 0.01], [[1.0, 0.0], [1.0, 0.0]])[0] == pytest.approx(1)


def test_extrapolated_estimate_and_its_error():
    assert extrapolated([3.0, 0.3], [2.0, 0.8]) == pytest.approx([4.0, 1.0])
    assert extrapolated([3.0, None], [2.0, 0.8]) == [4.0, None]


def test_corrected_energy_weighs_generations_by_their_growth():
    """Generations of low energy grow, and the population divides this growth out."""
    random, steps = np.random.default_rng(0), 40_000
    energy = 1 + 0.2 * random.normal(size=steps)
    found, error = corrected_energy(energy, energy, 0.5, 1.0, Diagnostics(frozen=False))
    assert found is not None and error is not None
    # the growth of the last 5 steps; that of the step itself is exp(-0.5 (e - 1))
    assert found == pytest.approx(1 - 0.5 * 0.2**2, abs=5 * error)
    assert 0.5 * 0.2**2 > 10 * error


def test_corrected_energy_remembers_five_autocorrelation_times():
    random = np.random.default_rng(1)
    energy, growth = random.normal(size=(2, 2000))
    found, _ = corrected_energy(energy, growth, 0.3, 2.0, Diagnostics(frozen=False))
    excess = growth - growth.mean()
    past = [excess[max(0, i - 9) : i + 1].sum() for i in range(2000)]
    weights = np.exp(-0.3 * np.array(past))
    assert found == pytest.approx(np.sum(weights * energy) / np.sum(weights), rel=1e-9)

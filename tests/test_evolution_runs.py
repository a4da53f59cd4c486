"""Evolution of a run in time: files, results, kill and resume, refusals."""

import dataclasses
import functools
import json
import os
import shutil
import signal

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqs.evolve
from experiments.command_line import main as command_line
from hamiltonians import ClassicalIsing, HarmonicTrap
from nqs.evolution import programs as evolution_programs
from nqs.evolution.result import against_time, warnings
from nqs.evolution.run import evolve, measured_with
from nqs.evolution.settings import EvolutionSettings, assignments
from nqs.evolution.start import check_analytic, complex_psi, quenched
from nqs.excited import SideBySide
from nqs.files.directory import RunError, read_json
from nqs.files.metrics import Metrics
from nqs.observables import Dipole, MeanSquareRadius
from nqs.runs import compilation, run
from nqs.space.lattice import Lattice
from nqs.types import Function, LogPsi
from tests.cases import further
from tests.tiny import experiment, machine

pytestmark = pytest.mark.usefixtures("without_figures", "built_once")
optimized = functools.cache(lambda text, lowered: compilation.optimized(lowered.value))


class Kept:
    """A lowered program that is equal to every other one, beside its text."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """Compile equal programs of the tests once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            evolution_programs,
            "optimized",
            lambda lowered: optimized(lowered.as_text(), Kept(lowered)),
        )
        yield


FEW = EvolutionSettings(
    time=0.2,
    outputs=2,
    quench=("omega=1.5",),
    samples=8,
    burn_in=4,
    tolerance=1e-3,
    time_step=0.05,
    checkpoint_every=0,
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """One particle in a trap, with a Boltzmann machine for a psi."""
    directory = tmp_path_factory.mktemp("runs") / "a"
    run(machine(real=True, directory=str(directory)))
    return directory


@pytest.fixture(scope="module")
def evolved(trained, tmp_path_factory):
    """The same, evolved once."""
    directory = tmp_path_factory.mktemp("evolved") / "a"
    shutil.copytree(trained, directory)
    evolve(directory, FEW)
    return directory


@pytest.fixture
def directory(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "a")
    return tmp_path / "a"


def rows(directory, number="0001", name="metrics"):
    text = (directory / "evolutions" / number / f"{name}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.further
def test_evolution_writes_its_files(evolved):
    directory = evolved
    target = directory / "evolutions" / "0001"
    saved = read_json(target / "result.json")
    assert [row["energy"] for row in rows(directory, name="outputs")] == saved[
        "energies"
    ]
    assert saved["times"] == [0.0, 0.1, 0.2]
    steps, outputs = rows(directory), rows(directory, name="outputs")
    assert [row["step"] for row in outputs] == [1, 2, 3]
    assert [row["step"] for row in steps] == list(range(1, len(steps) + 1))
    assert saved["steps"] + saved["rejected"] == len(steps)
    length = sum(row["time_step"] for row in steps if row["accepted"])
    assert length == pytest.approx(0.2) and steps[-1]["time"] == 0.2
    # the quench: 1.5^2 / 2 x^2 instead of 1/2 x^2
    first = outputs[0]
    square = first["observables"]["r_squared"][0]
    assert first["terms"]["trap"][0] == pytest.approx(1.5**2 * square / 2)
    arrays = np.load(target / "observables.npz")
    assert arrays["r_squared"].shape == (3, 2) and arrays["energy"].shape == (3, 2)
    assert arrays["density"].shape == (3, 2, 10)
    assert arrays["density_grid"].shape == (10,)
    assert {p.stem for p in (target / "figures").iterdir()} >= {
        "energy",
        "r_squared",
        "trap",
    }


@pytest.mark.further
def test_measurements_have_the_density_of_psi_for_any_power(evolved):
    number = f"{len(list(evolved.glob('evolutions/*'))) + 1:04d}"
    settings = dataclasses.replace(FEW, power=1.0, samples=300, burn_in=50)
    evolve(evolved, settings)
    for line in rows(evolved, number, "outputs"):
        # <x^2> is 1/2 before the quench, twice that in |psi|
        turn = 1.5 * line["time"]
        expected = (np.cos(turn) ** 2 + np.sin(turn) ** 2 / 1.5**2) / 2
        square, error = line["observables"]["r_squared"]
        assert error < 0.05
        assert abs(square - expected) < 5 * error
    assert min(step["effective_walkers"] for step in rows(evolved, number)) < 0.95


class Killed(BaseException):
    """Ends an evolution as SIGKILL does: nothing is saved or closed."""


@pytest.mark.further
@pytest.mark.parametrize("line", [3])
def test_killed_evolution_resumes_bit_for_bit(evolved, monkeypatch, line):
    append, directory = Metrics.append, evolved
    number = f"{len(list(directory.glob('evolutions/*'))) + 1:04d}"

    def killed(self, step, info):
        append(self, step, info)
        if step == line and self.path.name == "metrics.jsonl":
            raise Killed

    monkeypatch.setattr(Metrics, "append", killed)
    with pytest.raises(Killed):
        evolve(directory, FEW)
    monkeypatch.undo()
    assert len(rows(directory, number)) == line
    again = evolve(directory, EvolutionSettings(), resume=True)
    for name in ("metrics", "outputs"):
        assert rows(directory, number, name) == rows(directory, name=name)
    whole = read_json(directory / "evolutions" / "0001" / "result.json")
    assert json.loads(json.dumps(again)) == whole


@pytest.mark.further
def test_signal_saves_a_checkpoint(directory, monkeypatch, capsys):
    append = Metrics.append

    def stopped(self, step, info):
        append(self, step, info)
        if self.path.name == "metrics.jsonl":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Metrics, "append", stopped)
    with pytest.raises(SystemExit) as ended:
        evolve(directory, FEW)
    assert ended.value.code == 128 + signal.SIGTERM
    assert f"nqs evolve {directory} --resume" in capsys.readouterr().err
    assert list((directory / "evolutions" / "0001" / "checkpoints").iterdir())


@pytest.mark.further
def test_changed_setting_is_refused_on_resume(evolved):
    with pytest.raises(RunError, match="outputs cannot change on resume"):
        evolve(evolved, dataclasses.replace(FEW, outputs=7), resume=True)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"quench": ("omgea=2",)}, "quench must change omega, got 'omgea'"),
        *further(
            ({"quench": ("omega=-1",)}, "omega must be finite and positive"),
            ({"quench": ("n=2",)}, "quench must keep the number of particles"),
        ),
        ({"ramp": ("coulomb=2",)}, "drive must change one of kinetic, trap"),
        *further(({"shift": (1.0, 0.0)}, "one length for each of 1 axes")),
    ],
)
def test_refused_settings_leave_no_directory(trained, changes, message):
    with pytest.raises(ValueError, match=message):
        evolve(trained, EvolutionSettings(**changes))
    assert not (trained / "evolutions").exists()


def test_assignments_are_literals():
    assert assignments("quench", ("omega=2", "a = (1, 2.5)")) == {
        "omega": 2,
        "a": (1, 2.5),
    }
    for text in ("omega", "omega=", "omega=two", "=1+"):
        with pytest.raises(ValueError, match="quench must be NAME=VALUE"):
            assignments("quench", (text,))


def test_shifted_psi_has_its_center_at_the_shift():
    def function(params, x):
        return LogPsi(jnp.ones(()), -params["a"] * jnp.sum(x**2))

    class Module(linen.Module):
        @linen.compact
        def __call__(self, x):
            return function({"a": self.param("a", linen.initializers.ones, ())}, x)

    x, shift = jnp.array([[0.3, -1.0], [2.0, 0.5]]), (1.0, -2.0)
    params = Module().init(jax.random.key(0), x)
    ansatz, shifted = complex_psi(Module(), params, x[None], shift)
    psi = ansatz.apply(shifted, x)
    expected = function({"a": 1.0}, x - jnp.array([shift]))
    np.testing.assert_allclose(psi.logabs, expected.logabs, rtol=1e-12)
    np.testing.assert_allclose(psi.sign, 1)
    names = [f.name for f in measured_with((MeanSquareRadius(), Dipole(1)), shift)]
    assert names == ["r_squared", "dipole_y", "dipole_x"]


@pytest.mark.parametrize(
    "psi", [lambda a: jnp.abs(a), lambda a: jnp.maximum(a, 0.1 * a)]
)
def test_psi_that_is_not_analytic_is_refused(psi):
    def function(params, x):
        return LogPsi(jnp.ones(()), -psi(params) * jnp.sum(x**2))

    with pytest.raises(ValueError, match="Function must be an analytic function"):
        check_analytic(Function(function), jnp.ones(()), jnp.ones((1, 1)))


def test_analytic_psi_is_accepted():
    def function(params, x):
        return LogPsi(jnp.ones(()), -jnp.tanh(params) * jnp.sum(x**2))

    check_analytic(Function(function), jnp.ones(()), jnp.ones((1, 1)))


def test_psi_without_parameters_is_refused():
    nothing = Function(lambda params, x: LogPsi(jnp.ones(()), -jnp.sum(x**2)))
    with pytest.raises(ValueError, match="must have parameters to evolve"):
        complex_psi(nothing, {}, jnp.ones((4, 1, 1)), ())


def test_quench_changes_one_field():
    system = HarmonicTrap(2, 2, 1.0)
    changed = quenched(system, EvolutionSettings(quench=("omega=(1.0, 2.0)",)))
    assert changed == HarmonicTrap(2, 2, (1.0, 2.0))


@pytest.mark.parametrize(
    "system",
    [
        ClassicalIsing(Lattice((2, 2), "square"), 2.0),
        SideBySide(HarmonicTrap(1, 1), 2),
    ],
)
def test_only_one_quantum_system_evolves(system):
    with pytest.raises(ValueError, match="one quantum system"):
        quenched(system, FEW)


def test_untrained_psi_is_refused(tmp_path):
    target = tmp_path / "a"
    with pytest.raises(RunError, match="does not exist"):
        evolve(target, FEW)
    run(experiment(directory=str(target), iterations=1))
    (target / "config.json").write_text("{}")
    with pytest.raises(RunError, match="damaged"):
        evolve(target, FEW)


def test_doubtful_numbers_raise_warnings():
    def outputs(energy):
        start = {"time": 0.0, "energy": [1.0, 0.1], "warnings": []}
        return [start, {"time": 1.0, "energy": [energy, 0.1], "warnings": []}]

    found = {"distance": 0.0, "residual": 0.1, "n_parameters": 20, "n_walkers": 100}
    assert warnings(found, FEW, outputs(1.3)) == []
    (text,) = warnings(found, FEW, outputs(1.6))
    assert "4.2 standard errors" in text
    ramp = EvolutionSettings(ramp=("trap=2",))
    assert warnings(found, ramp, outputs(1.6)) == []
    (text,) = warnings(found | {"distance": 0.2}, FEW, outputs(1.0))
    assert "adds up to 0.2" in text
    (text,) = warnings(found | {"n_parameters": 21}, FEW, outputs(1.0))
    assert "21 real parameters are fitted to 100 walkers" in text
    assert "n_walkers >= 105" in text
    exact = found | {"n_parameters": 21, "residual": 1e-9}
    assert warnings(exact, FEW, outputs(1.0)) == []


def test_arrays_hold_means_and_errors_against_time():
    rows = [
        {
            "time": t,
            "energy": [t, 0.1],
            "terms": {"energy": [2 * t, None]},
            "observables": {},
            "profiles": {"density": [[1, 2], [3, 4]]},
        }
        for t in (0.0, 1.0, 2.0)
    ]
    arrays = against_time(rows)
    assert arrays["energy"][:, 0].tolist() == [0, 1, 2]
    assert arrays["energy_term"][:, 0].tolist() == [0, 2, 4]
    assert np.isnan(arrays["energy_term"][:, 1]).all()
    assert arrays["density"].shape == (3, 2, 2)


@pytest.mark.further
def test_command_evolves(directory, capsys):
    arguments = ["--time", "0.2", "--outputs", "2", "--quench", "omega=1.5"]
    arguments += ["--samples", "8", "--burn-in", "4", "--tolerance", "1e-3"]
    arguments += ["--time-step", "0.05", "--checkpoint-every", "0"]
    command_line.command(["evolve", str(directory), *arguments])
    assert "3 times in" in capsys.readouterr().out
    settings = read_json(directory / "evolutions" / "0001" / "config.json")
    assert EvolutionSettings(**settings) == FEW


def test_mistake_on_the_command_line_ends_with_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        nqs.evolve.main([str(tmp_path / "none")])
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")

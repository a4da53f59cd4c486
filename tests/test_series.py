"""Series of runs: each starts from the previous one; a stopped series resumes."""

import dataclasses
import json

import pytest

from experiments.command_line.options import Options
from experiments.command_line.series import Series
from nqs.files.directory import RunError
from nqs.runs import Experiment, load
from nqs.runs.figures import draw_energies
from nqs.types import Function
from tests.tiny import Well, gaussian, narrow

OMEGAS = (1.0, 4.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wells(Options):
    """A particle in a well, or in several."""

    omega: tuple[float, ...] = OMEGAS
    iterations: int = 2
    burn_in: int = 1
    n_walkers: int = 16
    evaluation_steps: int = 2

    def experiment(self):
        return Experiment(
            name="wells",
            ansatz=Function(gaussian, narrow),
            hamiltonian=Well(1, self.omega[0]),
            **self.settings(),
        )


def draw(parent, results):
    path = parent / "figures" / "energies.png"
    draw_energies(path, "omega", OMEGAS, results)
    return {"drawn": len(results)}


def series(directory, **fields):
    options = Wells(directory=str(directory), **fields)
    members = {
        f"omega_{omega:g}": dataclasses.replace(options, omega=(omega,))
        for omega in OMEGAS
    }
    return Series("wells", options, members, draw, 1)


def result_of(directory):
    return json.loads((directory / "result.json").read_text())


@pytest.mark.further
def test_each_run_of_a_series_starts_from_the_previous_one(tmp_path, without_figures):
    parent = tmp_path / "wells"
    result = series(parent).run()
    assert result_of(parent) == json.loads(json.dumps(result))
    assert [run["directory"] for run in result["runs"]] == ["omega_1", "omega_4"]
    assert result["drawn"] == 2 and result["energy_unit"] == "hartree"
    assert (parent / "figures/energies.png").stat().st_size > 1000
    first, second = (result_of(parent / name) for name in ("omega_1", "omega_4"))
    assert (first["iterations"], second["iterations"]) == (2, 1)
    assert second["config"]["start_from"] == str(parent / "omega_1")
    assert second["config"]["hamiltonian"]["omega"] == 4.0
    assert load(parent / "omega_4").walkers.shape == (16, 1, 1)

    with pytest.raises(RunError, match="exists already"):
        series(parent).run()
    for name in ("result.json", "omega_4/result.json"):  # as after an interruption
        (parent / name).unlink()
    written = (parent / "omega_1/result.json").stat().st_mtime_ns
    again = series(parent, resume=True).run()
    for before, after in zip(result["runs"], again["runs"], strict=True):
        assert before["energy"] == after["energy"]
    # finished runs are not repeated
    assert (parent / "omega_1/result.json").stat().st_mtime_ns == written


def test_series_with_an_impossible_run_does_not_start(tmp_path):
    with pytest.raises(ValueError, match="n_walkers must be"):
        series(tmp_path / "never", n_walkers=0)
    assert not (tmp_path / "never").exists()

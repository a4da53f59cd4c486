"""Runs of the electron gas from its command line: single, series, twist average."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.command_line.notation import Part
from experiments.command_line.series import Series
from experiments.electron_gas import ElectronGasOptions, spread_twists
from nqs.runs import load

TINY = ElectronGasOptions(
    n_up=1,
    n_down=1,
    ansatz=Part("slater_jastrow"),
    optimizer=Part("adam"),
    iterations=2,
    burn_in=1,
    n_walkers=4,
    evaluation_steps=2,
)


def tiny(directory, **fields):
    return dataclasses.replace(TINY, directory=str(directory), **fields)


def test_series_over_rs_has_a_run_for_every_rs():
    members = dataclasses.replace(TINY, rs=(2.0, 5.0, 5.000001)).members()
    assert {name: member.rs for name, member in members.items()} == {
        "rs_2": (2.0,),
        "rs_5": (5.0,),
        "rs_5.000001": (5.000001,),
    }


@pytest.mark.slow
def test_series_over_rs_reports_every_run(tmp_path, without_figures):
    options = tiny(tmp_path / "scan", rs=(2.0, 5.0), series_iterations=1)
    result = options.start()()
    assert [run["directory"] for run in result["runs"]] == ["rs_2", "rs_5"]
    assert (tmp_path / "scan/figures/energy_rs.png").stat().st_size > 1000
    second = json.loads((tmp_path / "scan/rs_5/result.json").read_text())
    assert second["iterations"] == 1
    assert second["config"]["start_from"] == str(tmp_path / "scan/rs_2")
    assert second["config"]["hamiltonian"]["rs"] == 5.0


@pytest.mark.slow
def test_twist_average_is_the_mean_over_its_runs(tmp_path, without_figures):
    options = tiny(tmp_path / "twists", twist="average", twists=2, series_iterations=1)
    result = options.start()()
    energies = [run["energy"] for run in result["runs"]]
    assert len(set(energies)) == 2
    np.testing.assert_allclose(result["energy"], np.mean(energies))
    np.testing.assert_allclose(result["energy_per_particle"], np.mean(energies) / 2)
    np.testing.assert_allclose(result["twist_spread"], np.std(energies))


def test_twists_fill_the_zone_evenly():
    twists = np.array(spread_twists(256, 3))
    assert np.all(np.abs(twists) <= 0.5)
    # the mean of exp(2 pi i m . twist) is an integral that vanishes for m != 0; random
    # twists would leave 1/16 of it
    for m in ([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, -1, 0], [1, 1, 1]):
        assert abs(np.mean(np.exp(2j * np.pi * twists @ m))) < 0.03


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"rs": ()}, "rs must be one or several different"),
        ({"rs": (1.0, 1.0)}, "rs must be one or several different"),
        ({"rs": (1.0, 2.0), "twist": "average"}, "takes one rs, got .1.0, 2.0"),
        ({"rs": (), "twist": "average"}, "takes one rs, got"),
        ({"twist": "average", "twists": 0}, "twists must be at least 1"),
        ({"rs": (1.0, -2.0)}, "rs must be finite and positive"),
        ({"n_up": 3}, "nearest closed shells are 1 and 7"),
        ({"ansatz": Part("rbm")}, "unknown ansatz 'rbm'"),
    ],
)
def test_impossible_options_are_refused_before_anything_runs(tmp_path, fields, message):
    with pytest.raises(ValueError, match=message):
        tiny(tmp_path / "never", **fields).start()
    assert not (tmp_path / "never").exists()


def test_several_rs_make_a_series():
    assert isinstance(TINY.start().func, type(load))  # a single run
    series = dataclasses.replace(TINY, rs=(1.0, 2.0)).start().__self__
    assert isinstance(series, Series)

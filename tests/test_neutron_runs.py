"""Runs of neutron matter from its command line."""

import dataclasses
import math

import pytest

from experiments.command_line.notation import Part
from experiments.neutron_matter import NeutronMatterOptions
from nqs.ansatze import Backflow, SingletBackflow

TINY = NeutronMatterOptions(
    n=4,
    ansatz=Part("pairing", (("width", 4), ("layers", 1), ("channels", 2))),
    iterations=2,
    burn_in=1,
    n_walkers=8,
    evaluation_steps=2,
    sampler=Part("metropolis"),
)


@pytest.mark.slow
def test_several_densities_make_a_series(tmp_path, without_figures):
    options = dataclasses.replace(
        TINY, density=(0.02, 0.04), directory=str(tmp_path / "series")
    )
    result = options.start()()
    assert [run["directory"] for run in result["runs"]] == [
        "density_0.02",
        "density_0.04",
    ]
    assert (tmp_path / "series/figures/equation_of_state.png").stat().st_size > 1000
    for run in result["runs"]:
        assert set(run["terms"]) == {"kinetic", "two_body", "three_body"}
        assert "spin_squared" in run["observables"]
        assert math.isfinite(run["energy"])


def test_half_of_the_neutrons_have_spin_up_or_one_more():
    for n, n_up, expected in ((4, None, 2), (5, None, 3), (7, 7, 7)):
        options = dataclasses.replace(TINY, n=n, n_up=n_up)
        assert options.experiment().hamiltonian.spins.up == expected


def test_ansatze_are_built_by_name():
    def built(name):
        fourteen = dataclasses.replace(TINY, n=14, ansatz=Part(name))
        return fourteen.experiment().ansatz

    assert isinstance(built("backflow"), Backflow)
    assert isinstance(built("singlet"), SingletBackflow)
    assert not built("singlet").pairing and built("pairing").pairing


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"density": ()}, "density must be one or several different"),
        ({"density": (0.1, 0.1)}, "density must be one or several different"),
        ({"density": (-0.1,)}, "density must be finite and positive"),
        (
            {"ansatz": Part("singlet")},
            "closed shells are 1 and 7; pairing takes any pairs",
        ),
        ({"n_up": 1}, "n_up must be half of all or more, got 1"),
        ({"n_up": 3}, "n_up - n_down: 2 particles of one spin are an open shell"),
        ({"ansatz": Part("rbm")}, "unknown ansatz 'rbm'"),
        ({"r3": 1.3}, "r3 must be one of"),
    ],
)
def test_impossible_options_are_refused_before_anything_runs(tmp_path, fields, message):
    options = dataclasses.replace(TINY, directory=str(tmp_path / "never"), **fields)
    with pytest.raises(ValueError, match=message):
        options.start()
    assert not (tmp_path / "never").exists()

"""Energies are compared with a reference according to its kind."""

import os

import jax
import numpy as np
import pytest

from hamiltonians import Heisenberg
from nqs.runs.comparison import alarms, comparison
from nqs.runs.devices import configure, usable_cores
from nqs.runs.experiment import Experiment
from nqs.runs.result import sentence
from nqs.space.lattice import Lattice
from nqs.types import Reference


def compared(energy, error, value, kind, value_error=0.0):
    return comparison(energy, error, (Reference(value, value_error, kind, "A. Book"),))


def line(energy, error, found):
    return sentence({"energy": energy, "energy_error": error, "energy_unit": "hartree",
                     "comparison": found})  # fmt: skip


def test_energy_above_an_exact_one_raises_no_alarm():
    found = compared(3.0081, 0.001, 3.0, "exact")
    assert line(3.0081, 0.001, found).endswith(
        "above exact 3 by 0.27 % (+8.1 sigma); A. Book"
    )
    assert alarms(found) == []


def test_energy_below_an_exact_one_raises_an_alarm_beyond_three_errors():
    assert alarms(compared(2.998, 0.001, 3.0, "exact")) == []
    assert "4.0 standard errors" in alarms(compared(2.996, 0.001, 3.0, "exact"))[0]


@pytest.mark.parametrize(
    "kind, name", [("exact", "exact"), ("upper_bound", "the upper bound")]
)
def test_energy_equal_to_a_reference_is_neither_above_nor_below(kind, name):
    found = compared(3.0, 0.0, 3.0, kind)
    assert line(3.0, 0.0, found).endswith(f", equal to {name} 3; A. Book")


def test_upper_bound_gives_no_deviation():
    found = compared(90.0, 0.01, 95.0, "upper_bound")
    assert found["sigma"] is None
    assert "below the upper bound 95 by 5 hartree; A. Book" in line(90.0, 0.01, found)


def test_estimate_counts_both_errors():
    found = compared(1.0, 0.03, 1.1, "estimate", 0.04)
    assert found["sigma"] == pytest.approx(-2.0)
    assert "below the estimate 1.100(40) by 0.1 hartree (-2.0 sigma)" in line(
        1.0, 0.03, found
    )


def test_energy_without_error_or_reference_has_no_sigma():
    assert compared(1.0, None, 1.1, "exact")["sigma"] is None
    assert comparison(1.0, 0.1, ()) is None
    exact_zero = compared(0.5, 0.1, 0.0, "exact")
    assert exact_zero["relative"] is None and "by 0.5 hartree" in line(
        0.5, 0.1, exact_zero
    )


@pytest.mark.parametrize("changes", [{"j": -1.0}, {"n_down": 2}, {"j": 2.0}])
def test_published_energy_is_used_only_for_its_own_couplings(changes):
    settings = {"lattice": Lattice((6, 6), "square")} | changes
    found = Heisenberg(**settings).references()
    if changes == {"j": 2.0}:
        np.testing.assert_allclose(found[0].value, 2 * -24.4393974, rtol=1e-12)
    elif changes == {"n_down": 2}:  # few configurations
        assert len(found) == 1 and "Lanczos" in found[0].source
    else:
        assert found == ()


def test_systems_without_cpu_affinity_use_all_cores(monkeypatch):
    jax.devices()  # later tests need these devices, which `configure` keeps
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert usable_cores() == os.cpu_count()
    configure()


def test_a_single_walker_cannot_train():
    from tests.tiny import experiment  # noqa: F401

    with pytest.raises(ValueError, match="n_walkers must be at least 2 for training"):
        experiment(n_walkers=1)
    assert isinstance(experiment(n_walkers=1, iterations=0), Experiment)

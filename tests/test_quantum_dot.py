"""Defaults of the quantum dot."""

import pytest

from experiments.command_line.notation import Part
from experiments.quantum_dot import QuantumDotOptions
from nqs.ansatze import Backflow, PadeJastrow
from nqs.observables import SpinSquared
from nqs.optimizers import Schedule, Spring
from nqs.space.spins import Spins


@pytest.mark.parametrize(("n", "d", "omega"), [(6, 2, 0.28), (7, 3, 1.0)])
def test_a_dot_needs_only_its_size_and_frequency(n, d, omega):
    experiment = QuantumDotOptions(n=n, d=d, omega=omega).experiment()
    schedule = Schedule("inverse_time", 100)
    assert experiment.optimizer == Spring(0.1 / omega, schedule)
    backflow, jastrow = experiment.ansatz.factors
    assert backflow == Backflow(Spins.of(n), omega)
    assert jastrow == PadeJastrow(Spins.of(n), 1.0, omega**0.5)
    assert SpinSquared(Spins.of(n)) in experiment.observables


def test_given_learning_rate_is_not_scaled():
    optimizer = Part("spring", (("learning_rate", 0.02),))
    experiment = QuantumDotOptions(omega=0.1, optimizer=optimizer).experiment()
    assert experiment.optimizer == Spring(0.02, Schedule("inverse_time", 100))

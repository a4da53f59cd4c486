"""Total spin and pair distributions of singlets and triplets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.ansatze import PlaneWaveSlater
from nqs.observables.periodic import PairDistribution
from nqs.observables.spin import SpinPairDistribution, SpinSquared
from nqs.space.box import Box
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi

CUBE = Box.shaped("cubic", 40.0, 3)


def measured(observables, ansatz, x):
    """Values of the observables at one configuration, by one program."""
    return jax.device_get(jax.jit(lambda x: [f(ansatz, {}, x) for f in observables])(x))


def positions(n, seed):
    """Positions (n, 3) in the cell."""
    return np.random.default_rng(seed).uniform(size=(n, 3)) * CUBE.vectors[0, 0]


def pair_state(even):
    """Two particles of opposite spin in a state of even or odd parity."""

    def psi(params, x):
        phase = 2 * jnp.pi * (x[0, 0] - x[1, 0]) / CUBE.vectors[0, 0]
        value = 1.3 + jnp.cos(phase) if even else jnp.sin(phase)
        return LogPsi(jnp.sign(value), jnp.log(jnp.abs(value)))

    return Function(psi)


@pytest.mark.parametrize("even, spin", [(True, 0), (False, 2)])
def test_even_psi_of_two_is_a_singlet_and_odd_psi_a_triplet(even, spin):
    ansatz = pair_state(even)
    spins = Spins(1, 1)
    observables = (
        SpinSquared(spins),
        SpinPairDistribution(CUBE, spins, 4),
        PairDistribution(CUBE, spins, 4),
    )
    square, (singlet, triplet), pairs = measured(observables, ansatz, positions(2, 0))
    assert float(square) == pytest.approx(spin, abs=1e-12)
    none, all_of_them = (triplet, singlet) if even else (singlet, triplet)
    np.testing.assert_allclose(none, 0, atol=1e-12)
    # opposite spins count with V, all pairs with V / n^2, both orders in either
    np.testing.assert_allclose(all_of_them, pairs[0] / 2, rtol=1e-12)


def test_singlet_and_triplet_pairs_sum_to_all_pairs():
    ansatz = PlaneWaveSlater(Spins(7, 1), CUBE)
    pairs = PairDistribution(CUBE, Spins(7, 1), 6)
    observables = SpinPairDistribution(CUBE, Spins(7, 1), 6), pairs
    found, curves = measured(observables, ansatz, positions(8, 1))
    whole = curves[pairs.curves.index("all")]
    np.testing.assert_allclose(found.sum(axis=0), whole, rtol=1e-10)
    assert np.abs(found[0]).sum() > 0


def test_equal_spins_are_triplets():
    ansatz = PlaneWaveSlater(Spins(7), CUBE)
    observables = SpinSquared(Spins(7)), SpinPairDistribution(CUBE, Spins(7), 3)
    square, (singlet, triplet) = measured(observables, ansatz, positions(7, 2))
    assert float(square) == 7 / 2 * 9 / 2
    np.testing.assert_array_equal(singlet, 0)
    assert np.all(triplet >= 0) and triplet.sum() > 0


@pytest.mark.parametrize("bins", [0, 1.5])
def test_invalid_number_of_bins_raises(bins):
    with pytest.raises(ValueError, match="n_bins must be an integer >= 1"):
        SpinPairDistribution(CUBE, Spins(1, 1), bins)

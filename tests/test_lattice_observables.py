"""Magnetization and structure factor against their sums, and in known states."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.observables.lattice import Magnetization, SiteStructureFactor
from nqs.space.lattice import Lattice
from nqs.types import Function, LogPsi

NOTHING = Function(lambda params, x: LogPsi(jnp.ones(()), jnp.zeros(())))
CHAIN, TORUS = Lattice((6,)), Lattice((4, 3), "square")


def measured(observable, x):
    return np.asarray(observable(NOTHING, {}, jnp.asarray(x)))


@pytest.mark.parametrize("levels", [2, 3])
def test_magnetization_of_ordered_and_of_random_states(levels):
    for level in range(levels):
        x = np.full(6, level)
        assert measured(Magnetization(levels), x) == pytest.approx(1, abs=1e-12)
    # (1 / q^s) sum_x |m|^2 = 1 / s, as different sites are independent
    states = np.array([*itertools.product(range(levels), repeat=4)])
    squares = jax.vmap(lambda x: Magnetization(levels, 2)(NOTHING, {}, x))(states)
    assert np.mean(squares) == pytest.approx(1 / 4, rel=1e-12)


def test_magnetization_of_spins_is_the_mean_of_sigma_z():
    x = np.array([0, 0, 0, 1, 0, 1])
    assert measured(Magnetization(), x) == pytest.approx(1 / 3, rel=1e-12)
    assert measured(Magnetization(), 1 - x) == pytest.approx(1 / 3, rel=1e-12)
    assert measured(Magnetization(power=4), x) == pytest.approx(1 / 81, rel=1e-12)


@pytest.mark.parametrize("lattice", [CHAIN, TORUS, Lattice((4, 4), "triangular")])
@pytest.mark.parametrize("levels", [2, 3])
def test_structure_factor_is_its_double_sum(lattice, levels):
    x = np.random.default_rng(3).integers(0, levels, lattice.n)
    observable = SiteStructureFactor(lattice, levels)
    found = measured(observable, x)
    k = observable.grid[..., None] / 2 if found.ndim == 1 else observable.grid
    steps = lattice.coordinates[:, None] - lattice.coordinates[None, :]
    phases = np.cos(2 * np.pi * np.einsum("...a,ija->...ij", k, steps))
    pairs = np.cos(2 * np.pi * (x[:, None] - x[None, :]) / levels)
    exact = np.sum(phases * pairs, axis=(-1, -2)) / lattice.n
    np.testing.assert_allclose(found, exact, atol=1e-12)
    assert found.shape == observable.grid.shape[: found.ndim]


@pytest.mark.parametrize("lattice", [CHAIN, TORUS])
def test_structure_factor_of_the_density_is_its_double_sum(lattice):
    x = np.random.default_rng(3).integers(0, 2, 2 * lattice.n)  # of two spins
    observable = SiteStructureFactor(lattice, density=True)
    found, n = measured(observable, x), x[: lattice.n] + x[lattice.n :]
    k = observable.grid[..., None] / 2 if found.ndim == 1 else observable.grid
    steps = lattice.coordinates[:, None] - lattice.coordinates[None, :]
    phases = np.cos(2 * np.pi * np.einsum("...a,ija->...ij", k, steps))
    pairs = np.outer(n - n.mean(), n - n.mean())
    exact = np.sum(phases * pairs, axis=(-1, -2)) / lattice.n
    np.testing.assert_allclose(found, exact, atol=1e-12)
    assert np.max(found) > 0.1


def test_structure_factor_peaks_at_the_ordering_wave_vector():
    chain = SiteStructureFactor(CHAIN)
    assert chain.grid[-1] == 1 and len(chain.axes) == 1
    np.testing.assert_allclose(measured(chain, np.zeros(6, int)), [6, 0, 0, 0])
    neel = measured(chain, np.arange(6) % 2)
    np.testing.assert_allclose(neel, [0, 0, 0, 6], atol=1e-12)
    torus = SiteStructureFactor(Lattice((4, 6), "square"))
    stripes = np.indices((4, 6))[0].ravel() % 2
    found = measured(torus, stripes)
    at = torus.grid[np.unravel_index(np.argmax(found), found.shape)]
    np.testing.assert_allclose(np.abs(at), [0.5, 0])
    assert found.max() == pytest.approx(24) and found.sum() == pytest.approx(24)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Magnetization(1), "levels .* got 1"),
        (lambda: Magnetization(2, 0), "power .* got 0"),
        (lambda: SiteStructureFactor(CHAIN, 1), "levels .* got 1"),
    ],
)
def test_invalid_settings_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()

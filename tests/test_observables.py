"""Observables against closed forms, on walkers drawn from known densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nqs import settings
from nqs.observables import MeanSquareRadius, RadialDensity

OBSERVABLES = [MeanSquareRadius(), RadialDensity(r_max=3.0, n_bins=7)]
BALL = {1: 2.0, 2: np.pi, 3: 4 * np.pi / 3}  # volume at radius 1


def averaged(observable, walkers):
    """Mean over walkers; no observable here looks at psi."""
    at = jax.jit(jax.vmap(lambda x: observable(None, {}, x)))
    return np.mean(at(jnp.asarray(walkers)), axis=0)


def shells(density, d):
    """Volumes (k,) of the bins."""
    half = density.r_max / density.n_bins / 2
    return BALL[d] * ((density.grid + half) ** d - (density.grid - half) ** d)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_density_integrates_to_the_number_of_particles(d):
    walkers = np.random.default_rng(0).normal(size=(50, 4, d))
    density = RadialDensity(r_max=9.0, n_bins=23)
    total = averaged(density, walkers) @ shells(density, d)
    np.testing.assert_allclose(total, 4, rtol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_density_of_the_oscillator_is_its_gaussian(d):
    n, omega, n_walkers = 2, 0.7, 20000
    rng = np.random.default_rng(1)
    walkers = rng.normal(scale=(2 * omega) ** -0.5, size=(n_walkers, n, d))
    density = RadialDensity(r_max=2.5, n_bins=10)
    found, volumes = averaged(density, walkers), shells(density, d)
    edges = np.linspace(0, 2.5, 11)
    inside = np.diff(scipy.stats.chi(d, scale=(2 * omega) ** -0.5).cdf(edges))
    error = np.sqrt(n * inside / n_walkers) / volumes  # of counts
    np.testing.assert_allclose((found - n * inside / volumes) / error, 0, atol=4.5)
    # |psi|^2 itself at the centers, as far as it is straight within a bin.
    exact = n * (omega / np.pi) ** (d / 2) * np.exp(-omega * density.grid**2)
    np.testing.assert_allclose(found[:6], exact[:6], rtol=0.1)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_density_of_a_uniform_ball_is_flat(d):
    rng = np.random.default_rng(2)
    direction = rng.normal(size=(20000, 3, d))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    walkers = 2.0 * direction * rng.random((20000, 3, 1)) ** (1 / d)
    density = RadialDensity(r_max=4.0, n_bins=8)
    found, volumes = averaged(density, walkers), shells(density, d)
    flat = 3 / (BALL[d] * 2.0**d)
    error = np.sqrt(flat / (20000 * volumes[:4]))
    np.testing.assert_allclose((found[:4] - flat) / error, 0, atol=4.5)
    np.testing.assert_array_equal(found[4:], 0)


def test_each_particle_is_counted_in_its_own_bin():
    density = RadialDensity(r_max=2.0, n_bins=4)
    np.testing.assert_allclose(density.grid, [0.25, 0.75, 1.25, 1.75], rtol=1e-14)
    x = np.array([[0.1, 0.0], [-0.4, 0.2], [0.0, -1.6], [3.0, 4.0], [1e30, 0.0]])
    found = averaged(density, x[None]) * shells(density, 2)
    np.testing.assert_allclose(found, [2, 0, 0, 1], atol=1e-12)  # two are outside


def test_broken_positions_are_in_no_bin():
    x = np.array([[np.nan], [np.inf], [-np.inf], [0.1]])
    density = RadialDensity(r_max=2.0, n_bins=4)
    found = averaged(density, x[None]) @ shells(density, 1)
    np.testing.assert_allclose(found, 1, rtol=1e-12)


def test_mean_square_radius_is_a_mean_over_particles():
    x = np.array([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0]])
    assert averaged(MeanSquareRadius(), x[None]) == 26 / 3


@pytest.mark.parametrize("d", [1, 2, 3])
def test_mean_square_radius_of_the_oscillator_is_d_over_two_omega(d):
    rng = np.random.default_rng(3)
    walkers = rng.normal(scale=1.4**-0.5, size=(20000, 2, d))
    error = np.sqrt(2 * d / 40000) / 1.4  # a sum of d squares, of 40000 particles
    found = averaged(MeanSquareRadius(), walkers)
    np.testing.assert_allclose(found, d / 1.4, rtol=0, atol=4 * error)


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: o.name)
def test_observable_keeps_its_promises(observable, strict_dtypes):
    for dtype in (jnp.float32, jnp.float64):
        value = jax.eval_shape(
            lambda x: observable(None, {}, x), jax.ShapeDtypeStruct((3, 2), dtype)
        )
        shape = () if observable.grid is None else observable.grid.shape
        assert value.shape == shape and value.dtype == dtype
    again = settings.from_json(settings.to_json(observable))
    assert again == observable and hash(again) == hash(observable)


def test_observables_have_different_names():
    assert len({observable.name for observable in OBSERVABLES}) == len(OBSERVABLES)


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"r_max": 0.0}, "r_max must be positive, got 0.0"),
        ({"r_max": -1.0}, "r_max must be positive, got -1.0"),
        ({"r_max": np.inf}, "r_max must be positive, got inf"),
        ({"r_max": np.nan}, "r_max must be positive, got nan"),
        ({"r_max": 1.0, "n_bins": 0}, "n_bins must be a positive integer, got 0"),
        ({"r_max": 1.0, "n_bins": 2.5}, "n_bins must be a positive integer, got 2.5"),
    ],
)
def test_impossible_bins_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        RadialDensity(**setting)

"""Observables against closed forms, on walkers drawn from known densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nqs.files import config as settings
from nqs.observables import (
    Density,
    MeanSquareRadius,
    PairCorrelation,
    RadialDensity,
    SpinSquared,
)
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from tests.cases import few, further

OBSERVABLES = [
    MeanSquareRadius(),
    RadialDensity(r_max=3.0, n_bins=7),
    Density(extent=3.0, n_bins=5),
    PairCorrelation(r_max=3.0, spins=Spins(2, 1), n_bins=7),
    SpinSquared(Spins(2, 1)),
]
BALL = {1: 2.0, 2: np.pi, 3: 4 * np.pi / 3}  # volume at radius 1


def averaged(observable, walkers):
    """Mean over walkers of an observable that is independent of psi."""
    at = jax.jit(jax.vmap(lambda x: observable(None, {}, x)))
    return np.mean(np.asarray(at(jnp.asarray(walkers))), axis=0)


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


@pytest.mark.parametrize("d", [*further(1, 2), 3])
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
    # |psi|^2 at the centers, which is nearly linear within a bin.
    exact = n * (omega / np.pi) ** (d / 2) * np.exp(-omega * density.grid**2)
    np.testing.assert_allclose(found[:6], exact[:6], rtol=0.1)


@pytest.mark.parametrize("d", [*further(1), 2, 3])
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


def test_positions_that_are_nan_are_in_no_bin():
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


def flat(params, x):
    return LogPsi(jnp.ones((), x.dtype), jnp.zeros((), x.dtype))


@pytest.mark.parametrize("observable", OBSERVABLES, ids=lambda o: o.name)
def test_observable_has_the_shape_of_its_grid_and_the_dtype_of_positions(
    observable, strict_dtypes
):
    for dtype in (jnp.float32, jnp.float64):
        value = jax.eval_shape(
            lambda x: observable(Function(flat), {}, x),
            jax.ShapeDtypeStruct((3, 2), dtype),
        )
        shape = () if observable.grid is None else observable.grid.shape
        if isinstance(observable, Density):
            shape = shape[:-1]  # a grid of points (x, y)
        shape = (2, *shape) if isinstance(observable, PairCorrelation) else shape
        assert value.shape == shape and value.dtype == dtype
    again = settings.from_json(settings.to_json(observable))
    assert again == observable and hash(again) == hash(observable)


def test_observables_have_different_names():
    assert len({observable.name for observable in OBSERVABLES}) == len(OBSERVABLES)


@pytest.mark.parametrize(
    "part, setting, message",
    [
        (RadialDensity, {"r_max": 0.0}, "r_max must be .* positive, got 0.0"),
        (RadialDensity, {"r_max": -1.0}, "r_max must be .* positive, got -1.0"),
        (
            RadialDensity,
            {"r_max": np.inf},
            "r_max must be .* positive, got inf",
        ),
        (
            RadialDensity,
            {"r_max": np.nan},
            "r_max must be .* positive, got nan",
        ),
        (
            RadialDensity,
            {"r_max": 1.0, "n_bins": 0},
            "n_bins must be .*, got 0",
        ),
        (
            RadialDensity,
            {"r_max": 1.0, "n_bins": 2.5},
            "n_bins must be .*, got 2.5",
        ),
        (Density, {"extent": 0.0}, "extent must be finite and positive, got 0.0"),
        (Density, {"extent": 1.0, "n_bins": -1}, "n_bins must be .* got -1"),
        (Density, {"extent": 1.0, "d": 4}, "d must be an integer >= 1 and <= 3, got 4"),
        (
            PairCorrelation,
            {"r_max": -2.0},
            "r_max must be .* positive, got -2.0",
        ),
    ],
)
def test_invalid_settings_raise(part, setting, message):
    with pytest.raises(ValueError, match=message):
        part(**setting)


def gaussian_walkers(n_walkers, n, d, omega, seed):
    """Drawn from |psi|^2 of free bosons: no Markov chain, so errors are known."""
    rng = np.random.default_rng(seed)
    return rng.normal(scale=(2 * omega) ** -0.5, size=(n_walkers, n, d))


def agree(counts, expected, n_walkers):
    """Mean counts per walker of independent particles against their expectation."""
    error = np.sqrt(expected / n_walkers)  # at least, for bins rarely hit
    seen = expected * n_walkers > 20
    assert seen.sum() > 3
    np.testing.assert_allclose(((counts - expected) / error)[seen], 0, atol=4.5, rtol=0)


@pytest.mark.parametrize("d", [*further(1), 2, *further(3)])
def test_density_map_of_the_oscillator_is_its_gaussian(d):
    n, omega, n_walkers = 2, 0.7, 20000
    walkers = gaussian_walkers(n_walkers, n, d, omega, 4)
    walkers[:, :, 0] += 0.5  # distinguishes x from y and left from right
    density = Density(extent=1.5, d=d, n_bins=6)
    found = averaged(density, walkers)
    edges = np.linspace(-1.5, 1.5, 7)
    normal = scipy.stats.norm(scale=(2 * omega) ** -0.5)
    inside = np.diff(normal.cdf(edges - 0.5))
    if d > 1:
        inside = np.outer(inside, np.diff(normal.cdf(edges)))
    agree(found * 0.5 ** min(d, 2), n * inside, n_walkers)
    at = np.abs(density.grid - 0.5 * np.eye(2)[0] if d > 1 else density.grid - 0.5)
    exact = (
        n
        * (omega / np.pi) ** (min(d, 2) / 2)
        * np.exp(-omega * np.sum(at**2, axis=-1) if d > 1 else -omega * at**2)
    )
    np.testing.assert_allclose(found, exact, rtol=0.2)  # linear within a bin


def test_density_map_counts_particles_inside_the_window():
    density = Density(extent=2.0, d=2, n_bins=4)
    x = [[0.1, -1.9], [1.5, 0.5], [1.9, 0.9], [2.1, 0.0], [0.0, -9e30], [np.nan, 0.0]]
    found = averaged(density, np.array(x)[None])
    assert found.shape == (4, 4)
    assert found[2, 0] == 1 and found[3, 2] == 2 and found.sum() == 3
    np.testing.assert_array_equal(density.grid[2, 0], [0.5, -1.5])
    np.testing.assert_array_equal(density.grid[3, 2], [1.5, 0.5])
    line = Density(extent=2.0, d=1, n_bins=4)
    np.testing.assert_array_equal(line.grid, [-1.5, -0.5, 0.5, 1.5])
    found = averaged(line, np.array([[[-1.1], [0.0], [2.0], [np.inf]]]))
    np.testing.assert_array_equal(found, [1, 0, 1, 0])
    with pytest.raises(ValueError, match=r"x must have shape \(n, 2\), got \(4, 1\)"):
        density(None, {}, jnp.zeros((4, 1)))


@pytest.mark.parametrize("d", [*further(1), 2, *further(3)])
def test_pair_correlation_of_two_free_bosons_is_a_gaussian(d):
    omega, n_walkers = 0.7, 20000
    walkers = gaussian_walkers(n_walkers, 2, d, omega, 5)
    pairs = PairCorrelation(r_max=4.0, n_bins=10)
    found = averaged(pairs, walkers)
    # x_1 - x_2 is as wide as one particle in a trap of omega / 2
    inside = np.diff(scipy.stats.chi(d, scale=omega**-0.5).cdf(np.linspace(0, 4, 11)))
    agree(found * shells(pairs, d), inside, n_walkers)
    exact = (omega / (2 * np.pi)) ** (d / 2) * np.exp(-omega * pairs.grid**2 / 2)
    np.testing.assert_allclose(found[1:6], exact[1:6], rtol=0.12)


def test_pairs_of_equal_and_opposite_spins_have_separate_rows():
    x = np.array([[0.0, 0.0], [1.5, 0.0], [0.0, 2.5], [0.0, -0.5]])
    # distances: 12 1.5, 13 2.5, 14 0.5, 23 2.9, 24 1.6, 34 3.0
    counted = {
        None: [1, 2, 2, 1],
        Spins(0, 4): [[1, 2, 2, 1], [0, 0, 0, 0]],
        Spins(1, 3): [[0, 1, 1, 1], [1, 1, 1, 0]],
        Spins(2, 2): [[0, 1, 0, 1], [1, 1, 2, 0]],
        Spins(4, 0): [[1, 2, 2, 1], [0, 0, 0, 0]],
    }
    for spins, expected in counted.items():
        pairs = PairCorrelation(r_max=4.0, spins=spins, n_bins=4)
        found = averaged(pairs, x[None]) * shells(pairs, 2)
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert len(pairs.curves) == (0 if spins is None else 2)
    assert pairs.curves == ("equal spins", "opposite spins")
    with pytest.raises(ValueError, match="spins must add up to n=4"):
        PairCorrelation(4.0, Spins(5))(None, {}, jnp.asarray(x))


def test_pairs_of_equal_spins_vanish_at_contact():
    """Two spins up in one dimension: |psi|^2 ~ (x_1 - x_2)^2 exp(-omega r^2 / 2)."""
    rng = np.random.default_rng(6)
    n_walkers, omega = 20000, 0.7
    r = scipy.stats.chi(3, scale=omega**-0.5).rvs(n_walkers, random_state=rng)
    walkers = np.stack([r / 2, -r / 2], axis=1)[:, :, None]
    pairs = PairCorrelation(r_max=5.0, spins=Spins(2), n_bins=10)
    equal, opposite = averaged(pairs, walkers)
    inside = np.diff(scipy.stats.chi(3, scale=omega**-0.5).cdf(np.linspace(0, 5, 11)))
    agree(equal * 1.0, inside, n_walkers)  # both sides of bins of 0.5
    assert not opposite.any()


def orbitals(*levels):
    """A wave function of one determinant of oscillator orbitals x^k for each spin."""

    def psi(params, x):
        sign, logabs = jnp.ones(()), -jnp.sum(x**2) / 2
        start = 0
        for spin in levels:
            rows = x[start : start + len(spin), 0]
            matrix = jnp.stack([HERMITE[k](rows) for k in spin], axis=1)
            factor, log_det = jnp.linalg.slogdet(matrix)
            sign, logabs = sign * factor, logabs + log_det
            start += len(spin)
        return LogPsi(sign, logabs)

    return Function(psi)


HERMITE = (
    lambda x: jnp.ones_like(x),
    lambda x: np.sqrt(2) * x,
    lambda x: (2 * x**2 - 1) / np.sqrt(2),
)


def spin_squared(ansatz, spins, walkers):
    local = jax.vmap(lambda x: SpinSquared(spins)(ansatz, {}, x))
    return np.asarray(jax.jit(local)(jnp.asarray(walkers)))


# Two electrons: even and odd in x_1 - x_2.
def even(params, x):
    return LogPsi(jnp.ones(()), -jnp.sum(x**2) / 2 + jnp.sum((x[0] - x[1]) ** 2) / 9)


def odd(params, x):
    difference = x[0, 0] - x[1, 0]
    return LogPsi(jnp.sign(difference), -jnp.sum(x**2) + jnp.log(jnp.abs(difference)))


def turned(params, x):
    """The odd psi times a phase that depends on the positions."""
    psi = odd(params, x)
    return LogPsi(psi.sign * jnp.exp(1j * jnp.sum(x**2)), psi.logabs)


EIGENSTATES = {
    "singlet": (Function(even), Spins(1, 1), 0),
    "triplet, S_z = 0": (Function(odd), Spins(1, 1), 2),
    "complex triplet": (Function(turned), Spins(1, 1), 2),
    "triplet, S_z = 1": (Function(odd), Spins(2, 0), 2),
    "triplet, S_z = -1": (Function(odd), Spins(0, 2), 2),
    "doublet": (orbitals((0, 1), (0,)), Spins(2, 1), 0.75),
    "doublet upside down": (orbitals((1,), (0, 1)), Spins(1, 2), 0.75),
    "quartet": (orbitals((0, 1, 2)), Spins(3), 3.75),
    "closed shells": (orbitals((0, 1), (0, 1)), Spins(2, 2), 0),
    "triplet of four": (orbitals((0, 1, 2), (1,)), Spins(3, 1), 2),
}


@pytest.mark.parametrize(
    "name", few(EIGENSTATES, "complex triplet", "doublet", "quartet", "closed shells")
)
def test_spin_squared_of_an_eigenstate_is_the_same_everywhere(name):
    ansatz, spins, expected = EIGENSTATES[name]
    walkers = np.random.default_rng(7).normal(size=(20, spins.n, 1))
    found = spin_squared(ansatz, spins, walkers)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "up, down, expected",
    [
        *further(((0, 1), (0, 2), 1.0)),
        ((0, 1), (2,), 1.75),
        *further(((1,), (0, 2), 1.75)),
    ],
)
def test_spin_squared_of_a_mixture_is_its_mean(up, down, expected):
    """S_z (S_z + 1) + n_down - sum |<up orbital|down orbital>|^2 of a determinant."""
    ansatz, spins = orbitals(up, down), Spins(len(up), len(down))
    walkers = np.random.default_rng(8).normal(size=(20000, spins.n, 1))
    log_psi = jax.vmap(lambda x: ansatz.apply({}, x).logabs)(jnp.asarray(walkers))
    weights = np.exp(2 * log_psi + np.sum(walkers**2, axis=(1, 2)) / 2)
    weights /= weights.mean()
    found = spin_squared(ansatz, spins, walkers)
    error = np.std(weights * (found - expected)) / np.sqrt(len(walkers))
    assert abs(np.mean(weights * found) - expected) < 4 * error < 0.3


def test_spins_that_do_not_add_up_to_n_raise():
    with pytest.raises(ValueError, match="spins must add up to n=2"):
        SpinSquared(Spins(3))(Function(even), {}, jnp.zeros((2, 1)))

"""Extrapolation of the energy to zero variance, and when it is refused."""

import numpy as np
import pytest

from nqs.statistics.extrapolation import Blocks, blocks, extrapolate

WALKERS = 500


def history(seed, steps=1000, slope=0.4, final=0.1, noise=1.0, tau=0):
    """Energies 3 + slope * variance, with the noise of a mean over walkers."""
    rng = np.random.default_rng(seed)
    i = np.arange(steps)
    variance = final * (1 + 5 * np.exp(-4 * i / steps))
    scatter = rng.normal(size=steps)
    for step in range(1, steps if tau else 0):
        r = np.exp(-1 / tau)
        scatter[step] = r * scatter[step - 1] + np.sqrt(1 - r**2) * scatter[step]
    energy = 3 + slope * variance + noise * np.sqrt(variance / WALKERS) * scatter
    sampled = variance * (1 + noise * np.sqrt(2 / WALKERS) * rng.normal(size=steps))
    return {"energy": energy, "variance": sampled}


def pulls(**settings):
    """Deviations from the exact energy in standard errors, of many histories."""
    found = [extrapolate(blocks(history(seed, **settings))) for seed in range(100)]
    return np.array([(line.energy - 3) / line.error for line in found])


def test_a_straight_line_without_noise_is_found():
    line = extrapolate(blocks(history(0, noise=0.0)))
    assert line.energy == pytest.approx(3, abs=1e-12)
    assert line.slope == pytest.approx(0.4, rel=1e-10)
    assert line.error < 1e-12


@pytest.mark.parametrize("tau", [0, 20])
def test_error_matches_the_scatter_of_the_energy(tau):
    distances = pulls(tau=tau, slope=1.0)
    assert abs(distances.mean()) < 0.4  # 100 histories: 0.1, and the noise of Var
    assert 0.75 < distances.std() < 1.25


def test_the_weights_are_those_of_the_variances():
    """Least squares by hand, for energies with one large residual."""
    variance, energy = np.geomspace(0.1, 1, 20), np.geomspace(0.1, 1, 20)
    energy[-1] += 0.5
    weights = np.diag(1 / variance)
    design = np.stack([np.ones(20), variance], axis=1)
    normal = design.T @ weights @ design
    intercept, slope = np.linalg.solve(normal, design.T @ weights @ energy)
    line = extrapolate(Blocks(variance, energy))
    assert line.energy == pytest.approx(intercept, rel=1e-10)
    assert line.slope == pytest.approx(slope, rel=1e-10)
    residuals = energy - design @ [intercept, slope]
    square = residuals @ weights @ residuals / 18 * np.linalg.inv(normal)[0, 0]
    assert line.error == pytest.approx(np.sqrt(square), rel=0.2)  # up to correlation


def test_the_energy_unit_and_origin_do_not_matter():
    one = history(1)
    line = extrapolate(blocks(one))
    other = {
        "energy": 27.2 * one["energy"] - 1e4,
        "variance": 27.2**2 * one["variance"],
    }
    moved = extrapolate(blocks(other))
    assert moved.energy == pytest.approx(27.2 * line.energy - 1e4, rel=1e-12)
    assert moved.error == pytest.approx(27.2 * line.error, rel=1e-6)
    assert moved.slope == pytest.approx(line.slope / 27.2, rel=1e-6)


def test_the_beginning_and_outliers_are_left_out():
    clean = history(2, noise=0.1)
    spoiled = {name: values.copy() for name, values in clean.items()}
    spoiled["energy"][:90] += 50  # far from the line
    spoiled["variance"][:90] *= 2
    spoiled["variance"][700] = 1e6  # one walker at a node
    spoiled["energy"][800] = np.nan  # null in metrics.jsonl
    found, expected = extrapolate(blocks(spoiled)), extrapolate(blocks(clean))
    assert found.energy == pytest.approx(expected.energy, abs=3 * expected.error)
    assert found.error < 2 * expected.error


@pytest.mark.parametrize(
    "metrics",
    [
        {},
        {"energy": np.ones(100)},
        {"energy": np.zeros(0), "variance": np.zeros(0)},
        history(0, steps=11),
        {name: np.full(100, np.nan) for name in ("energy", "variance")},
    ],
    ids=["none", "no variance", "empty", "short", "NaN"],
)
def test_too_short_history_has_no_blocks_and_no_extrapolation(metrics):
    assert blocks(metrics) is None
    assert extrapolate(None) is None


def test_short_history_with_little_noise_is_extrapolated():
    line = extrapolate(blocks(history(3, steps=40, noise=0.2)))
    assert abs(line.energy - 3) < 5 * line.error


@pytest.mark.parametrize(
    "settings",
    [{"slope": 0.0}, {"slope": -0.4}, {"final": 1e-9, "slope": 1e-6}],
    ids=["flat", "falling", "lost in noise"],
)
def test_insignificant_slope_gives_no_extrapolation(settings):
    for seed in range(10):
        found = blocks(history(seed, **settings))
        assert found is not None
        assert extrapolate(found) is None


def test_scattered_variance_gives_no_extrapolation():
    """Scatter of the variance would make the slope too small."""
    rng = np.random.default_rng(4)
    variance = 0.1 * (1 + 0.1 * rng.normal(size=1000))
    metrics = {"energy": 3 + 0.4 * variance, "variance": variance}
    assert extrapolate(blocks(metrics)) is None
    still = {"energy": np.full(1000, 3.0), "variance": np.full(1000, 0.1)}
    assert extrapolate(blocks(still)) is None
    exact = {"energy": np.full(1000, 3.0), "variance": np.zeros(1000)}
    assert extrapolate(blocks(exact)) is None


@pytest.mark.parametrize("change", [0.0, 1e-15])
def test_equal_variances_give_no_extrapolation(change):
    variance = np.full(60, 0.3) + change * np.arange(60)
    assert extrapolate(Blocks(variance, np.linspace(1, 2, 60))) is None

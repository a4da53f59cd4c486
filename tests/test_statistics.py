import time

import numpy as np
import pytest
from scipy.signal import lfilter

from nqs.statistics.estimates import Estimate, TooFewSamples, estimate
from tests.cases import further

SHAPES = [(16, 63), (16, 512), (64, 16), (1024, 8), (1, 4096)]  # (chains, steps)
REPLICATES = 200


def autoregressive(rng, rho, shape):
    """Stationary Gaussian AR(1) along the last axis, variance 1."""
    noise = rng.standard_normal(shape)
    noise[..., 1:] *= np.sqrt(1 - rho**2)
    return lfilter([1.0], [1.0, -rho], noise, axis=-1)


def variance_of_the_mean(rho, chains, steps):
    """For AR(1) of variance 1: sum_k (1 - |k| / steps) rho^|k| / (chains steps)."""
    k = np.arange(1, steps)
    return (1 + 2 * np.sum((1 - k / steps) * rho**k)) / (chains * steps)


def found(samples) -> Estimate:
    """The estimate, even of too few samples."""
    try:
        return estimate(samples)
    except TooFewSamples as error:
        return error.estimate


def mean_error(replicates):
    return np.mean([found(samples).error for samples in replicates])


@pytest.mark.parametrize("rho", [*further(0.0, 0.5), 0.9, *further(0.98), -0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_error_is_the_standard_deviation_of_the_mean(shape, rho):
    rng = np.random.default_rng(1)
    replicates = autoregressive(rng, rho, (REPLICATES, *shape))
    true_error = np.sqrt(variance_of_the_mean(rho, *shape))
    # 200 replicates give the ratio to 0.01, and to 0.03 for rho = 0.98 in one chain.
    assert 0.95 < mean_error(replicates) / true_error < 1.18


@pytest.mark.parametrize("shape", [(16, 512), (64, 256), (1, 32768)])
def test_error_contains_a_slow_mode_of_small_amplitude(shape):
    rng = np.random.default_rng(2)
    size = (100, *shape)
    fast, slow = autoregressive(rng, 0.0, size), autoregressive(rng, 0.98, size)
    true_error = np.sqrt(
        0.9 * variance_of_the_mean(0.0, *shape)
        + 0.1 * variance_of_the_mean(0.98, *shape)
    )
    ratio = mean_error(np.sqrt(0.9) * fast + np.sqrt(0.1) * slow) / true_error
    assert 0.9 < ratio < 1.15  # a window alone finds two thirds


@pytest.mark.parametrize("shape", SHAPES)
def test_error_of_heavy_tailed_samples_is_right(shape):
    rng = np.random.default_rng(3)
    # Student's t with 3 degrees of freedom: variance 3, no finite fourth moment.
    replicates = rng.standard_t(3, (REPLICATES, *shape))
    true_error = np.sqrt(3 / np.prod(shape))
    assert 0.9 < mean_error(replicates) / true_error < 1.25


@pytest.mark.parametrize("rho", [0.0, 0.8, 0.95, -0.5])
def test_autocorrelation_time_of_long_series_is_known(rho):
    shape = (64, 4096)
    samples = autoregressive(np.random.default_rng(4), rho, shape)
    tau = (1 + rho) / (1 - rho)
    # 64 chain means determine tau to sqrt(2 / 63) = 18 %, so a factor 2 is far outside.
    assert 0.8 < estimate(samples).autocorrelation_time / tau < 1.5


def test_error_effective_samples_and_autocorrelation_time_agree():
    samples = autoregressive(np.random.default_rng(5), 0.7, (16, 500))
    result = estimate(samples)
    assert result.n_samples == samples.size
    np.testing.assert_allclose(result.mean, samples.mean(), atol=1e-12)
    np.testing.assert_allclose(result.variance, samples.var(), rtol=1e-12)
    np.testing.assert_allclose(
        [result.error**2, result.autocorrelation_time],
        [result.variance / result.n_effective, samples.size / result.n_effective],
        rtol=1e-12,
    )


def test_error_scales_with_the_samples_and_ignores_a_shift():
    samples = autoregressive(np.random.default_rng(6), 0.7, (16, 500))
    result, other = estimate(samples), estimate(1000.0 - 3.0 * samples)
    np.testing.assert_allclose(other.mean, 1000.0 - 3.0 * result.mean, rtol=1e-12)
    np.testing.assert_allclose(other.error, 3.0 * result.error, rtol=1e-9)
    np.testing.assert_allclose(other.r_hat, result.r_hat, rtol=1e-9)


def test_single_precision_and_integers_are_summed_in_double():
    samples = autoregressive(np.random.default_rng(7), 0.5, (16, 500))
    spins = np.sign(samples).astype(np.int32)
    assert estimate(spins) == estimate(spins.astype(float))
    single = samples.astype(np.float32)
    assert estimate(single) == estimate(single.astype(float))


def test_one_dimension_is_one_chain():
    series = autoregressive(np.random.default_rng(8), 0.5, (2000,))
    assert estimate(series) == estimate(series[None, :])


@pytest.mark.parametrize("chains", [2, 4, 16, 64])
def test_chains_stuck_in_different_modes_are_as_many_samples_as_chains(chains):
    rng = np.random.default_rng(9)
    samples = rng.standard_normal((chains, 500)) + 10.0 * np.arange(chains)[:, None]
    with pytest.raises(TooFewSamples) as caught:
        estimate(samples)
    result = caught.value.estimate
    between = samples.mean(axis=1).std(ddof=1) / np.sqrt(chains)
    np.testing.assert_allclose(result.error, between, rtol=1e-9)
    assert result.n_effective < chains
    assert result.r_hat > 5.0


def test_chains_that_disagree_a_little_widen_the_error():
    rng = np.random.default_rng(10)
    samples = rng.standard_normal((64, 4000)) + 0.2 * rng.standard_normal((64, 1))
    result = estimate(samples)
    between = samples.mean(axis=1).std(ddof=1) / 8
    np.testing.assert_allclose(result.error, between, rtol=1e-9)
    assert result.r_hat > 1.01


def test_too_few_samples_is_raised_exactly_below_a_hundred_effective_samples():
    rng = np.random.default_rng(11)
    raised = 0
    for _ in range(300):
        samples = autoregressive(rng, 0.9, (16, 110))  # about 100 effective samples
        try:
            assert estimate(samples).n_effective >= 100
        except TooFewSamples as error:
            assert error.estimate.n_effective < 100
            raised += 1
    assert 50 < raised < 250


def test_too_short_series_names_the_missing_steps():
    samples = autoregressive(np.random.default_rng(0), 0.9, (4, 100))
    with pytest.raises(TooFewSamples, match=r"got \d+ from 4 x 100 steps"):
        estimate(samples)
    with pytest.raises(TooFewSamples, match=r"add about \d+ steps to each chain"):
        estimate(samples)
    with pytest.raises(ValueError):
        estimate(samples)
    result = found(samples)
    np.testing.assert_allclose(result.mean, samples.mean(), rtol=1e-12)
    assert 5 < result.n_effective < 60  # exactly 400 (1 - 0.9) / (1 + 0.9) = 21


def test_long_series_has_enough_samples():
    samples = autoregressive(np.random.default_rng(12), 0.9, (4, 4000))
    assert 400 < estimate(samples).n_effective < 1600  # exactly 842


def test_missing_steps_are_sufficient():
    rng = np.random.default_rng(13)
    tau, steps = 19, 100  # rho = 0.9
    with pytest.raises(TooFewSamples) as caught:
        estimate(autoregressive(rng, 0.9, (8, steps)))
    missing = int(str(caught.value).split("add about ")[1].split()[0])
    assert 0.5 < (steps + missing) / (100 * tau / 8) < 2


@pytest.mark.parametrize("shape", [(16, 63), (100, 1), (50, 2), (1, 100)])
@pytest.mark.parametrize("value", [0.0, 4.2, -0.5, 1e-200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exact_eigenstate_has_no_error(shape, value, dtype):
    rounding = (
        4 * np.finfo(dtype).eps * np.random.default_rng(14).standard_normal(shape)
    )
    for samples in (np.full(shape, value), value * (1 + rounding)):
        result = estimate(samples.astype(dtype))
        assert result.error <= np.finfo(dtype).eps * abs(value)
        assert result.n_effective == result.n_samples == np.prod(shape)
        assert result.autocorrelation_time == 1.0
        assert result.r_hat == 1.0
        np.testing.assert_allclose(result.mean, value, rtol=1e-6, atol=1e-30)


def test_perfect_anticorrelation_gives_a_finite_error():
    result = estimate(np.tile([1.0, -1.0], (1, 1000)))
    assert 0 < result.error <= 1 / 1000
    assert np.isfinite(result.n_effective)


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 2), (1, 7)])
def test_tiny_series_are_refused_without_a_warning(shape):
    with pytest.raises(TooFewSamples) as caught:
        estimate(np.random.default_rng(15).standard_normal(shape))
    assert np.isfinite(caught.value.estimate.error)


def test_r_hat_matches_its_formula_and_is_near_one_for_mixed_chains():
    samples = autoregressive(np.random.default_rng(16), 0.5, (16, 501))
    halves = [half for chain in samples for half in (chain[:250], chain[-250:])]
    within = np.mean([np.var(half, ddof=1) for half in halves])
    between = np.var([np.mean(half) for half in halves], ddof=1)
    result = estimate(samples)
    expected = np.sqrt((249 / 250 * within + between) / within)
    np.testing.assert_allclose(result.r_hat, expected, rtol=1e-12)
    assert 0.99 < result.r_hat < 1.01


def test_r_hat_detects_a_common_drift():
    samples = np.random.default_rng(17).standard_normal((16, 400))
    assert found(samples + np.linspace(0.0, 4.0, 400)).r_hat > 1.2


def test_r_hat_needs_four_steps_a_chain():
    samples = np.random.default_rng(18).standard_normal((1024, 4))
    assert 0.9 < estimate(samples).r_hat < 1.1
    assert np.isnan(estimate(samples[:, :3]).r_hat)


def test_r_hat_of_immobile_chains_at_different_places_is_huge():
    result = found(np.repeat([[1.0], [2.0], [4.0]], 100, axis=1))
    assert result.r_hat > 1e6
    np.testing.assert_allclose(result.n_effective, 2.0)  # 3 chains less their mean


def test_samples_that_are_not_finite_are_counted():
    samples = np.ones((4, 100))
    samples[1, 2], samples[3, 4], samples[3, 5] = np.nan, np.inf, -np.inf
    with pytest.raises(ValueError, match="finite, got 3 of 400") as caught:
        estimate(samples)
    assert not isinstance(caught.value, TooFewSamples)


@pytest.mark.parametrize("shape", [(), (0,), (4, 0), (0, 4), (2, 3, 4)])
def test_other_shapes_are_named(shape):
    with pytest.raises(
        ValueError, match=r"\(chains, steps\).*got float64 of"
    ) as caught:
        estimate(np.zeros(shape))
    assert str(caught.value).endswith(f"shape {shape}")


def test_complex_samples_are_refused():
    with pytest.raises(ValueError, match="must be real.*got complex128"):
        estimate(np.ones((4, 100), complex))


def test_a_thousand_chains_of_thousands_of_steps_take_about_a_second():
    samples = np.random.default_rng(19).standard_normal((1024, 4000))
    start = time.perf_counter()
    result = estimate(samples)
    assert (
        time.perf_counter() - start < 5.0
    )  # 0.5 on an idle core; busy ones are slower
    assert 0.9 < result.autocorrelation_time < 1.2

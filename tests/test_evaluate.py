"""Measuring: known samples give known means, errors and warnings."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import (
    Coulomb,
    Gaussian,
    HarmonicPairs,
    HarmonicTrap,
    InverseSquare,
)
from nqs.batching import chunked_map
from nqs.observables import Density, MeanSquareRadius, RadialDensity
from nqs.space.spins import Spins
from nqs.statistics import (
    Evaluation,
    Measurements,
    estimate,
    means,
    merged_profile,
    stack,
    summary,
)
from nqs.statistics.evaluation import N_GROUPS, group_means
from nqs.statistics.summary import carriers
from nqs.types import Function, LogPsi
from samplers import Metropolis
from tests.cases import further
from tests.tiny import Still, StillState, Well, evaluate, exact, gaussian

RANDOM = np.random.default_rng(1)
STEPS, WALKERS = 200, 32
N = STEPS * WALKERS


def only(acceptance=1.0, scalars=None, profiles=None, **terms):
    """Measurements of these terms."""
    return Measurements(acceptance, 0, terms, scalars or {}, profiles or {})


def samples(scalars=None, profiles=None, **terms):
    """Independent samples: a kinetic energy of 2 +- 0.3 and a potential of 1 +- 0.4."""
    drawn = {
        "kinetic": 2 + 0.3 * RANDOM.normal(size=(STEPS, WALKERS)),
        "potential": 1 + 0.4 * RANDOM.normal(size=(STEPS, WALKERS)),
    }
    acceptance = np.linspace(0.4, 0.6, STEPS)
    return only(acceptance, scalars, profiles, **drawn | terms)


def test_means_and_errors_are_those_of_the_samples():
    found = summary(samples())
    error = 0.5 / np.sqrt(N)  # 0.3 and 0.4 are independent
    assert abs(found["energy"] - 3) < 4 * error
    # the error of an error from N samples with a blocked estimate is 21 % at worst
    assert found["energy_error"] == pytest.approx(error, rel=0.3)
    assert found["variance"] == pytest.approx(0.25, rel=0.1)
    assert found["energy_imaginary"] is None
    mean, kinetic_error = found["terms"]["kinetic"]
    assert abs(mean - 2) < 4 * kinetic_error
    assert kinetic_error == pytest.approx(0.3 / np.sqrt(N), rel=0.3)
    assert found["acceptance"] == pytest.approx(0.5)
    assert found["n_samples"] == N
    assert found["n_effective"] == pytest.approx(N, rel=0.5)
    assert found["r_hat"] == pytest.approx(1, abs=0.02)
    assert found["warnings"] == [] and found["observables"] == {}


def test_energy_error_contains_the_correlation_of_terms():
    kinetic = 2 + 0.3 * RANDOM.normal(size=(STEPS, WALKERS))
    found = summary(samples(kinetic=kinetic, potential=3 - kinetic))
    assert found["energy"] == pytest.approx(3, rel=1e-14)
    assert found["energy_error"] < 1e-14
    assert found["terms"]["potential"][1] > 1e-3


def test_walkers_of_constant_energy_count_as_one_sample_each():
    """The number of effective samples is about the number of walkers."""
    still = np.repeat(RANDOM.normal(size=(1, WALKERS)), STEPS, axis=0)
    found = summary(only(kinetic=still))
    assert found["energy_error"] is None
    assert found["n_effective"] < 2 * WALKERS
    assert found["r_hat"] > 10 or not np.isfinite(found["r_hat"])
    (warning,) = (text for text in found["warnings"] if "for energy" in text)
    assert "effective samples must be at least 100" in warning
    assert any("the chains disagree: R-hat" in text for text in found["warnings"])


def test_disagreeing_chains_raise_a_warning():
    """Enough samples for an error bar, but two halves of the chains disagree."""
    values = np.random.default_rng(2).normal(size=(STEPS, 1024))
    values += np.repeat([0, 3], 512)
    found = summary(only(kinetic=values))
    assert found["energy_error"] is not None
    (warning,) = found["warnings"]
    assert warning.startswith("the chains disagree: R-hat of the energy is 1.8")


@pytest.mark.parametrize("freedom, heavy", [(1.5, True), (3, False), (100, False)])
def test_heavy_tails_raise_a_warning(freedom, heavy):
    """Student's t has a finite variance above two degrees of freedom."""
    random = np.random.default_rng(4)
    values = random.standard_t(freedom, size=(STEPS, 1024))
    found = summary(only(kinetic=values))
    warnings = [text for text in found["warnings"] if text.startswith("heavy tails")]
    assert len(warnings) == heavy


def test_share_of_samples_with_half_of_the_variance_of_known_distributions():
    values = np.random.default_rng(5).normal(size=200_000)
    assert carriers(values) == pytest.approx(0.1240, abs=2e-3)  # 2 (1 - Phi(1.538))
    assert carriers(np.array([3.0, 3.0])) == 1
    assert carriers(np.array([1.0, -1.0, 0.0, 0.0])) == 0.25
    assert carriers(np.array([1.0, np.nan])) == 1
    assert carriers(1.0 * (np.arange(1000) == 500)) == 1e-3


def test_heavy_tails_of_rounding_raise_no_warning():
    """The rounding of an exact eigenstate is 1 / x^2 at a distance x from its nodes.

    |psi|^2 is x^2 there, so that the tail of the density is E^-5/2.
    """
    random = np.random.default_rng(6)
    noise = random.normal(size=200_000) / random.uniform(size=200_000) ** (2 / 3)
    assert carriers(noise) < 1e-4
    assert carriers(2 + 1e-16 * noise) == 1
    single = (2 + 1e-8 * random.normal(size=1000)).astype(np.float32)
    assert carriers(single) == 1


def test_stuck_chains_have_no_error_bars():
    """Immobile walkers do not sample |psi|^2, whether they are equal or not."""
    for spread in (0.0, 1.0):
        start = np.random.default_rng(3).normal(size=(1, 1024))
        still = np.repeat(spread * start, STEPS, axis=0) - 2
        profiles = {"density": np.ones((STEPS, 16, 5))}
        frozen = only(0.0, {"radius": still}, profiles, kinetic=still)
        found = summary(frozen, lambda terms: {"twice": (jnp.exp, terms["kinetic"])})
        assert any("the walkers are where they started" in w for w in found["warnings"])
        assert found["energy"] == pytest.approx(still.mean())
        assert found["energy_error"] is None
        assert found["terms"]["kinetic"][1] is None
        assert found["relative_variance"][1] is None
        assert found["observables"]["radius"][1] is None
        assert found["observables"]["twice"][1] is None
        assert np.isnan(found["profiles"]["density"][1]).all()


def test_equal_energies_have_no_error_bar():
    found = summary(only(kinetic=np.full((STEPS, WALKERS), -2.0)))
    assert found["energy"] == -2 and found["energy_error"] is None
    assert any("all samples are equal" in text for text in found["warnings"])


def test_a_complex_energy_has_its_imaginary_part_reported():
    imaginary = 0.1 * RANDOM.normal(size=(STEPS, WALKERS))
    found = summary(samples(phase=1j * imaginary))
    error = 0.1 / np.sqrt(N)
    assert abs(found["energy_imaginary"]) < 4 * error
    assert found["energy_imaginary"] == pytest.approx(imaginary.mean())
    assert abs(found["energy"] - 3) < 4 * 0.5 / np.sqrt(N)
    assert found["variance"] == pytest.approx(0.25 + 0.01, rel=0.1)
    assert found["terms"]["phase"][0] == 0


def test_too_few_samples_warn_of_each_quantity_by_name():
    terms = {name: values[:2] for name, values in samples().terms.items()}
    scalars = {"r_squared": terms["kinetic"]}
    profiles = {"density": RANDOM.normal(size=(2, 16, 5))}
    found = summary(only(0.5, scalars, profiles, **terms))
    assert found["energy_error"] is None
    assert found["terms"]["kinetic"][1] is None
    assert found["observables"]["r_squared"][1] is None
    assert np.isnan(found["profiles"]["density"][1]).all()
    for name in ("energy", "kinetic", "potential", "r_squared", "density"):
        assert sum(f"no error bar for {name}:" in w for w in found["warnings"]) == 1
    assert found["energy"] == pytest.approx(
        terms["kinetic"].mean() + terms["potential"].mean()
    )


def test_samples_that_are_not_finite_raise_a_warning():
    broken = np.ones((STEPS, WALKERS))
    broken[3, 5] = np.inf
    found = summary(samples({"ratio": broken}))
    assert found["energy_error"] is not None
    assert np.isnan(found["observables"]["ratio"][0])
    assert found["observables"]["ratio"][1] is None
    assert found["warnings"] == [f"1 of {N} samples of ratio are not finite"]


def test_profiles_have_a_mean_and_an_error_for_every_bin():
    truth, scatter = np.array([1.0, 2.0, 0.0]), np.array([0.1, 0.2, 0.0])
    values = truth + scatter * RANDOM.normal(size=(STEPS, N_GROUPS, 3))
    found = summary(samples(profiles={"density": values}))
    mean, error = found["profiles"]["density"]
    expected = scatter / np.sqrt(STEPS * N_GROUPS)
    assert np.all(np.abs(mean - truth) <= 4 * expected)
    np.testing.assert_allclose(error, expected, rtol=0.35)


def positions(n_walkers):
    return Well(2).initial_walkers(jax.random.key(0), n_walkers)


@pytest.mark.parametrize("chunk_size", [*further(None), 7])
def test_one_step_measures_every_walker(chunk_size):
    density = RadialDensity(4.0, 10)
    evaluation = Evaluation(
        Function(gaussian),
        Well(2),
        Still(),
        (MeanSquareRadius(), density),
        chunk_size,
    )
    params, walkers = {"a": jnp.asarray(0.8)}, positions(WALKERS)
    state, values = jax.jit(evaluation.step)(None, params, StillState(walkers))
    assert state.walkers is not None
    assert values.acceptance == 1 and values.non_finite == 0
    assert set(values.terms) == {"kinetic", "trap"}
    assert set(values.scalars) == {"r_squared"} and set(values.profiles) == {"density"}
    squares = np.sum(np.square(walkers), axis=(1, 2))
    np.testing.assert_allclose(values.terms["trap"], squares / 2)
    np.testing.assert_allclose(values.terms["kinetic"], 0.8 - 0.32 * squares)
    np.testing.assert_allclose(values.scalars["r_squared"], squares / 2)
    profile = chunked_map(lambda x: density(None, None, x), walkers)
    # group g holds walkers g, g + 16, g + 32 ...
    groups = np.stack([profile[g::N_GROUPS].mean(axis=0) for g in range(N_GROUPS)])
    np.testing.assert_allclose(values.profiles["density"], groups)


@pytest.mark.parametrize(
    "n_walkers, groups", [*further((11, 1)), (10, 2), *further((24, 8), (48, 16))]
)
def test_groups_have_equal_numbers_of_walkers(n_walkers, groups):
    walkers = positions(n_walkers)
    profile = RadialDensity(4.0, 5)
    means = jax.jit(lambda w: group_means(lambda x: profile(None, None, x), w))(walkers)
    assert means.shape == (groups, 5)
    inside = np.abs(walkers).ravel() < 4
    np.testing.assert_allclose(np.mean(means, axis=0).sum() * 1.6, 2 * inside.mean())


def test_large_profiles_have_few_groups_and_little_memory():
    """All 40 x 40 bins of 4096 walkers would take twice 52 MB."""
    walkers = jax.random.normal(jax.random.key(0), (4096, 3, 2))

    def profile(x):
        return Density(4.0)(None, None, x)

    compiled = jax.jit(lambda w: group_means(profile, w)).lower(walkers).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 20e6
    found = compiled(walkers)
    assert found.shape == (2, 40, 40)
    assert np.mean(found) * 8**2 == pytest.approx(3, rel=1e-3)  # the integral
    for group in range(2):
        x, y = np.moveaxis(walkers[group::2].reshape(-1, 2), -1, 0)
        counts, *_ = np.histogram2d(x, y, bins=40, range=[(-4, 4), (-4, 4)])
        np.testing.assert_allclose(found[group], counts / 2048 / 0.2**2, atol=1e-12)


@pytest.mark.parametrize("shape", [(2, 3), (2, 2, 2)])
def test_profile_errors_contain_autocorrelation(shape):
    """A number repeated 5 times is one sample."""
    values = RANDOM.normal(size=(STEPS, *shape)).repeat(5, axis=0)
    profiles = {"map": values}
    found = summary(only(profiles=profiles, a=values.reshape(5 * STEPS, -1)))
    mean, error = found["profiles"]["map"]
    assert mean.shape == error.shape == shape[1:]
    np.testing.assert_allclose(mean, values.mean(axis=(0, 1)), rtol=1e-12)
    # 0.05, up to the 20 % by which estimates scatter; 0.022 without the repetition
    assert np.all((0.03 < error) & (error < 0.09))


def test_the_relative_variance_has_the_error_of_both_averages():
    """Gaussian E_L: Var is known to 2 Var^2 / N, E to Var / N, independently."""
    mean, error = summary(samples())["relative_variance"]
    exact = 0.25 / 3**2
    expected = exact * np.sqrt((2 + 4 * exact) / N)
    assert abs(mean - exact) < 4 * expected
    assert error == pytest.approx(expected, rel=0.25)
    # E_L = 1 + chi^2: Var and E are correlated, which reduces the error of Var / E^2
    skewed = 1 + RANDOM.normal(size=(STEPS, WALKERS)) ** 2
    mean, error = summary(only(a=skewed))["relative_variance"]
    # the third and fourth central moments of chi^2 are 8 and 60
    series = 60 - 4 + 4 * 2**2 / 2**2 * 2 - 2 * 2 * 2 / 2 * 8
    assert abs(mean - 0.5) < 4 * np.sqrt(series / N) / 4
    assert error == pytest.approx(np.sqrt(series / N) / 4, rel=0.3)


def test_relative_variance_of_eigenstate_and_of_zero_energy():
    still = np.full((STEPS, WALKERS), 0.1) * (1 + 1e-16 * RANDOM.normal(size=(1, 32)))
    found = summary(only(a=still))
    assert found["relative_variance"] == [pytest.approx(0, abs=1e-28), 0.0]
    found = summary(only(a=still - still))
    assert found["relative_variance"] is None


def virial(trap, psi, width, params=None):
    """The ratio and its error, from walkers drawn as Gaussians of a width."""
    random = np.random.default_rng(1)  # independent of other tests
    drawn = random.normal(scale=width, size=(STEPS, WALKERS, trap.n, trap.d))
    evaluation = Evaluation(Function(psi), trap, Still())
    step = jax.jit(lambda walkers: evaluation.step(None, params, StillState(walkers)))
    measured = [step(jnp.asarray(walkers))[1] for walkers in drawn]
    found = summary(stack(jax.device_get(measured)), trap.derived)
    return found["observables"]["virial_ratio"]


@pytest.mark.parametrize("a", [1.0, 1.3])
def test_the_virial_ratio_of_a_gaussian_is_the_square_of_its_exponent(a):
    """2 <T> = n d a / 2 and 2 <V> = n d / (2 a)."""

    def psi(params, x):
        return LogPsi(jnp.ones(()), -a * jnp.sum(x**2) / 2)

    ratio, error = virial(HarmonicTrap(2, 2), psi, (2 * a) ** -0.5)
    assert abs(ratio - a**2) < 4 * error
    # 2 T - a^2 2 V = 4 a - 4 a^2 V in every sample; V is 1 / a +- 1 / (sqrt(2) a)
    expected = 4 * a**2 * (0.5**0.5 / a) / (2 / a) / np.sqrt(N)
    assert error == pytest.approx(expected, rel=0.4)  # the largest of several estimates


@pytest.mark.parametrize(
    "trap, means",
    [
        (HarmonicTrap(2, 2, 1.0, Coulomb()), (0.5, 1.0, 1.0)),  # 2 T + V_int = 2 V_trap
        (HarmonicTrap(2, 2, 1.0, HarmonicPairs(0.3)), (2.0, 1.5, 0.5)),
        (HarmonicTrap(2, 1, 1.0, InverseSquare(2.0)), (0.5, 1.0, 0.5)),
    ],
)
def test_the_virial_ratio_counts_the_interaction_by_its_degree(trap, means):
    """Means 2 T = sum_k k V_k that fit only with the right sign and degree."""
    noise = 0.1 * RANDOM.normal(size=(3, STEPS, WALKERS))
    names = ("kinetic", "trap", "interaction")
    terms = {name: means[i] + noise[i] for i, name in enumerate(names)}
    found = summary(only(**terms), trap.derived)
    ratio, error = found["observables"]["virial_ratio"]
    # 2 dT - sum_k k dV_k, over the denominator
    degrees = trap.degrees
    right = sum(k * means[1 + i] for i, k in enumerate(degrees.values()) if k > 0)
    expected = 0.1 * np.sqrt(4 + sum(k**2 for k in degrees.values()))
    expected /= right * np.sqrt(N)
    assert error == pytest.approx(expected, rel=0.3)
    assert abs(ratio - 1) < 4 * error


def test_the_exact_two_electron_dot_obeys_the_virial_theorem():
    """M. Taut's state (1 + r) exp(-(x_1^2 + x_2^2) / 2) of omega = 1."""
    trap = HarmonicTrap(2, 2, 1.0, Coulomb(), Spins(1, 1))

    def psi(params, x):
        r = jnp.linalg.norm(x[0] - x[1])
        return LogPsi(jnp.ones(()), jnp.log1p(r) - jnp.sum(x**2) / 2)

    # |psi|^2 ~ (1 + r)^2 exp(-r^2 / 2) r dr: by rejection from a wider Gaussian
    center = RANDOM.normal(scale=0.5, size=(20 * N, 2))
    apart = RANDOM.normal(scale=2**0.5, size=(20 * N, 2))
    r = np.linalg.norm(apart, axis=1)
    density = (1 + r) ** 2 * np.exp(-(r**2) / 2 + r**2 / 4)
    kept = RANDOM.random(20 * N) < density / 4.2
    assert density.max() < 4.2 and kept.sum() > N
    walkers = np.stack([center + apart / 2, center - apart / 2], axis=1)[kept][:N]
    steps = walkers.reshape(STEPS, WALKERS, 2, 2)
    evaluation = Evaluation(Function(psi), trap, Still())
    step = jax.jit(lambda walkers: evaluation.step(None, {}, StillState(walkers)))
    measured = [jax.device_get(step(walkers)[1]) for walkers in steps]
    found = summary(stack(measured), trap.derived)
    assert found["energy"] == pytest.approx(3, rel=1e-10)
    ratio, error = found["observables"]["virial_ratio"]
    assert abs(ratio - 1) < 4 * error < 0.08


@pytest.mark.parametrize(
    "d, pairs, degrees",
    [
        (2, None, {"trap": 2}),
        (2, Coulomb(), {"trap": 2, "interaction": -1}),
        (2, HarmonicPairs(0.3), {"trap": 2, "interaction": 2}),
        (1, InverseSquare(2.0), {"trap": 2, "interaction": -2}),
        (1, Gaussian(1.0, 0.5), None),
        (1, jnp.cos, None),
    ],
)
def test_degrees_are_those_of_the_potentials(d, pairs, degrees):
    assert HarmonicTrap(2, d, 1.0, pairs).degrees == degrees
    for k in [] if degrees is None or pairs is None else [pairs.degree]:
        assert pairs(2 * 1.7) == pytest.approx(2**k * pairs(1.7), rel=1e-14)


def test_means_over_walkers_have_the_error_of_the_walkers():
    values = RANDOM.normal(2, 0.5, size=4000)
    profile = RANDOM.normal(1, 0.1, size=(16, 3))
    profiles = {"g": profile, "all": profile[:1]}
    found = means(only(scalars={"r": values}, profiles=profiles, kinetic=values))
    assert set(found) == {"r", "g", "all"}
    mean, error = found["r"]
    assert mean == pytest.approx(2, abs=0.04)
    assert error == pytest.approx(0.5 / np.sqrt(4000), rel=0.1)
    mean, error = found["g"]
    np.testing.assert_allclose(mean, profile.mean(axis=0))
    np.testing.assert_allclose(error, profile.std(axis=0, ddof=1) / 4)
    assert found["all"][1] is None


def test_functions_of_means_of_the_hamiltonian_have_errors():
    def derived(terms):
        v = terms["potential"]
        assert not np.iscomplexobj(v)
        return {
            "twice": (operator.truediv, 2 * v, v),
            "half": (lambda mean: mean / 2, v),
            "log": (jnp.log, v**2),
        }

    drawn = samples(kinetic=np.ones((STEPS, WALKERS)) * (1 + 0.1j))
    found = summary(drawn, derived)
    mean, error = found["terms"]["potential"]
    assert found["observables"]["twice"] == pytest.approx([2, 0], abs=1e-12)
    assert found["observables"]["half"] == pytest.approx([mean / 2, error / 2])
    square = drawn.terms["potential"].real ** 2
    log, log_error = found["observables"]["log"]
    assert log == pytest.approx(np.log(np.mean(square)))
    assert log_error == pytest.approx(estimate(square.T).error / np.mean(square))
    assert summary(drawn)["observables"] == {}
    assert HarmonicTrap(2, 2, 1.0, Gaussian(1.0, 0.5)).derived({}) == {}
    assert Well().derived({}) == {}


def test_local_energies_that_are_not_finite_are_counted():
    evaluation = Evaluation(Function(gaussian), Well(2), Still())
    walkers = positions(WALKERS).at[:3].set(jnp.inf).at[5].set(jnp.nan)
    _, values = evaluation.step(None, {"a": jnp.ones(())}, StillState(walkers))
    assert values.non_finite == 4


def test_an_exact_state_is_measured_without_error():
    ansatz = Function(gaussian, exact)
    evaluation = Evaluation(
        ansatz, Well(2), Metropolis(sweeps=1), (MeanSquareRadius(),)
    )
    params, walkers = {"a": jnp.ones(())}, positions(WALKERS)
    state = evaluation.sampler.init(walkers)
    found = evaluate(evaluation, params, state, jax.random.key(2), 100)
    assert found["energy"] == pytest.approx(1, rel=1e-13)
    assert found["energy_error"] < 1e-15
    assert found["variance"] < 1e-28
    mean, error = found["observables"]["r_squared"]
    assert abs(mean - 0.5) < 4 * error < 0.2
    again = evaluate(evaluation, params, state, jax.random.key(2), 100)
    assert again["observables"] == found["observables"]


def test_stack_adds_a_leading_axis_of_steps():
    stacked = stack([only(np.asarray(i), a=np.full(3, i)) for i in range(4)])
    assert stacked.terms["a"].shape == (4, 3) and stacked.acceptance.shape == (4,)
    np.testing.assert_array_equal(stacked.terms["a"][:, 0], [0, 1, 2, 3])


def histogram(density, n_steps, n_walkers=64):
    """Independent draws of one particle per walker, in groups, in bins of width 1."""
    random, bins = np.random.default_rng(8), len(density)
    x = random.choice(bins, size=(n_steps, 16, n_walkers // 16), p=density)
    profile = np.mean(x[..., None] == np.arange(bins), axis=2)
    return only(profiles={"density": profile}, a=x.reshape(n_steps, -1).astype(float))


def merged(samples, name):
    return merged_profile(samples, name, summary(samples)["profiles"][name])


def test_profiles_are_merged_until_their_bins_are_precise():
    density = np.full(60, 1 / 60)
    for n_steps, expected in ((20, 6), (40, 3), (150, 1)):
        drawn = histogram(density, n_steps)
        width, mean, error = merged(drawn, "density")
        # independent counts: 1 / sqrt(steps * 64 * width / 60)
        relative = np.sqrt(60 / (n_steps * 64 * width))
        assert width == expected and mean.shape == error.shape == (60 // width,)
        assert np.median(error / mean) == pytest.approx(relative, rel=0.3)
        np.testing.assert_allclose(mean.sum() * width, 1)


def test_merged_errors_contain_the_correlation_of_neighboring_bins():
    """A walker is in one bin of a pair, which anticorrelates the two bins."""
    random = np.random.default_rng(9)
    side = random.integers(2, size=(400, 16, 10))
    pairs = np.stack([side, 1 - side], axis=-1).reshape(400, 16, 20)
    noise = 1 + 10 * random.normal(size=(400, 16, 10)).repeat(2, axis=-1)
    profiles = {"apart": pairs.astype(float), "equal": noise}
    drawn = only(profiles=profiles, a=side.reshape(400, -1).astype(float))
    assert merged(drawn, "apart")[0] == 1  # already precise
    width, _, error = merged(drawn, "equal")
    assert width == 2
    np.testing.assert_allclose(error, 10 / np.sqrt(6400), rtol=0.4)


def test_profiles_without_error_have_ten_bins():
    few = histogram(np.full(60, 1 / 60), 1, 16)
    width, mean, error = merged(few, "density")
    assert width == 6 and mean.shape == (10,) and np.isnan(error).all()
    prime = only(profiles={"g": np.ones((1, 16, 23))}, a=np.ones((1, 16)))
    assert merged(prime, "g")[0] == 1

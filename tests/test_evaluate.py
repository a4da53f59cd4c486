"""Measuring: known samples give known means, errors and warnings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.batching import chunked_map
from nqs.evaluate import N_GROUPS, Evaluation, evaluate, stack, summary
from nqs.observables import MeanSquareRadius, RadialDensity
from nqs.types import Function
from samplers import Metropolis
from tests.tiny import Still, StillState, Well, exact, gaussian

RANDOM = np.random.default_rng(1)
STEPS, WALKERS = 200, 32
N = STEPS * WALKERS


def samples(**others):
    """Independent samples: a kinetic energy of 2 +- 0.3 and a potential of 1 +- 0.4."""
    return {
        "acceptance": np.linspace(0.4, 0.6, STEPS),
        "non_finite": np.zeros(STEPS, int),
        "term/kinetic": 2 + 0.3 * RANDOM.normal(size=(STEPS, WALKERS)),
        "term/potential": 1 + 0.4 * RANDOM.normal(size=(STEPS, WALKERS)),
    } | others


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


def test_the_energy_error_knows_that_terms_cancel():
    kinetic = 2 + 0.3 * RANDOM.normal(size=(STEPS, WALKERS))
    found = summary(
        samples() | {"term/kinetic": kinetic, "term/potential": 3 - kinetic}
    )
    assert found["energy"] == pytest.approx(3, rel=1e-14)
    assert found["energy_error"] < 1e-14
    assert found["terms"]["potential"][1] > 1e-3


def test_chains_are_walkers_and_steps_their_length():
    """Walkers that differ, but never move, are as many samples as there are walkers."""
    still = np.repeat(RANDOM.normal(size=(1, WALKERS)), STEPS, axis=0)
    found = summary({"acceptance": np.zeros(STEPS), "term/kinetic": still})
    assert found["energy_error"] is None
    assert found["n_effective"] < 2 * WALKERS
    assert found["r_hat"] > 10 or not np.isfinite(found["r_hat"])
    (warning,) = (text for text in found["warnings"] if "for energy" in text)
    assert "too few" in warning


def test_a_complex_energy_has_its_imaginary_part_reported():
    imaginary = 0.1 * RANDOM.normal(size=(STEPS, WALKERS))
    found = summary(samples(**{"term/phase": 1j * imaginary}))
    error = 0.1 / np.sqrt(N)
    assert abs(found["energy_imaginary"]) < 4 * error
    assert found["energy_imaginary"] == pytest.approx(imaginary.mean())
    assert abs(found["energy"] - 3) < 4 * 0.5 / np.sqrt(N)
    assert found["variance"] == pytest.approx(0.25 + 0.01, rel=0.1)
    assert found["terms"]["phase"][0] == 0


def test_too_few_samples_warn_of_each_quantity_by_name():
    few = {name: values[:2] for name, values in samples().items()}
    few["scalar/r_squared"] = few["term/kinetic"]
    few["profile/density"] = RANDOM.normal(size=(2, 16, 5))
    found = summary(few)
    assert found["energy_error"] is None
    assert found["terms"]["kinetic"][1] is None
    assert found["observables"]["r_squared"][1] is None
    assert np.isnan(found["profiles"]["density"][1]).all()
    for name in ("energy", "kinetic", "potential", "r_squared", "density"):
        assert sum(f"no error bar for {name}:" in w for w in found["warnings"]) == 1
    assert found["energy"] == pytest.approx(
        few["term/kinetic"].mean() + few["term/potential"].mean()
    )


def test_what_is_not_finite_is_neither_hidden_nor_fatal():
    broken = np.ones((STEPS, WALKERS))
    broken[3, 5] = np.inf
    found = summary(samples(**{"scalar/ratio": broken}))
    assert found["energy_error"] is not None
    assert np.isnan(found["observables"]["ratio"][0])
    assert found["observables"]["ratio"][1] is None
    assert found["warnings"] == [f"1 of {N} samples of ratio are not finite"]


def test_profiles_have_a_mean_and_an_error_for_every_bin():
    truth, scatter = np.array([1.0, 2.0, 0.0]), np.array([0.1, 0.2, 0.0])
    values = truth + scatter * RANDOM.normal(size=(STEPS, N_GROUPS, 3))
    mean, error = summary(samples(**{"profile/density": values}))["profiles"]["density"]
    expected = scatter / np.sqrt(STEPS * N_GROUPS)
    assert np.all(np.abs(mean - truth) <= 4 * expected)
    np.testing.assert_allclose(error, expected, rtol=0.35)


def positions(n_walkers):
    return Well(2).initial_walkers(jax.random.key(0), n_walkers)


@pytest.mark.parametrize("chunk_size", [None, 7])
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
    assert state.walkers is not None and set(values) == {
        "acceptance",
        "non_finite",
        "term/kinetic",
        "term/trap",
        "scalar/r_squared",
        "profile/density",
    }
    squares = np.sum(np.square(walkers), axis=(1, 2))
    np.testing.assert_allclose(values["term/trap"], squares / 2)
    np.testing.assert_allclose(values["term/kinetic"], 0.8 - 0.32 * squares)
    np.testing.assert_allclose(values["scalar/r_squared"], squares / 2)
    profile = chunked_map(lambda x: density(None, None, x), walkers)
    # group g holds walkers g, g + 16, g + 32 ...
    groups = np.stack([profile[g::N_GROUPS].mean(axis=0) for g in range(N_GROUPS)])
    np.testing.assert_allclose(values["profile/density"], groups)


def test_walkers_that_make_no_groups_are_one_group():
    evaluation = Evaluation(
        Function(gaussian), Well(2), Still(), (RadialDensity(4.0, 5),)
    )
    state = StillState(positions(10))
    _, values = jax.jit(evaluation.step)(None, {"a": jnp.ones(())}, state)
    assert values["profile/density"].shape == (1, 5)


def test_what_is_not_finite_is_counted():
    evaluation = Evaluation(Function(gaussian), Well(2), Still())
    walkers = positions(WALKERS).at[:3].set(jnp.inf).at[5].set(jnp.nan)
    _, values = evaluation.step(None, {"a": jnp.ones(())}, StillState(walkers))
    assert values["non_finite"] == 4


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


def test_steps_are_stacked_in_front():
    steps = [{"a": np.full(3, i), "b": np.asarray(i)} for i in range(4)]
    stacked = stack(steps)
    assert stacked["a"].shape == (4, 3) and stacked["b"].shape == (4,)
    np.testing.assert_array_equal(stacked["a"][:, 0], [0, 1, 2, 3])

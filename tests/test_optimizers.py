"""First-order optimizers and their settings."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nqs.files import config as settings
from nqs.optimizers import METHODS, SHAPES, FirstOrder, Schedule
from tests.cases import few

PARAMS = {"a": jnp.array([2.0, -1.0, 0.5]), "b": jnp.array(1.5)}
MINIMUM = {"a": jnp.array([1.0, 1.0, -1.0]), "b": jnp.array(0.5)}


def quadratic(params):
    return sum(
        jnp.sum((params[name] - MINIMUM[name]) ** 2) * stiffness / 2
        for name, stiffness in (("a", 3.0), ("b", 0.7))
    )


def descend(optimizer, steps, params=PARAMS):
    """Parameters after some steps down the quadratic."""

    def step(_, carry):
        params, state = carry
        gradient = jax.grad(quadratic)(params)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    start = params, optimizer.init(params)
    return jax.jit(lambda start: jax.lax.fori_loop(0, steps, step, start))(start)[0]


def updates_of(optimizer, gradients, params=PARAMS):
    """The updates for a series of gradients at fixed parameters."""
    optimizer, found = optimizer.build(), []
    state = optimizer.init(params)
    for gradient in gradients:
        updates, state = optimizer.update(gradient, state, params)
        found.append(updates)
    return found


def assert_trees_close(found, expected, rtol=1e-12):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol), found, expected)


@pytest.mark.parametrize(
    "method", few(METHODS, "adam", "momentum", "sgd", "lion", "lamb", "rmsprop")
)
def test_every_method_matches_optax_on_a_quadratic(method):
    found = descend(FirstOrder(method, 0.02).build(), 30)
    assert quadratic(found) < quadratic(PARAMS)
    function = {"momentum": lambda rate: optax.sgd(rate, momentum=0.9)}.get(
        method, getattr(optax, method, None)
    )
    # optax multiplies by the learning rate in another order, which rounds differently.
    assert_trees_close(found, descend(function(0.02), 30), rtol=1e-9)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_restored_from_its_configuration(method):
    optimizer = FirstOrder(method, 0.02, Schedule("cosine", 100), max_norm=1.0)
    assert method in repr(optimizer)
    again = settings.from_json(settings.to_json(optimizer))
    assert again == optimizer and hash(again) == hash(optimizer)


@pytest.mark.parametrize(
    "method", few(METHODS, "adam", "lion", "sgd", "radam", "yogi", "adagrad")
)
def test_weight_decay_is_decoupled_from_the_gradient(method):
    """Its contribution is -rate * decay * params, independent of earlier gradients."""
    gradients = [jax.tree.map(lambda p, c=c: c * jnp.sin(p), PARAMS) for c in (1, -3)]
    plain, decayed = (
        updates_of(FirstOrder(method, 0.02, weight_decay=decay), gradients)
        for decay in (0.0, 0.3)
    )
    for one, other in zip(plain, decayed, strict=True):
        difference = jax.tree.map(jnp.subtract, other, one)
        expected = jax.tree.map(lambda p: -0.02 * 0.3 * p, PARAMS)
        assert_trees_close(difference, expected, rtol=1e-9)  # cancellation


def test_weight_decay_none_keeps_the_default_of_optax():
    gradients = [PARAMS]
    (found,) = updates_of(FirstOrder("adamw", 0.02), gradients)
    (expected,) = updates_of(FirstOrder("adam", 0.02, weight_decay=1e-4), gradients)
    assert_trees_close(found, expected)


def test_decay_follows_the_schedule():
    optimizer = FirstOrder("sgd", 0.5, Schedule("linear", 4, 0.0), weight_decay=0.1)
    zero = jax.tree.map(jnp.zeros_like, PARAMS)
    first, second = updates_of(optimizer, [zero, zero])
    assert_trees_close(first, jax.tree.map(lambda p: -0.5 * 0.1 * p, PARAMS))
    assert_trees_close(second, jax.tree.map(lambda p: -0.75 * 0.5 * 0.1 * p, PARAMS))


def test_only_gradients_longer_than_max_norm_are_scaled():
    small, large = ({"x": jnp.array([3.0, -4.0]) * c} for c in (0.1, 1.0))
    (found,) = updates_of(FirstOrder("sgd", 0.1, max_norm=1.0), [small], small)
    np.testing.assert_allclose(found["x"], [-0.03, 0.04], rtol=1e-14)
    (found,) = updates_of(FirstOrder("sgd", 0.1, max_norm=1.0), [large], large)
    np.testing.assert_allclose(found["x"], [-0.06, 0.08], rtol=1e-14)


def test_options_are_passed_to_optax():
    optimizer = FirstOrder("momentum", 0.1, options=(("momentum", 0.5),))
    one = {"x": jnp.ones(2)}
    found = updates_of(optimizer, [one, one], one)
    np.testing.assert_allclose(found[1]["x"], -0.1 * (1 + 0.5), rtol=1e-14)


def test_update_accepts_the_arguments_of_vmc():
    optimizer = FirstOrder(max_norm=1.0, weight_decay=0.1).build()
    state = optimizer.init(PARAMS)
    updates, _ = optimizer.update(
        PARAMS,
        state,
        PARAMS,
        ansatz=None,
        walkers=jnp.ones((4, 2, 1)),
        local_energy=jnp.ones(4),
        weights=None,
        chunk_size=2,
    )
    assert jax.tree.structure(updates) == jax.tree.structure(PARAMS)


@pytest.mark.parametrize("method", few(METHODS, "adafactor", "adam", "lion", "sgd"))
def test_updates_follow_the_precision_of_the_parameters(method):
    single = jax.tree.map(lambda p: p.astype(jnp.float32), PARAMS)
    optimizer = FirstOrder(method, 0.1, Schedule("cosine", 9, warmup=2), 1.0, 0.1)
    for updates in updates_of(optimizer, [single, single], single):
        assert {leaf.dtype for leaf in jax.tree.leaves(updates)} == {jnp.dtype("f4")}


# (schedule, {step: learning rate over its peak})
KNOWN_RATES = [
    (Schedule(), {0: 1, 1000: 1}),
    (Schedule("cosine", 10, 0.2), {0: 1, 5: 0.6, 10: 0.2, 50: 0.2}),
    (Schedule("linear", 10, 0.2), {0: 1, 5: 0.6, 10: 0.2, 50: 0.2}),
    (Schedule("exponential", 10, 0.25), {0: 1, 5: 0.5, 10: 0.25, 20: 0.0625}),
    (Schedule("inverse_time", 10), {0: 1, 10: 1 / 2, 90: 1 / 10}),
    (Schedule(warmup=4), {0: 1 / 4, 2: 5 / 8, 4: 1, 9: 1}),
    (Schedule("linear", 10, 0.0, warmup=4), {0: 1 / 4, 4: 1, 9: 0.5, 14: 0}),
]


@pytest.mark.parametrize("schedule, rates", KNOWN_RATES, ids=str)
def test_schedules_have_known_rates(schedule, rates):
    rate = schedule.build(0.3)
    found = [rate(jnp.asarray(step)) for step in rates]
    np.testing.assert_allclose(found, 0.3 * np.array([*rates.values()]), atol=1e-7)


def test_every_shape_of_schedule_is_tested():
    assert {schedule.shape for schedule, _ in KNOWN_RATES} == {*SHAPES}


def test_step_i_uses_rate_i():
    schedule, one = Schedule("inverse_time", 2), {"x": jnp.ones(1)}
    found = updates_of(FirstOrder("sgd", 0.6, schedule), [one, one, one], one)
    rates = [-update["x"][0] for update in found]
    np.testing.assert_allclose(rates, [0.6, 0.4, 0.3], rtol=1e-7)  # rates in float32


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"method": "adem"}, "one of .*adam.* got 'adem'"),
        ({"method": "chain"}, "got 'chain'"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and positive, got 0.0"),
        (
            {"learning_rate": float("nan")},
            "learning_rate must be finite and positive, got nan",
        ),
        (
            {"learning_rate": float("inf")},
            "learning_rate must be finite and positive, got inf",
        ),
        ({"max_norm": 0.0}, "max_norm must be finite and positive, got 0.0"),
        ({"weight_decay": -0.1}, "weight_decay must be finite and >= 0, got -0.1"),
        (
            {"options": (("b3", 0.9),)},
            "option of adam must be one of b1, b2, eps.* got 'b3'",
        ),
        (
            {"options": (("learning_rate", 1.0),)},
            "option of adam must be .* got 'learning_rate'",
        ),
        (
            {"method": "adamw", "options": (("weight_decay", 1.0),)},
            "option of adamw must be .* got 'weight_decay'",
        ),
    ],
)
def test_invalid_optimizer_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        FirstOrder(**setting)


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"shape": "sudden"}, "one of .*cosine.* got 'sudden'"),
        ({"shape": "cosine"}, "steps must be finite and positive, got None"),
        ({"shape": "linear", "steps": 0}, "steps must be finite and positive, got 0"),
        ({"final": 1.5}, "final must be >= 0 and <= 1, got 1.5"),
        (
            {"shape": "exponential", "steps": 9, "final": 0.0},
            "final must be finite and positive",
        ),
        (
            {"shape": "inverse_time", "steps": 9, "final": 0.2},
            "final must be the default, 0.1, for the shape inverse_time, .* got 0.2",
        ),
        ({"final": 0.2}, "final must be the default, 0.1, for the shape constant"),
        ({"warmup": -1}, "warmup must be finite and >= 0, got -1"),
    ],
)
def test_invalid_schedule_is_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**setting)

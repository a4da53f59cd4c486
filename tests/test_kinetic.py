"""Kinetic energies against closed forms, and the two Laplacians against each other."""

import functools

import flax.linen as nn
import folx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.ansatze import Backflow, backflow
from nqs.ansatze.layers import silu
from nqs.laplacian import kinetic as room
from nqs.laplacian import messages, pairs, products, sums
from nqs.laplacian.kinetic import LAPLACIANS, kinetic_energy
from nqs.laplacian.messages import message_sum
from nqs.laplacian.pairs import by_both, by_one, relative_features
from nqs.laplacian.products import pair_products
from nqs.laplacian.rules import fingerprint
from nqs.laplacian.sums import total
from nqs.laplacian.waves import forward, sin_and_cos
from nqs.space.box import Box
from nqs.types import Function, LogPsi
from tests.cases import further
from tests.differences import kinetic_by_differences
from tests.drawn import parameters


@pytest.fixture(autouse=True)
def six_coordinates_stay_sparse(monkeypatch):
    """As those of larger systems; a pair depends on four of them."""
    monkeypatch.setattr(room, "SPARSITY_THRESHOLD", 5)


WAVE_VECTORS = np.array([[0.3, -1.2], [2.0, 0.7], [-0.4, 0.1]])


def plane_wave(params, x):
    phase = jnp.sum(jnp.asarray(WAVE_VECTORS[: len(x)], x.dtype) * x)
    sign = jax.lax.complex(jnp.cos(phase), jnp.sin(phase))
    return LogPsi(sign, jnp.zeros((), x.dtype))


def standing_wave(params, x):
    psi = jnp.prod(jnp.cos(jnp.asarray(WAVE_VECTORS[: len(x)], x.dtype) * x))
    return LogPsi(jnp.sign(psi), jnp.log(jnp.abs(psi)))


def correlated(params, x):
    """A real function of both signs that couples all particles."""
    i, j = np.triu_indices(3, 1)
    pairs = jnp.tanh(jnp.sum((x[i] - x[j]) ** 2, axis=-1))
    psi = pairs[0] - 2 * pairs[1] * pairs[2]
    return LogPsi(jnp.sign(psi), jnp.log(jnp.abs(psi)))


def correlated_complex(params, x):
    """The same with a phase that depends on all particles."""
    sign, logabs = correlated(params, x)
    phase = jnp.sum(x) ** 2
    return LogPsi(sign * jax.lax.complex(jnp.cos(phase), jnp.sin(phase)), logabs)


WALKERS = np.random.default_rng(1).normal(size=(4, 3, 2))
X = WALKERS[0]


def kinetic(function, x, laplacian="forward"):
    """Kinetic energy of one walker (n, d), or of several (w, n, d)."""

    def energy(x):
        return kinetic_energy(Function(function), {}, x, laplacian=laplacian)

    return np.asarray(jax.jit(energy if x.ndim == 2 else jax.vmap(energy))(x))


@functools.cache
def by_differences(function):
    """Kinetic energy at X; truncation is about 1e-9 near a node."""
    psi = jax.jit(jax.vmap(lambda x: function({}, x)))
    return kinetic_by_differences(psi, X, step=0.004)


def check(function, energy):
    np.testing.assert_allclose(energy, by_differences(function), rtol=1e-7)


@pytest.mark.parametrize("laplacian", LAPLACIANS)
@pytest.mark.parametrize("wave", [*further(plane_wave), standing_wave])
def test_waves_have_the_energy_of_their_wave_vectors(wave, laplacian):
    expected = np.sum(WAVE_VECTORS**2) / 2
    np.testing.assert_allclose(kinetic(wave, X, laplacian), expected, rtol=1e-12)


@pytest.mark.parametrize("laplacian", LAPLACIANS)
def test_gaussian_matches_its_closed_form(laplacian, strict_dtypes):
    def gaussian(params, x):
        return LogPsi(jnp.ones((), x.dtype), -0.7 * jnp.sum(x**2) / 2)

    expected = (0.7 * 6 - 0.7**2 * np.sum(WALKERS**2, axis=(1, 2))) / 2
    np.testing.assert_allclose(
        kinetic(gaussian, WALKERS, laplacian), expected, rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("laplacian", LAPLACIANS)
@pytest.mark.parametrize("function", [*further(correlated), correlated_complex])
def test_both_laplacians_match_finite_differences(function, laplacian):
    energy = kinetic(function, X, laplacian)
    assert np.iscomplexobj(energy) == (function is correlated_complex)
    check(function, energy)


@pytest.mark.parametrize("laplacian", LAPLACIANS)
@pytest.mark.parametrize("wave", [*further(plane_wave), standing_wave])
def test_kinetic_energy_follows_the_precision_of_the_positions(wave, laplacian):
    energy = kinetic(wave, X[:1].astype(np.float32), laplacian)
    assert energy.real.dtype == np.float32
    expected = np.sum(WAVE_VECTORS[0] ** 2) / 2
    np.testing.assert_allclose(energy, expected, rtol=1e-4)  # float32, near nodes


def test_unknown_laplacian_is_refused():
    with pytest.raises(ValueError, match="one of .*forward.*loop.* got 'spectral'"):
        kinetic_energy(
            Function(standing_wave), {}, np.ones((3, 2)), laplacian="spectral"
        )


@pytest.mark.parametrize(("threshold", "used"), [(6, 0), (5, 5)])
def test_few_coordinates_have_dense_jacobians(threshold, used, monkeypatch):
    monkeypatch.setattr(room, "SPARSITY_THRESHOLD", threshold)
    thresholds, forward_laplacian = [], folx.forward_laplacian

    def watched(f, sparsity_threshold, **settings):
        thresholds.append(sparsity_threshold)
        return forward_laplacian(f, sparsity_threshold, **settings)

    monkeypatch.setattr(folx, "forward_laplacian", watched)
    energy = jax.jit(lambda x: kinetic_energy(Function(correlated), {}, x))
    if used:  # other tests check the energy
        jax.eval_shape(energy, X)
    else:
        check(correlated, energy(X))
    assert thresholds == [used]


class Attention(nn.Module):
    """Orbitals of two electrons by self-attention."""

    @nn.compact
    def __call__(self, x):
        h = nn.Dense(8, param_dtype=x.dtype)(x)
        h = h + nn.MultiHeadDotProductAttention(2, param_dtype=x.dtype)(h)
        return LogPsi(*jnp.linalg.slogdet(nn.Dense(2, param_dtype=x.dtype)(h)))


@pytest.mark.further
def test_program_of_attention_is_short_for_two_electrons(monkeypatch):
    """Its compilation takes most of the time until the first step."""
    x = np.random.default_rng(0).normal(size=(2, 3))
    params = parameters(Attention(), x)
    lines = []
    for threshold in (6, 5):
        monkeypatch.setattr(room, "SPARSITY_THRESHOLD", threshold)
        program = jax.jit(lambda x: kinetic_energy(Attention(), params, x)).lower(x)
        lines.append(len(program.as_text().splitlines()))
    assert lines[0] < 0.7 * lines[1]


def pair_and_particle_features(x):
    """a, b (n, w) and c (n, n, w) with c_ij of particles i and j alone."""
    difference = x[:, None, :] - x[None, :, :]
    square = difference[..., 0] ** 2 + difference[..., 1] ** 2
    pairs = jnp.stack([square, jnp.sin(difference[..., 1]), x[:, None, 0] * square], -1)
    mixing = jnp.sin(jnp.arange(9.0)).reshape(3, 3)
    return jnp.cos(x) @ mixing[:2], x @ mixing[1:], pairs @ mixing


def all_particles_everywhere(x):
    total = jnp.sum(x**3)
    a, b, c = pair_and_particle_features(x)
    return a + total, b * total, c


def features_of_pairs_alone(x):
    a, b, c = pair_and_particle_features(x)
    return jnp.ones_like(a), jnp.zeros_like(b), c


def relative_messages(x):
    """The same with c_ij of x_i - x_j alone, neither even nor odd."""
    a, b, _ = pair_and_particle_features(x)
    difference = x[:, None, :] - x[None, :, :]
    waves = jnp.concatenate([jnp.sin(difference), jnp.cos(difference)], axis=-1)
    return a, b, waves @ jnp.cos(jnp.arange(12.0)).reshape(4, 3)


def relative_messages_of_parts(x):
    """Features with a derivative that is the sum of several entries."""
    a, b, c = relative_messages(x)
    mixed = x @ jnp.cos(jnp.arange(6.0)).reshape(2, 3)
    return a, b, c + jnp.sin(mixed[:, None, :] - mixed[None, :, :]) * c


def relative_messages_of_pairs_alone(x):
    a, b, c = relative_messages(x)
    return jnp.ones_like(a), jnp.zeros_like(b), c


def features_of_a_third_particle(x):
    a, b, c = pair_and_particle_features(x)
    return a, b, c + x[0, 0] * x[1, 1]


ONE, PAIRS = pair_and_particle_features, features_of_pairs_alone
RELATIVE, RELATIVE_PAIRS = relative_messages, relative_messages_of_pairs_alone
REPEATED = further(  # the steps of other cases in other combinations
    (silu, ONE, False, True),
    (silu, RELATIVE, False, True),
    (silu, RELATIVE, True, True),
    (silu, RELATIVE_PAIRS, True, True),
)


@pytest.mark.parametrize(
    ("activation", "features", "relative", "known"),
    [
        *further(
            *(
                (f, all_particles_everywhere, False, True)
                for f in (silu, jnp.tanh, jax.nn.gelu, jax.nn.softplus)
            )
        ),
        *REPEATED,
        (silu, PAIRS, False, True),
        (silu, relative_messages_of_parts, True, True),
        *further((silu, features_of_a_third_particle, False, False)),
    ],
)
def test_rule_for_messages_matches_the_chain_rule(
    activation, features, relative, known, monkeypatch
):
    used, propagate = [], messages.propagate

    def watched(f, values, gradients, laplacians):
        used.append(gradients)
        return propagate(f, values, gradients, laplacians)

    monkeypatch.setattr(messages, "propagate", watched)

    def function(params, x):
        y = message_sum(activation, relative)(*features(x))
        logabs = jnp.sum(jnp.sin(y) * jnp.arange(9.0).reshape(3, 3))
        return LogPsi(jnp.ones_like(logabs), logabs)

    energy = kinetic(function, X)
    assert bool(used) is known
    for gradients in used:
        assert (gradients.a is None) is (features in (PAIRS, RELATIVE_PAIRS))
    check(function, energy)


def relative_products(x):
    """Factors of all particles and pairs of x_i - x_j alone, neither even nor odd."""
    a, _, c = relative_messages(x)
    return a + jnp.sum(x**3), c


def products_of_constant_factors(x):
    return jnp.ones((len(x), 3)), relative_messages(x)[2]


@pytest.mark.parametrize(
    ("features", "known"),
    [(relative_products, True), *further((products_of_constant_factors, False))],
)
def test_rule_for_pair_products_matches_the_chain_rule(features, known, monkeypatch):
    used, propagate = [], products.propagate
    monkeypatch.setattr(
        products, "propagate", lambda *a: used.append(1) or propagate(*a)
    )

    def function(params, x):
        y = pair_products(*features(x))
        logabs = jnp.sum(jnp.sin(y) * jnp.arange(9.0).reshape(3, 3))
        return LogPsi(jnp.ones_like(logabs), logabs)

    energy = kinetic(function, X)
    assert bool(used) is known
    check(function, energy)


# Features of pairs.


def bent(one, other):
    """Features of differences, neither even nor odd, and a constant."""
    sin = one[..., :2] * other[..., 2:] - one[..., 2:] * other[..., :2]
    cos = one[..., 2:] * other[..., 2:] + one[..., :2] * other[..., :2]
    constant = jnp.ones_like(sin[..., :1]) * jnp.eye(len(sin))[:, :, None]
    return jnp.concatenate([sin + cos[..., ::-1], jnp.exp(sin * cos), constant], -1)


BENT = relative_features(bent)
SKEW = np.array([[1.0, 0.3], [-0.2, 0.7]])


def own_waves(x):
    return jnp.concatenate([jnp.sin(x @ SKEW), jnp.cos(x @ SKEW)], axis=-1)


def waves_with_a_third(x):
    return own_waves(x) * (1 + jnp.sum(x**2) / 20)


SLOWLY = pytest.param(waves_with_a_third, False, marks=pytest.mark.slow)


@pytest.mark.slow
def test_rule_for_features_of_one_axis_of_three_matches_the_chain_rule():
    """Features that depend on coordinates 0 and 3 of 0 to 5."""
    x = jnp.array([[0.3, 1.0, -0.4], [1.1, 0.2, 0.5]])

    def function(params, x):
        e = BENT(jnp.concatenate([jnp.sin(x[:, :1]), jnp.cos(x[:, :1])] * 2, axis=1))
        messages = message_sum(silu, True)
        y = messages(jnp.ones((2, 5)), jnp.zeros((2, 5)), e[..., :5])
        return LogPsi(
            jnp.ones(()), jnp.sum(jnp.sin(y) * jnp.arange(10.0).reshape(2, 5))
        )

    forward, loop = (kinetic(function, x[None], way) for way in ("forward", "loop"))
    np.testing.assert_allclose(forward, loop, rtol=1e-11)


@pytest.mark.parametrize("waves, known", [(own_waves, True), SLOWLY])
def test_rule_for_features_matches_the_chain_rule(waves, known, monkeypatch):
    used, differentiated = [], pairs.differentiated
    monkeypatch.setattr(
        pairs, "differentiated", lambda *a: used.append(1) or differentiated(*a)
    )

    def function(params, x):
        e = BENT(waves(x))
        y = message_sum(silu)(jnp.ones((3, 5)), jnp.zeros((3, 5)), e)
        weights = jnp.cos(jnp.arange(45.0)).reshape(3, 3, 5)
        logabs = jnp.sum(jnp.sin(e) * weights) + jnp.sum(y * weights[0])
        return LogPsi(jnp.ones_like(logabs), logabs)

    energy = kinetic(function, X)
    assert bool(used) is known
    check(function, energy)


@pytest.mark.parametrize("both", [True, False])
def test_derivatives_by_one_particle_are_restored(both, monkeypatch):
    """By `by_both`, by messages and by products of pairs."""
    rows = []

    def watched(e):
        rows.append(len(e.jacobian.data) if hasattr(e, "jacobian") else None)
        return restored(e)

    restored = pairs.restored
    for module in (pairs, messages, products):
        monkeypatch.setattr(module, "restored", watched)
    mixing = jnp.cos(jnp.arange(15.0)).reshape(5, 3)

    def function(params, x):
        hidden = jnp.sin(by_one(BENT(own_waves(x))) @ mixing)
        h = x @ mixing[:2] + jnp.sum(x**3)
        if both:
            y = jnp.sum(by_both(hidden) * jnp.cos(jnp.arange(27.0)).reshape(3, 3, 3))
        else:
            of_messages = message_sum(silu, True)(h, 2 * h, hidden)
            y = weighted(of_messages) + weighted(pair_products(h, hidden))
        return LogPsi(jnp.ones_like(y), jnp.sin(y))

    def weighted(values):
        return jnp.sum(jnp.sin(values) * jnp.cos(jnp.arange(9.0)).reshape(3, 3))

    energy = kinetic(function, X)
    assert 2 in rows  # coordinates of a pair
    check(function, energy)


@pytest.mark.parametrize("mixed", [*further(False), True])
def test_rule_for_sin_and_cos_matches_the_chain_rule(mixed, monkeypatch):
    """For phases of one particle each, and of all particles."""
    used = []
    monkeypatch.setitem(
        folx.wrapped_functions._LAPLACE_FN_REGISTRY,
        "nqs_sin_and_cos",
        lambda *a, **b: used.append(1) or forward(*a, **b),
    )

    def function(params, x):
        phases = x @ SKEW + (jnp.sum(x**3) if mixed else 0.0)
        sin, cos = sin_and_cos(phases)
        logabs = jnp.sum(sin * cos[::-1]) + jnp.sum(jnp.exp(sin)) + 2 * jnp.sum(cos)
        return LogPsi(jnp.ones_like(logabs), logabs)

    energy = kinetic(function, X)
    assert used
    check(function, energy)


@pytest.mark.parametrize("mixed", [*further(False), True])
def test_rule_for_totals_matches_the_chain_rule(mixed, monkeypatch):
    """Over pairs, and over pairs that depend on all particles."""
    used = []
    monkeypatch.setitem(
        folx.wrapped_functions._LAPLACE_FN_REGISTRY,
        "nqs_total",
        lambda *a, **b: used.append(1) or sums.forward(*a, **b),
    )

    def function(params, x):
        i, j = np.triu_indices(3)  # x_i - x_i has no derivative
        pairs = jnp.sin(x[i, 0] - x[j, 0]) * jnp.cos(x[i, 1]) * jnp.exp(x[j, 1])
        logabs = total(pairs * jnp.sum(x**3) if mixed else pairs)
        square = x[:, None, :] - x[None, :, :]
        logabs += total(square[..., 0] ** 2 * square[..., 1]) ** 2
        return LogPsi(jnp.ones_like(logabs), logabs)

    energy = kinetic(function, X)
    assert len(used) == 2
    check(function, energy)


# Names of functions with a rule.


def program_text():
    """The program, with names of functions that have a rule."""
    ansatz = Backflow(layers=1, width=2, box=Box(((4.0, 0.0), (1.0, 4.0))))
    x = np.zeros((3, 2))
    params = jax.eval_shape(ansatz.init, jax.random.key(0), x)
    return jax.jit(ansatz.apply).lower(params, x).as_text()


@pytest.mark.further
def test_program_text_is_independent_of_earlier_traces():
    text = program_text()
    assert "@relative_features_" in text and "@message_sum_" in text
    message_sum.cache_clear()
    backflow.periodic_pairs.cache_clear()
    jax.clear_caches()
    jax.eval_shape(message_sum(jnp.cos), *relative_messages(jnp.ones((3, 2))))
    relative_features(lambda one, other: one - other)
    assert program_text() == text


def test_names_depend_on_content_and_not_on_identity():
    def scaled(a):
        return lambda x: a * jnp.tanh(x)

    def name(f):
        message_sum.cache_clear()
        return message_sum(f).__name__

    assert name(scaled(2.0)) == name(scaled(2.0)) != name(scaled(3.0))
    assert name(silu) == name(silu) != name(jnp.tanh)
    assert name(functools.partial(jax.nn.elu, alpha=2.0)) != name(jax.nn.elu)
    box = Box(((4.0,),))
    equal, other = Box(((4.0,),)), Box(((5.0,),))
    assert fingerprint(box) == fingerprint(equal) != fingerprint(other)
    assert fingerprint({"a", "b"}) == fingerprint({"b", "a"})
    assert fingerprint((..., None)) == fingerprint((..., None))
    assert fingerprint(object()) != fingerprint(object())

"""Gram matrices by layers, by leaves and by a dense Jacobian, for every ansatz."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.ansatze import (
    Backflow,
    DeepSets,
    FeedForward,
    GaussianBinaryRBM,
    PadeJastrow,
    Product,
    Slater,
    SlaterJastrow,
)
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.capabilities import LogDerivatives
from nqs.optimizers import MinSR
from nqs.optimizers.derivatives import CenteredDerivatives, n_parameters
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from tests.cases import few, further
from tests.drawn import flat, parameters

W, N, D = 7, 3, 2


class Layers(LayerwiseDerivatives, nn.Module):
    """A wave function with layers in unusual places."""

    kind: str

    @nn.compact
    def __call__(self, x):
        h = getattr(self, self.kind)(jnp.tanh(x))
        return LogPsi(jnp.ones_like(h), h - jnp.sum(x**2))

    def no_dense(self, x):
        w = self.param("w", nn.initializers.normal(), (N, D, 3), x.dtype)
        return jnp.sum(jnp.tanh(jnp.tensordot(x, w, axes=2)))

    def twice(self, x):
        layer = nn.Dense(D, param_dtype=x.dtype)
        return jnp.sum(layer(jnp.tanh(layer(x[0])))) + jnp.prod(layer(inputs=x))

    def normalized(self, x):
        return jnp.sum(jnp.tanh(nn.WeightNorm(nn.Dense(3, param_dtype=x.dtype))(x)))

    def mapped(self, x):
        dense = nn.vmap(nn.Dense, variable_axes={"params": None}, split_rngs={"params": False})  # fmt: skip # noqa: E501
        h = jnp.tanh(dense(3, param_dtype=x.dtype)(x))
        return jnp.sum(nn.remat(nn.Dense)(2, param_dtype=x.dtype)(h.reshape(-1)))

    def scanned(self, x):
        class Step(nn.Module):
            @nn.compact
            def __call__(self, h, _):
                return jnp.tanh(nn.Dense(D, param_dtype=h.dtype)(h)), None

        scan = nn.scan(Step, variable_broadcast="params", split_rngs={"params": False}, length=3)  # fmt: skip # noqa: E501
        return jnp.sum(scan()(x, None)[0]) + nn.Dense(1, param_dtype=x.dtype)(x[0])[0]


def smooth(params, x):
    length = jnp.sqrt(1 + params["b"] * jnp.sum(x**2))
    return LogPsi(jnp.sign(x[0, 0]), params["a"] * length)


SMOOTH = Function(smooth, lambda key, x: {"a": jnp.ones(()), "b": jnp.ones(())})
FFNN = FeedForward((4, 5), residual=True, omega=0.7)
PHASE = FeedForward((4, 3), "silu", omega=(1.0, 1.5), phase=True)
RBM = GaussianBinaryRBM(3, stddev=0.4)
SETS = DeepSets((4, 4), (3,), residual=True)
ANSATZE = {
    "feed-forward": FFNN,
    "phase": PHASE,
    "deep sets": SETS,
    "rbm": RBM,
    "rbm root": GaussianBinaryRBM(2, root=True, sigma=0.8, learn_sigma=True),
    "backflow": Backflow(Spins(2, 1), layers=1, width=3, determinants=2),
    "backflow of bosons": Backflow(None, layers=1, width=3),
    "product": Product((PHASE, SETS, PadeJastrow(Spins(2, 1)))),
    "product of equals": Product((FFNN, FFNN, RBM)),
    "product with a function": Product((SMOOTH, FFNN)),
    "slater jastrow": SlaterJastrow(Spins(2, 1)),
    "slater": Slater(Spins(2, 1)),
    "no dense": Layers("no_dense"),
    "twice": Layers("twice"),
    "normalized": Layers("normalized"),
    "mapped": Layers("mapped"),
    "scanned": Layers("scanned"),
}


# The code by leaves is one for all ansätze: of a real and of a complex psi.
BY_LEAVES = ("product of equals", "phase")


@functools.cache
def problem(name):
    """Parameters, walkers, and unequal weights."""
    rng = np.random.default_rng(2)
    walkers = rng.normal(size=(W, N, D))
    params = parameters(ANSATZE[name], walkers[0], scale=0.5)
    return params, walkers, rng.dirichlet(np.full(W, 3.0))


@functools.cache
def dense(name):
    """O (rows, p) from a Jacobian by all parameters at once."""
    ansatz, (params, walkers, weights) = ANSATZE[name], problem(name)

    def jacobian(params, x):
        return jax.jacrev(lambda params: ansatz.apply(params, x).parts)(params)

    leaves = jax.tree.leaves(jax.jit(jax.vmap(jacobian, (None, 0)))(params, walkers))
    rows = [np.asarray(leaf).reshape(*leaf.shape[:2], -1) for leaf in leaves]
    rows = np.concatenate(rows, axis=2)  # (w, k, p)
    mean = np.einsum("w,wkp->kp", weights, rows)
    rows = np.sqrt(weights)[:, None, None] * (rows - mean)
    return rows.reshape(-1, rows.shape[2])


def grams(name, ansatze, **settings):
    """Gram matrices of one problem by several ansätze."""

    def compiled(params, walkers, weights):
        given = (params, walkers, weights)
        return [CenteredDerivatives(a, *given, **settings).gram() for a in ansatze]

    return jax.jit(compiled)(*problem(name))


@pytest.mark.parametrize(
    "name",
    few(
        ANSATZE,
        "phase",
        "rbm",
        "backflow of bosons",
        "product with a function",
        "no dense",
        "twice",
        "normalized",
        "scanned",
    ),
)
def test_gram_matrices_by_layers_leaves_and_dense_jacobian_agree(name):
    ansatz, leafwise, o = ANSATZE[name], Function(ANSATZE[name].apply), dense(name)
    assert isinstance(ansatz, LogDerivatives) != (name == "slater")
    assert not isinstance(leafwise, LogDerivatives)
    ansatze = [ansatz, leafwise] if name in BY_LEAVES else [ansatz]
    for found in grams(name, ansatze):
        np.testing.assert_allclose(found, o @ o.T, atol=1e-10 * np.sum(o * o))


@pytest.mark.parametrize("settings", [*further({"chunk_size": 3}), {"memory": 1500}])
def test_gram_matrix_is_independent_of_chunks_and_memory(settings):
    name = "phase"  # with two rows a walker
    o = dense(name)
    (found,) = grams(name, [ANSATZE[name]], **settings)
    np.testing.assert_allclose(found, o @ o.T, atol=1e-10 * np.sum(o * o))


@pytest.mark.further
def test_minsr_steps_by_layers_and_by_leaves_agree():
    name = "phase"
    params, walkers, weights = problem(name)
    energy = np.random.default_rng(3).normal(size=(W, 2)) @ [1, 1j]
    transform = MinSR(max_step=None).build()

    def step(ansatz):
        def update(params, walkers, energy, weights):
            state = transform.init(params)
            given = {"walkers": walkers, "local_energy": energy, "weights": weights}
            return transform.update(params, state, params, ansatz=ansatz, **given)[0]

        return flat(jax.jit(update)(params, walkers, energy, weights))

    by_layers = step(ANSATZE[name])
    by_leaves = step(Function(ANSATZE[name].apply))
    scale = np.max(np.abs(by_leaves))
    np.testing.assert_allclose(by_layers, by_leaves, atol=1e-10 * scale)


def test_outer_products_contain_every_derivative_once():
    ansatz, (params, walkers, _) = ANSATZE["deep sets"], problem("deep sets")

    @jax.jit
    def both(params, x):
        gradient = jax.grad(lambda params: ansatz.apply(params, x).logabs)(params)
        return ansatz.log_derivatives(params, x), gradient

    items, gradient = both(params, walkers[0])
    products = [np.einsum("ra,krb->kab", *item).ravel() for item in items]
    found, expected = np.concatenate(products), flat(gradient)
    assert found.size == n_parameters(params)
    np.testing.assert_allclose(np.sort(found), np.sort(expected), rtol=1e-10)


def test_layers_with_one_row_have_one_outer_product():
    params, walkers, _ = problem("phase")
    items = jax.eval_shape(ANSATZE["phase"].log_derivatives, params, walkers[0])
    shapes = [(item.inputs.shape, item.signals.shape) for item in items]
    layers = [((1, 7), (2, 1, 4)), ((1, 5), (2, 1, 3)), ((1, 3), (2, 1, 2))]
    assert shapes == [*layers, ((1, 1), (2, 1, 1))]  # log_alpha


@pytest.mark.parametrize("name", ["normalized", "mapped", "scanned"])
def test_a_layer_within_a_transformation_is_differentiated_as_leaves(name):
    params, walkers, _ = problem(name)
    items = jax.eval_shape(ANSATZE[name].log_derivatives, params, walkers[0])
    layers = sum(item.inputs.shape != (1, 1) for item in items)
    assert layers == (name == "scanned")  # its last layer is a plain one


def test_gram_matrix_is_accurate_for_large_mean_derivatives():
    """In float32, subtracting the mean at the end would leave rounding errors."""
    ansatz, w, k, a, b = FFNN, 40, 1, 6, 5
    rng = np.random.default_rng(0)
    inputs = 100 + rng.normal(size=(w, a))
    signals = 100 + rng.normal(size=(w, k, b))
    weights = rng.dirichlet(np.ones(w))
    rows = np.einsum("wa,wkb->wab", inputs, signals).reshape(w, -1)
    rows = np.sqrt(weights)[:, None] * (rows - weights @ rows)
    given = [values.astype(np.float32) for values in (inputs, signals, weights)]

    @jax.jit
    def gram(inputs, signals, weights):
        derivatives = CenteredDerivatives(ansatz, {}, inputs, weights)
        products = derivatives._gram_of_layer(inputs, signals)
        half = derivatives.center(products.reshape(w, k, w))
        return derivatives.center(half.T.reshape(w, k, w))

    found = gram(*given)
    expected = rows @ rows.T
    # Rounding of the given numbers alone is 100 * 6e-8 of the fluctuations.
    np.testing.assert_allclose(found, expected, atol=3e-5 * np.trace(expected))

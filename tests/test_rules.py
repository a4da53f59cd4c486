"""Rules of the forward Laplacian that stand beside no function of their own."""

import folx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from folx.wrapped_functions import _LAPLACE_FN_REGISTRY, get_laplacian

from nqs.ansatze.layers import silu
from nqs.laplacian import dense
from nqs.laplacian.rules import flush
from tests.cases import further


def apart(x):
    """A function of six coordinates; one value behind the barrier depends on none."""
    square, sin, two = jax.lax.optimization_barrier((x**2, jnp.sin(x), 2.0))
    return jnp.sum(jnp.exp(0.3 * sin)) * jnp.sum(square) / two


INTEGER_POWER = dense.elementwise(jax.lax.integer_pow_p.bind)


def check(f, threshold=0):
    """Compare value, gradient and Laplacian of f with those of its Hessian."""
    flush()
    x = np.random.default_rng(0).standard_normal((2, 3))
    with jax.numpy_rank_promotion("allow"):  # folx promotes
        found = jax.jit(folx.forward_laplacian(f, threshold))(x)
    value, gradient, hessian = jax.jit(
        lambda x: (f(x), jax.grad(f)(x), jax.hessian(f)(x))
    )(x)
    np.testing.assert_allclose(found.x, value, rtol=1e-14)
    jacobian = found.jacobian.dense_array
    np.testing.assert_allclose(jacobian, gradient.ravel(), rtol=1e-12)
    np.testing.assert_allclose(
        found.laplacian, np.trace(hessian.reshape(6, 6)), rtol=1e-12
    )


@pytest.mark.parametrize("threshold", [0, *further(6)])
def test_barrier_changes_no_derivative_and_warns_of_none(threshold, caplog):
    check(apart, threshold)
    assert not caplog.records


def matrices(x):
    """Two matrices (3, 2) and (2, 4) of functions of all coordinates."""
    sums = x.ravel() @ jnp.cos(jnp.arange(84.0)).reshape(6, 14)
    return jnp.sin(sums[:6]).reshape(3, 2), jnp.exp(sums[6:] / 3).reshape(2, 4)


def weighted(values):
    """A function of all values that is neither even nor symmetric."""
    return jnp.exp(jnp.cos(jnp.arange(1.0, 1 + values.size)) @ values.ravel() / 9)


def products(x):
    a, b = matrices(x)
    return weighted(a * a) + weighted(a[:, 0] * b[1, :3]) * weighted(b * b[0, 0])


def products_of_a_part(x):
    """One factor depends on three of the coordinates."""
    (a, b), first = matrices(x), jnp.sin(x[0] * jnp.sum(x[0] ** 2))
    return weighted(a[:, 0] * first * b[0, :3]) + weighted(first @ a)


def products_of_matrices(x):
    a, b = matrices(x)
    return weighted(a @ b) + weighted(b.T @ a.T) * weighted(a.T @ a) + weighted(b @ b.T)


def products_of_vectors(x):
    a, b = matrices(x)
    return weighted(a @ b[:, 1]) * weighted(a[0] @ b) + a[1] @ b[:, 0]


def other_products(x):
    """Products that the rules of folx differentiate."""
    a, b = matrices(x)
    batched = jnp.einsum("ij,ijk->ik", a, jnp.stack([b, 2 * b, b * b]))
    return weighted(jnp.outer(a[0], b[1])) + weighted(batched)


def sums(x):
    a, b = matrices(x)
    both = a[:, :, None] * b[None]
    by_one, by_two = jnp.sum(both, axis=1), jnp.sum(both, axis=(0, 2))
    return weighted(by_one) + weighted(by_two) * jnp.sum(both)


def functions(x):
    a, b = matrices(x)
    return weighted(jnp.tanh(a) * silu(2 * a)) + weighted(jnp.sqrt(b) / jnp.log1p(b))


def powers(x):
    a, b = matrices(x)
    return weighted(jnp.log(b) * jnp.square(b)) * weighted(jnp.exp(a**3))


@pytest.mark.parametrize(
    ("primitive", "rule", "f", "known"),
    [
        (jax.lax.mul_p, dense.product, products, True),
        (jax.lax.dot_general_p, dense.matrix_product, products_of_matrices, True),
        (jax.lax.reduce_sum_p, dense.axis_sum, sums, True),
        ("silu", dense.elementwise(silu), functions, True),
        (jax.lax.integer_pow_p, INTEGER_POWER, powers, True),
        *further(
            (jax.lax.dot_general_p, dense.matrix_product, products_of_vectors, True),
            (jax.lax.dot_general_p, dense.matrix_product, other_products, False),
        ),
    ],
)
def test_rules_of_dense_gradients_match_the_hessian(
    primitive, rule, f, known, monkeypatch
):
    flush()
    used, original = [], get_laplacian(primitive)

    def watched(arguments, kwargs, sparsity_threshold):
        used.append(rule(arguments, kwargs) is not None)
        return original(arguments, kwargs, sparsity_threshold)

    monkeypatch.setitem(_LAPLACE_FN_REGISTRY, primitive, watched)
    check(f)
    assert any(used) is known


def test_gradients_of_the_first_coordinates_alone_meet_those_of_all():
    check(products_of_a_part, threshold=2)


@pytest.mark.parametrize("count", [1, 2, 5, *further(6, 7)])
def test_many_terms_are_added_in_a_loop(count, monkeypatch):
    monkeypatch.setattr(dense, "MANY", 2)
    monkeypatch.setattr(dense, "TOGETHER", 2)
    numbers = np.random.default_rng(0).integers(0, 9, (3, count)).astype(float)
    program = jax.jit(lambda a: dense.added(lambda k: dense.at(a, k, 1), count, 5.0))
    assert ("while" in program.lower(numbers).as_text()) is (count > 2)
    np.testing.assert_array_equal(program(numbers), 5 + numbers.sum(1))


def test_rules_hold_for_many_coordinates(monkeypatch):
    monkeypatch.setattr(dense, "MANY", 2)
    monkeypatch.setattr(dense, "TOGETHER", 2)
    check(lambda x: products(x) * products_of_matrices(x) + functions(x))

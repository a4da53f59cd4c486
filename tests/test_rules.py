"""Rules of the forward Laplacian that stand beside no function of their own."""

import folx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.laplacian.rules import flush
from tests.cases import further


def apart(x):
    """A function of six coordinates; one value behind the barrier depends on none."""
    square, sin, two = jax.lax.optimization_barrier((x**2, jnp.sin(x), 2.0))
    return jnp.sum(jnp.exp(0.3 * sin)) * jnp.sum(square) / two


@pytest.mark.parametrize("threshold", [0, *further(6)])
def test_barrier_changes_no_derivative_and_warns_of_none(threshold, caplog):
    flush()
    x = np.random.default_rng(0).standard_normal((2, 3))
    with jax.numpy_rank_promotion("allow"):  # folx promotes
        found = jax.jit(folx.forward_laplacian(apart, threshold))(x)
    value, gradient, hessian = jax.jit(
        lambda x: (apart(x), jax.grad(apart)(x), jax.hessian(apart)(x))
    )(x)
    np.testing.assert_allclose(found.x, value, rtol=1e-14)
    dense = found.jacobian.dense_array
    np.testing.assert_allclose(dense, gradient.ravel(), rtol=1e-12)
    np.testing.assert_allclose(
        found.laplacian, np.trace(hessian.reshape(6, 6)), rtol=1e-12
    )
    assert not caplog.records

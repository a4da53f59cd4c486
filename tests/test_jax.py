"""What we need of JAX itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.mark.parametrize("dtype, rows", [("float64", 16_385), ("float32", 32_769)])
def test_a_vmapped_matrix_vector_product_with_a_reduction_is_right(
    dtype, rows, optimized
):
    """jax-ml/jax#39103: jaxlib 0.10.2 loses rows on the CPU when this is jitted."""
    rotation = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]], dtype)
    x = np.zeros((rows, 3), dtype)
    x[:, 0] = np.arange(rows)

    def squared_lengths(x):
        return jax.vmap(lambda row: jnp.sum((jnp.asarray(rotation) @ row) ** 2))(x)

    expected = x[:, 0].astype(float) ** 2
    found = jax.jit(squared_lengths)(jnp.asarray(x))
    np.testing.assert_allclose(
        found, expected, rtol=1e-5 if dtype == "float32" else 1e-12
    )


def test_jax_is_new_enough():
    assert jax.__version_info__ >= (0, 12, 0)

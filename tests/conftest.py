"""Every test runs in float64, on two CPU devices, with rank promotion an error."""

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def strict_dtypes():
    """No implicit dtype promotion, for our own real-valued code."""
    with jax.numpy_dtype_promotion("strict"):
        yield

"""Requirements on JAX and its known bugs."""

import signal
import subprocess
import sys

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


CRASH = """
import sys
import jax, jax.numpy as jnp, numpy as np
jax.config.update("jax_enable_x64", True)
barrier = jax.lax.optimization_barrier if sys.argv[1] == "barrier" else lambda v: v
weights = jnp.asarray(np.random.default_rng(0).normal(size=(16, 16)))

def log_psi(x):
    return 0.1 * jnp.sum(jnp.tanh(jax.nn.one_hot(x, 4, dtype=float).ravel() @ weights))

edges = [[0, 1], [1, 2], [2, 3], [3, 0], [1, 0], [2, 1], [3, 2], [0, 3]]

def walk(chain):
    def move(carry, step):
        (x, value, sign, count), (sites, u) = carry, step
        a, b = x[sites[0]], x[sites[1]]
        values = jnp.where((a > 0) & (b < 3), jnp.stack([a - 1, b + 1]), x[sites])
        y = x.at[sites].set(values)
        new, new_sign = log_psi(y), jnp.ones(())
        ratio = new_sign * jnp.conj(sign) * jnp.exp(new - value)
        accept = barrier(1 - u[1] < jnp.abs(ratio) ** 2 * jnp.exp(jnp.zeros_like(u[0])))
        chosen = [jnp.where(accept, p, q) for p, q in
                  ((y, x), (new, value), (new_sign, sign))]
        return (*chosen, count + accept), None
    u, x = chain
    start = (x, log_psi(x), jnp.ones(()), jnp.zeros((), int))
    return jax.lax.scan(move, start, (jnp.asarray(edges), u))[0]

u = jax.random.uniform(jax.random.key(0), (128, 8, 2))
out = jax.jit(jax.vmap(walk))((u, jnp.ones((128, 4), int)))
print(np.asarray(out[0]).sum())
"""


def test_barrier_prevents_the_crash_of_two_site_moves(optimized):
    """jaxlib 0.12 on the CPU: a function that calls itself, without the barrier.

    The crash needs the acceptance fused into the selection of two sites, the value of
    psi and its sign; `samplers.sites` places the same barrier. When the first half of
    this test fails, XLA is repaired and the barrier can go.
    """

    def code(argument):
        command = [sys.executable, "-c", CRASH, argument]
        return subprocess.run(command, capture_output=True, text=True)

    if sys.platform == "linux":
        assert code("none").returncode == -signal.SIGSEGV
    repaired = code("barrier")
    assert repaired.returncode == 0, repaired.stderr
    assert repaired.stdout.strip() == "512"  # hops conserve the sum of levels

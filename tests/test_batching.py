"""Chunked maps and sums against those without chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from nqs.batching import (
    CACHE,
    chunked_map,
    chunked_sum,
    chunked_while,
    suitable_chunk_size,
)
from nqs.runs.devices import walker_mesh

W = 12
SIZES = [None, 1, 4, 5, 11, 12, 100]  # all, dividing, leaving some over, too large


@pytest.fixture(scope="module")
def walkers():
    """A pytree of arrays with different trailing shapes and dtypes."""
    position = jax.random.normal(jax.random.key(0), (W, 2, 3))
    return {"position": position, "spin": jnp.arange(W)}


def features(x):
    """A pytree of results: a matrix, a scalar and an integer."""
    position, spin = x["position"], x["spin"]
    return position @ position.T, (jnp.sum(position) * spin, spin)


@pytest.mark.parametrize("chunk_size", SIZES)
def test_chunked_map_is_vmap_in_the_same_order(chunk_size, walkers):
    mapped = jax.jit(lambda walkers: chunked_map(features, walkers, chunk_size))
    found, expected = mapped(walkers), jax.vmap(features)(walkers)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-14)  # rounding
    np.testing.assert_array_equal(found[1][1], np.arange(W))


@pytest.mark.parametrize("chunk_size", SIZES)
def test_chunked_sum_counts_every_walker_once(chunk_size, walkers):
    def total(chunk):
        return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), chunk)

    found = jax.jit(lambda walkers: chunked_sum(total, walkers, chunk_size))(walkers)
    assert found["spin"] == W * (W - 1) / 2
    expected = np.sum(walkers["position"], axis=0)
    np.testing.assert_allclose(found["position"], expected, rtol=0, atol=1e-14)


def test_chunks_are_at_most_chunk_size(walkers):
    sizes = []

    def total(chunk):
        sizes.append(chunk["spin"].shape[0])
        return jnp.sum(chunk["spin"])

    chunked_sum(total, walkers, 5)
    assert set(sizes) == {5, 2}


def test_precision_is_kept(walkers, strict_dtypes):
    single = walkers["position"].astype(jnp.float32)
    assert chunked_map(jnp.sum, single, 5).dtype == jnp.float32
    assert chunked_sum(jnp.sum, single, 5).dtype == jnp.float32


@pytest.mark.parametrize("chunk_size", [0, -3, 2.5])
@pytest.mark.parametrize("function", [chunked_map, chunked_sum])
def test_invalid_chunk_size_raises(function, chunk_size, walkers):
    with pytest.raises(ValueError, match=f"chunk_size must be .*got {chunk_size}"):
        function(jnp.sum, walkers["position"], chunk_size)


@pytest.mark.parametrize("n_devices, chunk_size", [(2, 2), (2, 6), (4, 4), (4, None)])
def test_no_walker_moves_between_devices(n_devices, chunk_size, walkers):
    """The chunk size divides the walkers and is a multiple of the devices."""
    mesh = walker_mesh(W, jax.devices()[:n_devices])
    split = NamedSharding(mesh, PartitionSpec("walkers"))

    def both(x):
        norms = chunked_map(lambda x: jnp.sum(x * x), x, chunk_size)
        return norms, chunked_sum(lambda chunk: jnp.sum(chunk, axis=0), x, chunk_size)

    x = jax.device_put(walkers["position"], split)
    compiled = jax.jit(both).lower(x).compile()
    text = compiled.as_text()
    assert "all-reduce" in text  # the sum over the devices
    for collective in ("all-gather", "all-to-all", "collective-permute"):
        assert collective not in text
    norms, total = compiled(x)
    assert norms.sharding.is_equivalent_to(split, 1)
    np.testing.assert_allclose(norms, np.sum(np.square(x), axis=(1, 2)), rtol=1e-14)
    np.testing.assert_allclose(total, np.sum(x, axis=0), rtol=0, atol=1e-14)


def test_a_suitable_chunk_fits_the_cache_and_divides_the_walkers():
    n_devices = jax.device_count()
    assert suitable_chunk_size(1000, largest=1) == 1000
    assert suitable_chunk_size(1000, largest=100 * CACHE) == n_devices
    chunk_size = suitable_chunk_size(256 * n_devices, largest=CACHE // 60)
    assert chunk_size == 32 * n_devices  # of at most 60 a device, which divide 256
    assert suitable_chunk_size(1009 * n_devices, CACHE // 60) == 60 * n_devices  # prime


def steps_of_the_loop(f, walkers):
    """The length of the scan in a function, 1 if there is none."""
    equations = jax.make_jaxpr(f)(walkers).eqns
    return max((e.params.get("length", 1) for e in equations), default=1)


def test_chunk_size_depends_on_the_memory_per_walker():
    n_devices, side = jax.device_count(), int((CACHE / 8) ** 0.5)
    walkers, table = jnp.ones((8 * n_devices, 2)), jnp.ones((2 * side, 2 * side))

    def large(x):  # as much as the cache of a device holds
        return jnp.sum(jnp.full((side, side), x[0]) * x[1])

    def small(x):  # independent of matrices that all walkers share
        return jnp.sum((table @ table)[:2] * x[:, None])

    def total(f):
        return lambda walkers: chunked_sum(
            lambda chunk: jnp.sum(jax.vmap(f)(chunk)), walkers
        )

    def gradient(chunk):  # as large as the layers, for any number of walkers
        def network(x, first, second, bias):
            return jnp.sum(jnp.tanh(jnp.tanh(x @ first + bias) @ second + bias))

        def over_chunk(*layers):
            return jnp.sum(jax.vmap(lambda x: network(x, *layers))(chunk))

        return jax.grad(over_chunk, (0, 1, 2))(table[:2], table, table[0])

    assert steps_of_the_loop(lambda w: chunked_sum(gradient, w), walkers) == 1
    for f, steps in ((large, 8), (small, 1)):
        mapped = lambda walkers, f=f: chunked_map(f, walkers)  # noqa: E731
        assert steps_of_the_loop(mapped, walkers) == steps
        assert steps_of_the_loop(total(f), walkers) == steps
        np.testing.assert_allclose(mapped(walkers), jax.vmap(f)(walkers), rtol=1e-12)


def halve(x):
    """Collatz's rule, with the number of steps."""
    value, steps = x
    return jnp.where(value % 2 == 0, value // 2, 3 * value + 1), steps + 1


def above_one(x):
    return x[0] > 1


@pytest.mark.parametrize("chunk_size", SIZES)
def test_chunked_while_is_a_loop_of_every_walker(chunk_size):
    walkers = jnp.arange(1, W + 1), jnp.zeros(W, int)
    looped = jax.jit(lambda x: chunked_while(above_one, halve, x, chunk_size))
    value, steps = looped(walkers)
    np.testing.assert_array_equal(value, np.ones(W))
    collatz = [0, 1, 7, 2, 5, 8, 16, 3, 19, 6, 14, 9]
    np.testing.assert_array_equal(steps, collatz)


def test_chunked_while_keeps_walkers_on_their_devices():
    sharding = NamedSharding(walker_mesh(W), PartitionSpec("walkers"))
    walkers = jnp.arange(1, W + 1), jnp.zeros((W, 5))
    walkers = jax.device_put(walkers, sharding)
    looped = jax.jit(lambda x: chunked_while(above_one, halve, x))
    text = looped.lower(walkers).compile().as_text()
    assert text is not None
    for word in ("all-gather", "all-to-all", "collective-permute"):
        assert word not in text

"""Chunked maps and sums against their unchunked selves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from nqs.batching import chunked_map, chunked_sum
from nqs.run import walker_mesh

W = 12
SIZES = [None, 1, 4, 5, 11, 12, 100]  # all, dividing, leaving some over, too large


@pytest.fixture(scope="module")
def walkers():
    """A pytree of arrays with different trailing shapes and dtypes."""
    position = jax.random.normal(jax.random.key(0), (W, 2, 3))
    return {"position": position, "spin": jnp.arange(W)}


def features(x):
    """A pytree again: a matrix, a scalar and an integer."""
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


def test_chunks_are_no_larger_than_asked(walkers):
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
def test_impossible_chunk_size_is_refused(function, chunk_size, walkers):
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

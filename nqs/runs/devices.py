"""Precision, CPU devices and the placement of arrays on devices."""

import contextlib
import ctypes
import importlib
import os
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from threadpoolctl import threadpool_limits

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # parameters of mallopt in malloc.h


def configure(precision: str = "float64") -> None:
    """Set precision, matrix products and CPU devices for the whole process.

    Matrix products are never truncated: TF32 moved energies 20 mHa below the exact one.
    One CPU device per core can only be made before JAX is first used.
    """
    jax.config.update("jax_enable_x64", precision == "float64")
    jax.config.update("jax_default_matmul_precision", "highest")
    with contextlib.suppress(RuntimeError):  # JAX is in use: keep its devices
        jax.config.update("jax_num_cpu_devices", usable_cores())
    keep_freed_memory()


@contextlib.contextmanager
def settings_kept() -> Iterator[None]:
    """Precision and matrix products of the process as they were, at the end."""
    names = ("jax_enable_x64", "jax_default_matmul_precision")
    before = {name: getattr(jax.config, name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def keep_freed_memory() -> None:
    """Keep what a step frees for the next step, where the C library is glibc.

    glibc returns arrays above 32 MB to the system when they are freed, so that every
    step waits for new pages: 28 of the 70 ms of a step of an Ising ring of 40 sites.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another library
        library = ctypes.CDLL(None)
        if library.gnu_get_libc_version:
            for threshold in (MMAP_THRESHOLD, TRIM_THRESHOLD):
                library.mallopt(threshold, 2**30)


def usable_cores() -> int:
    """Cores that this process may use; all of them where this is not known."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def one_blas_thread() -> contextlib.AbstractContextManager:
    """Limit LAPACK to the thread that calls it.

    Each CPU device calls LAPACK itself, and further threads would compete for the
    cores: a step of two electrons on two devices took 104 ms with them, 62 ms without.
    """
    importlib.import_module("scipy.linalg")  # JAX calls its LAPACK
    return threadpool_limits(1, user_api="blas")


def walker_mesh(n_walkers: int, devices: list[Any] | None = None) -> jax.sharding.Mesh:
    """A mesh over the axis `walkers`, of as many devices as divide the walkers."""
    devices = jax.devices() if devices is None else devices
    n_devices = max(k for k in range(1, len(devices) + 1) if n_walkers % k == 0)
    axis_types, devices = (AxisType.Auto,), devices[:n_devices]
    return jax.make_mesh((n_devices,), ("walkers",), axis_types, devices=devices)


def shardings(state: Any, mesh: jax.sharding.Mesh, n_walkers: int) -> Any:
    """Sharding of each leaf: per-walker arrays of a sampler are split, others are not.

    Args:
      state: a sampler state, or a named tuple with one as its field `sampler`, whose
        other fields are not split; of arrays or their shapes.
      mesh: from `walker_mesh`.
      n_walkers: length of the leading axis that is split.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("walkers"))

    def of_sampler(leaf):
        return split if leaf.shape[:1] == (n_walkers,) else everywhere

    if hasattr(state, "sampler"):
        placed = jax.tree.map(lambda leaf: everywhere, state)
        return placed._replace(sampler=jax.tree.map(of_sampler, state.sampler))
    return jax.tree.map(of_sampler, state)


def placed(state: Any, sharding: Any) -> Any:
    """Copies on the devices, in new buffers, because steps donate them."""
    return jax.tree.map(spread, state, sharding)


def spread(leaf: Array, to: Any) -> Array:
    """A copy of an array on the devices of a sharding, of all processes."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = jax.device_put(np.asarray(jax.random.key_data(leaf)), to)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return jax.device_put(jnp.array(leaf, copy=True), to)

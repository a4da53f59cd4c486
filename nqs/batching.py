"""Functions of one walker applied to many, with bounded memory.

Chunks are *strided*: chunk c holds walkers c, c + n_chunks, c + 2 n_chunks, ... With
walkers sharded in contiguous blocks, each chunk holds walkers of every device: no
walker moves between devices if the chunk size divides the number of walkers and is a
multiple of that of devices. Contiguous chunks would each lie on one device.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import Literal, jaxpr_as_fun
from jax.sharding import NamedSharding, PartitionSpec

from nqs.checks import whole

CACHE = 2**18  # bytes of one array in the cache of one core


def chunked_map(f: Callable, walkers: Any, chunk_size: int | None = None) -> Any:
    """`jax.vmap(f)(walkers)`, at most `chunk_size` walkers at a time.

    Walkers are a pytree of arrays (w, ...); None stands for `suitable_chunk_size`.
    """
    program, shape = jax.make_jaxpr(f, return_shape=True)(_stack(walkers))
    treedef = jax.tree.structure(shape)

    def traced(x):  # f is traced once, for its sizes and for its use
        return jax.tree.unflatten(treedef, jaxpr_as_fun(program)(*jax.tree.leaves(x)))

    if chunk_size is None:
        largest = max(_sizes(program.jaxpr), default=1)
        chunk_size = suitable_chunk_size(_count(walkers), largest)
    head, tail = _split(walkers, chunk_size)
    results = []
    if head is not None:
        mapped = jax.lax.map(jax.vmap(traced), head)
        results.append(jax.tree.map(_merge, mapped))
    if tail is not None:
        results.append(jax.vmap(traced)(tail))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *results)


def chunked_while(
    more: Callable, f: Callable, walkers: Any, chunk_size: int | None = None
) -> Any:
    """`jax.lax.while_loop(more, f, walker)` of every walker, a chunk at a time.

    Each of `chunk_size` slots has a block of walkers and finishes one after the other,
    so that no slot waits for the one walker that takes longest.

    Args:
      more: function of a walker, whether `f` applies to it once more.
      f: function of a walker that returns a walker.
      walkers: pytree of arrays (w, ...).
      chunk_size: slots at most, as many as divide w; None for `suitable_chunk_size`.
    """
    n_walkers = _count(walkers)
    if chunk_size is None:
        sizes = _sizes(jax.make_jaxpr(f)(_stack(walkers)).jaxpr)
        chunk_size = suitable_chunk_size(n_walkers, max(sizes, default=1))
    check_chunk_size(chunk_size)
    slots = max(k for k in range(1, chunk_size + 1) if n_walkers % k == 0)
    blocks = jax.tree.map(lambda a: a.reshape(slots, -1, *a.shape[1:]), walkers)
    unfinished = jax.vmap(jax.vmap(more))(blocks)
    order = jnp.argsort(~unfinished, axis=1)
    counts = jnp.sum(unfinished, axis=1)

    def step(block, place, order, count):
        chosen = order[place]
        walker = f(jax.tree.map(lambda a: a[chosen], block))
        target = jnp.where(place < count, chosen, len(order))  # else dropped
        block = jax.tree.map(
            lambda a, new: a.at[target].set(new, mode="drop"), block, walker
        )
        return block, jnp.where(more(walker), place, place + 1)

    blocks, _ = jax.lax.while_loop(
        lambda carry: jnp.any(carry[1] < counts),
        lambda carry: jax.vmap(step)(*carry, order, counts),
        (blocks, jnp.zeros_like(counts)),
    )
    return jax.tree.map(lambda a: a.reshape(n_walkers, *a.shape[2:]), blocks)


def chunked_sum(
    f: Callable, walkers: Any, chunk_size: int | None = None, most: int | None = None
) -> Any:
    """`f` of chunks of walkers, summed over the chunks.

    Args:
      f: function of a stack of walkers that returns a sum over them, a pytree.
      walkers: pytree of arrays (w, ...).
      chunk_size: walkers per chunk; None for `suitable_chunk_size`.
      most: walkers per chunk at most in any case; None for no such limit.
    """
    if chunk_size is None:
        # not of one walker, whose program differs: its axis of walkers is left out
        sizes_of_two, sizes_of_three = (
            _sizes(jax.make_jaxpr(f)(_stack(walkers, k)).jaxpr) for k in (2, 3)
        )
        sizes = zip(sizes_of_two, sizes_of_three, strict=False)
        growth = max((three - two for two, three in sizes), default=1)
        chunk_size = suitable_chunk_size(_count(walkers), growth)
    chunk_size = chunk_size if most is None else min(chunk_size, most)
    head, tail = _split(walkers, chunk_size)
    total = None if tail is None else f(tail)
    if head is not None:
        if total is None:
            found = jax.eval_shape(f, _stack(walkers, chunk_size))
            total = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), found)
        total, _ = jax.lax.scan(
            lambda carry, chunk: (jax.tree.map(jnp.add, carry, f(chunk)), None),
            total,
            head,
        )
    return total


def suitable_chunk_size(n_walkers: int, largest: int) -> int:
    """Walkers at a time whose largest arrays fit the cache of a CPU, twice as fast.

    If possible it divides the walkers and is a multiple of the devices. On an
    accelerator it is n_walkers. `largest` is in bytes, of one walker.
    """
    devices = jax.device_count()
    fits = devices * max(1, CACHE // max(1, largest))
    if fits >= n_walkers or jax.default_backend() != "cpu":
        return n_walkers
    for k in range(fits, fits // 4, -1):
        if n_walkers % k == 0 and k % devices == 0:
            return k
    return fits


def n_devices(array: Array) -> int:
    """Number of devices that an array is divided over, or copied to."""
    return max(1, jax.typeof(array).sharding.mesh.size)


def divided(array: Array, axis: int | None = None) -> Array:
    """The array with one axis divided over its devices; by default a copy on each.

    The values stay the same. On one device the array is returned as it is.
    """
    if n_devices(array) == 1:
        return array
    mesh = jax.typeof(array).sharding.mesh
    axes = [mesh.axis_names if i == axis else None for i in range(array.ndim)]
    where = NamedSharding(mesh, PartitionSpec(*axes))
    return jax.lax.with_sharding_constraint(array, where)


def check_chunk_size(chunk_size: int | None) -> None:
    """Raise a ValueError unless it is None or a positive integer."""
    if chunk_size is not None:
        whole("chunk_size", chunk_size)


def _count(walkers: Any) -> int:
    return jax.tree.leaves(walkers)[0].shape[0]


def _stack(walkers: Any, *axis: int) -> Any:
    """Shapes of a stack of k walkers, or of one walker without that axis."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((*axis, *leaf.shape[1:]), leaf.dtype), walkers
    )


def _sizes(program: Any) -> list[int]:
    """Bytes of every array in a program that depends on its arguments."""
    sizes, known = [], set(program.invars)
    for equation in program.eqns:
        variables = [v for v in equation.invars if not isinstance(v, Literal)]
        if known.isdisjoint(variables):
            continue
        known.update(equation.outvars)
        sizes += [v.aval.size * v.aval.dtype.itemsize for v in equation.outvars]
        for inner in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns")
        ):
            if hasattr(inner := getattr(inner, "jaxpr", inner), "eqns"):
                sizes += _sizes(inner)
    return sizes


def _split(walkers: Any, chunk_size: int) -> tuple[Any, Any]:
    """Strided chunks (n_chunks, chunk_size, ...) and the walkers left over."""
    w = _count(walkers)
    check_chunk_size(chunk_size)
    if chunk_size >= w:
        return None, walkers
    n_chunks, rest = divmod(w, chunk_size)
    cut = w - rest

    def strided(leaf):
        shape = (chunk_size, n_chunks, *leaf.shape[1:])
        return jnp.swapaxes(leaf[:cut].reshape(shape), 0, 1)

    head = jax.tree.map(strided, walkers)
    return head, jax.tree.map(lambda leaf: leaf[cut:], walkers) if rest else None


def _merge(chunks: jax.Array) -> jax.Array:
    """Undo the stride: (n_chunks, chunk_size, ...) to (n_chunks * chunk_size, ...)."""
    return jnp.swapaxes(chunks, 0, 1).reshape(-1, *chunks.shape[2:])

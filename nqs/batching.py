"""Functions of one walker applied to many, with bounded memory.

Chunks are *strided*: chunk c holds walkers c, c + n_chunks, c + 2 n_chunks, ... When
walkers are sharded in contiguous blocks, each chunk then holds walkers of every device,
the loop over chunks runs on all devices at once and no walker moves between them,
provided that the chunk size divides their number and is a multiple of the devices.
`jax.lax.map` takes contiguous chunks, each of which lies on one device.
"""

import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def chunked_map(f: Callable, walkers: Any, chunk_size: int | None = None) -> Any:
    """`jax.vmap(f)(walkers)`, at most `chunk_size` walkers at a time.

    Args:
      f: function of one walker (a pytree) returning a pytree.
      walkers: pytree of arrays (w, ...).
      chunk_size: walkers per chunk; None for all at once.

    Returns:
      The results of f, stacked along a leading axis of length w, in order.
    """
    head, tail = _split(walkers, chunk_size)
    results = []
    if head is not None:
        mapped = jax.lax.map(jax.vmap(f), head)
        results.append(jax.tree.map(_merge, mapped))
    if tail is not None:
        results.append(jax.vmap(f)(tail))
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *results)


def chunked_sum(f: Callable, walkers: Any, chunk_size: int | None = None) -> Any:
    """`f` of chunks of walkers, summed over the chunks.

    Args:
      f: function of a stack of walkers that returns a sum over them, a pytree.
      walkers: pytree of arrays (w, ...).
      chunk_size: walkers per chunk; None for all at once.
    """
    head, tail = _split(walkers, chunk_size)
    total = None if tail is None else f(tail)
    if head is not None:
        if total is None:
            first = jax.tree.map(lambda chunks: chunks[0], head)
            total = jax.tree.map(
                lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(f, first)
            )
        total, _ = jax.lax.scan(
            lambda carry, chunk: (jax.tree.map(jnp.add, carry, f(chunk)), None),
            total,
            head,
        )
    return total


def check_chunk_size(chunk_size: int | None) -> None:
    """Refuse what is neither None nor a number of walkers."""
    whole = isinstance(chunk_size, numbers.Integral)
    if chunk_size is not None and not (whole and chunk_size >= 1):
        raise ValueError(
            f"chunk_size must be a positive integer or None, got {chunk_size!r}"
        )


def _split(walkers: Any, chunk_size: int | None) -> tuple[Any, Any]:
    """Strided chunks (n_chunks, chunk_size, ...) and the walkers left over."""
    w = jax.tree.leaves(walkers)[0].shape[0]
    check_chunk_size(chunk_size)
    if chunk_size is None or chunk_size >= w:
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

"""Compilation of programs that run once."""

from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer


def once(f: Callable, *arguments: Any) -> Any:
    """`f(*arguments)` by one program, compiled without optimizations.

    Operation by operation, JAX compiles a program for each of them.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(arguments)):
        return f(*arguments)
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(f).lower(*arguments).compile(options)(*arguments)

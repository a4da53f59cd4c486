"""Compilation: programs of steps, programs that run once, and their cache."""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.stages import Compiled, Lowered

from nqs.runs.devices import usable_cores
from nqs.runs.interrupts import warn

SIZE = 2**30  # bytes; JAX then deletes the programs that were not used for longest


def optimized(lowered: Lowered) -> Compiled:
    """The compiled program of a step.

    On a CPU, LLVM optimizes at level 1: against XLA's choice, level 3, steps take the
    same time for a feed-forward network and 10 to 30 % less where determinants are
    evaluated, and compilation takes 10 % less. It has as many parts as there are cores
    to compile them; on one core, 32 parts take another 10 % longer. With vectors of
    512 bits, where the CPU has them, steps take 1 to 6 % less than with 256.
    """
    if jax.default_backend() != "cpu":
        return lowered.compile()
    options = {
        "xla_backend_optimization_level": 1,
        "xla_cpu_parallel_codegen_split_count": usable_cores(),
        "xla_cpu_prefer_vector_width": 512,
    }
    return lowered.compile(options)


def once(f: Callable, *arguments: Any) -> Any:
    """`f(*arguments)` by one program, compiled without optimizations.

    Operation by operation, JAX compiles a program for each of them.
    """
    options = {"xla_backend_optimization_level": 0}
    return jax.jit(f).lower(*arguments).compile(options)(*arguments)


def keep_programs(folder: str | None = None) -> None:
    """Keep compiled programs in a folder, for the next process.

    A cache that JAX has been given already, as by JAX_COMPILATION_CACHE_DIR, stays as
    it is. A folder that cannot be written to, or damaged files in it, cost time only.
    Programs of other users are trusted: only you should be able to write to it.

    Args:
      folder: for the programs; "none" for no cache, None for that of the user.
    """
    if folder == "none":
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if folder is None and jax.config.jax_compilation_cache_dir:
        return
    try:
        path = user_cache() / "nqs" if folder is None else Path(folder).expanduser()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, RuntimeError) as error:  # RuntimeError: there is no home
        warn(f"compiled programs are not kept for the next run: {error}")
        return
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_compilation_cache_max_size", SIZE)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


def user_cache() -> Path:
    """The folder for caches of this user."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

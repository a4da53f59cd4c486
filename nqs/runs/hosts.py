"""Several processes that step one run together, on one machine or on many hosts.

Every process runs the same program on the same numbers; JAX's distributed runtime moves
sums between their devices. Files are those of the first process: the others write into
a folder of their own that is deleted at the end.
"""

import atexit
import contextlib
import os
import pickle
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from nqs.files.directory import RunError
from nqs.runs.devices import usable_cores

BEAT = 2.0  # seconds between signs of life
SILENCE = 20.0  # seconds without one, after which a process is lost
JOINING = 120  # seconds in which all processes must start


def join(
    coordinator: str | None = None, count: int | None = None, index: int | None = None
) -> None:
    """Become one of several processes of a run, before JAX is used.

    Args:
      coordinator: HOST:PORT of the first process; None, as for the others, where the
        cluster tells (SLURM, Open MPI, Kubernetes, TPU pods).
      count: of all processes.
      index: of this process, from 0.

    Raises:
      RunError: if the cluster is not known, or the processes do not find each other.
    """
    with contextlib.suppress(RuntimeError):  # JAX is in use: keep its devices
        jax.config.update("jax_num_cpu_devices", usable_cores())
    try:
        jax.distributed.initialize(
            coordinator,
            count,
            index,
            initialization_timeout=JOINING,
            heartbeat_timeout_seconds=3 * int(SILENCE),
            shutdown_timeout_seconds=3 * int(SILENCE),
        )
    except (RuntimeError, ValueError) as error:
        raise RunError(
            "processes must be named by a cluster that JAX knows, or by HOST:PORT, "
            f"their count and an index: {str(error).splitlines()[0]}"
        ) from error
    if jax.process_index():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    ending = threading.Event()
    watch = threading.Thread(target=_watch_others, args=[ending], daemon=True)
    watch.start()
    atexit.register(_end_watch, watch, ending)


def several() -> bool:
    """Whether this process is one of several."""
    return jax.process_count() > 1


def first() -> bool:
    """Whether this is the only process, or the first of several."""
    return jax.process_index() == 0


def by_first[T](f: Callable[[], T]) -> T:
    """The value or the exception of f in the first process, in all of them."""
    if not several():
        return f()
    answer: Any = None
    if first():
        try:
            answer = f(), None
        except Exception as error:
            answer = None, error
    value, raised = _shared(answer)
    if raised is not None:
        raise raised
    return value


def together(numbers: list[int]) -> np.ndarray:
    """Integers (k,) of every process, (processes, k)."""
    if not several():
        return np.array([numbers])
    return np.asarray(multihost_utils.process_allgather(np.array(numbers)))


def gathered(tree: Any) -> Any:
    """Arrays of all devices as NumPy arrays, in every process."""

    def whole(leaf):
        if isinstance(leaf, jax.Array) and not (
            leaf.is_fully_addressable or leaf.is_fully_replicated
        ):
            return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
        return leaf

    return jax.tree.map(whole, tree) if several() else tree


@contextlib.contextmanager
def own(directory: Path) -> Iterator[Path]:
    """The run directory in the first process, a temporary one in the others.

    This process ends with a sentence if the numbers of another one do not come.
    """
    try:
        if first():
            yield directory
        else:
            with tempfile.TemporaryDirectory(prefix="nqs-") as folder:
                yield Path(folder)
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        lost = isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
        if not (several() and lost):
            raise
        _end(f"another process ended or was lost ({str(error).splitlines()[0]})")


def _shared(value: Any) -> Any:
    """A value of the first process, in all of them."""
    content = np.frombuffer(pickle.dumps(value), np.uint8)
    size = multihost_utils.broadcast_one_to_all(np.array(len(content)))
    text = np.zeros(int(size), np.uint8)
    if first():
        text[:] = content
    return pickle.loads(np.asarray(multihost_utils.broadcast_one_to_all(text)))


def _end_watch(watch: threading.Thread, ending: threading.Event) -> None:
    """End the watch before Python does: a thread within JAX would abort the process."""
    ending.set()
    watch.join(SILENCE)


def _watch_others(ending: threading.Event) -> None:
    """End this process with a sentence when another gives no sign of life.

    A process that waits for the numbers of a lost one would wait forever.
    """
    from jax._src import distributed  # the store of the runtime has no public name

    store: Any = distributed.global_state.client
    index, count, beat = jax.process_index(), jax.process_count(), 0
    others, now = set(range(count)) - {index}, time.monotonic()
    seen: dict[int, tuple[Any, float]] = dict.fromkeys(others, ("", now))
    while not ending.wait(BEAT):
        beat += 1
        try:
            store.key_value_set(f"alive/{index}", str(beat), allow_overwrite=True)
            values = {i: store.key_value_try_get(f"alive/{i}") for i in seen}
        except jax.errors.JaxRuntimeError as error:
            missing = "NOT_FOUND" in str(error)  # another has not begun
            values = {} if missing else dict.fromkeys(seen, "")
        now = time.monotonic()
        for i, value in values.items():
            if value != seen[i][0]:
                seen[i] = value, now
        lost = [i for i, (_, since) in seen.items() if now - since > SILENCE]
        if lost and not ending.is_set():
            _end(f"process {lost[0]} of {count} ended or was lost")


def _end(reason: str) -> None:
    """End at once, because the end of a process otherwise waits for the others."""
    print(
        f"error: {reason}; the run stops, and its last checkpoint continues it with "
        "--resume",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)

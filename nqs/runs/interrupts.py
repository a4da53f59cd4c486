"""Interrupts of a run: signals, input and output errors, and their messages."""

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

from nqs.files.directory import RunError


class Interrupted(Exception):
    """A run was interrupted in a notebook: a sentence, the state and the directory."""


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def ended[T](steps: Generator[Any, None, T]) -> T:
    """The value that a generator returns at its end."""
    with contextlib.closing(steps):
        try:
            while True:
                next(steps)
        except StopIteration as end:
            return end.value


def warn(message: str) -> None:
    """Print a warning on standard error."""
    print(f"warning: {message}", file=sys.stderr)


@contextlib.contextmanager
def refusals(directory: Path) -> Iterator[None]:
    """Convert OSError to RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"cannot write to {directory}: {error.strerror or error}; saved files are "
            "unchanged"
        ) from error


@contextlib.contextmanager
def signals() -> Iterator[list[int]]:
    """Record SIGINT, SIGTERM and SIGUSR1 in a list.

    SLURM sends SIGUSR1 some time before the limit of a job, if it is asked to.
    """
    caught: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return

    def note(number, frame):
        if not caught:  # the step, or compilation, may take minutes
            name = signal.Signals(number).name
            print(f"{name}: the run stops after this step", file=sys.stderr)
        caught.append(number)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGUSR1"):  # not on Windows
        numbers.append(signal.SIGUSR1)
    old = {number: signal.signal(number, note) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def resume_command(directory: Path) -> str:
    """The command that resumes the run of this process."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    name = shlex.quote(str(directory))
    if Path(sys.argv[0]).name == "nqs":
        return f"nqs resume {name}"
    if spec is not None and spec.name.startswith("experiments."):
        return f"python -m experiments resume {name}"
    return f"the same script with directory={str(directory)!r}, resume=True"

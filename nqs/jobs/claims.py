"""Claims: a file that one process and its children have locked.

A claim ends when the last process that holds its descriptor ends, also by SIGKILL. A
child that has been given the descriptor keeps the claim after its parent is killed.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from nqs.files.directory import RunError


@contextlib.contextmanager
def claimed(path: Path, wait: bool = False) -> Iterator[int | None]:
    """The descriptor of a file that is claimed; None if another process has it.

    Args:
      path: of the file, which is made if need be.
      wait: until the other process ends its claim.

    Raises:
      RunError: where the system or the disk has no locks.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        raise RunError("workers require file locks, which Windows lacks") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(descriptor)
        yield None
        return
    except OSError as error:
        os.close(descriptor)
        raise RunError(f"cannot lock {path}: {error.strerror or error}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_claimed(path: Path) -> bool:
    """Whether a process holds the claim; it is taken for a moment to find out."""
    if not path.exists():
        return False
    with claimed(path) as descriptor:
        return descriptor is None

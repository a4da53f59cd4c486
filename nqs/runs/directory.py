"""The run directory: configuration, metrics and result as files."""

import contextlib
import datetime
import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nqs.runs.config import differences

# Settings that --resume may raise; all others must stay as they were.
EXTENDABLE = ("iterations", "evaluation_steps")


class RunError(Exception):
    """A run cannot start or continue; the message is one sentence."""


def open_directory(
    directory: str | None, name: str, config: dict[str, Any], resume: bool
) -> Path:
    """Create a run directory with its `config.json`, or check the one to resume.

    The one to resume stays as it is: a raised number of steps is written down once a
    checkpoint has been read.

    Raises:
      RunError: as `check_directory` does.
    """
    check_directory(directory, config, resume)
    path = _fresh(name) if directory is None else Path(directory)
    if not resume:
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "config.json", config)
    return path


def check_directory(directory: str | None, config: dict[str, Any], resume: bool):
    """Refuse a directory that a run cannot have, before it costs any time.

    Raises:
      RunError: if the directory exists and resume is False, holds no run although it
        is True, or holds a run with another configuration (the field is named).
    """
    if directory is None:
        if resume:
            raise RunError("resume needs the directory of the run to go on with")
        return
    path = Path(directory)
    known = path / "config.json"
    if resume and known.exists():
        check_same(read_json(known), config, path)
    elif resume and path.exists():
        raise RunError(f"{path} holds no config.json, so there is no run to resume")
    elif resume:
        raise RunError(f"{path} does not exist, so there is no run to resume")
    elif path.exists() and not _is_empty(path):
        raise RunError(
            f"{path} exists already; resume it with --resume (resume=True), or name "
            "another directory"
        )


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Lock a run directory against other processes.

    Raises:
      RunError: if one does already. File systems that have no locks let it pass.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RunError(
                    f"another process runs in {directory}; wait until it ends, or name "
                    "another directory"
                ) from None
        yield
    finally:
        os.close(descriptor)


def check_same(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    """Refuse to resume with anything changed but a raised number of steps."""
    for field, before, now in differences(old, new):
        name = field.removeprefix("options.")
        if name in EXTENDABLE and isinstance(before, int) and isinstance(now, int):
            if now > before:
                continue
            raise RunError(
                f"{name} may only be raised on resume: {path} has {before}, got {now}"
            )
        raise RunError(
            f"{field} cannot change on resume: {path} has {before!r}, got {now!r}"
        )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file as a dict.

    Raises:
      RunError: if it is missing or damaged.
    """
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"{path} does not exist") from None
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:  # neither UTF-8 nor JSON
        raise RunError(f"{path} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged: it holds {found!r} instead of an object")
    return found


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; numbers that are not finite become null."""
    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    with replacing(path) as file:
        file.write(text.encode())


def sync_directory(directory: Path) -> None:
    """Make a rename in this directory durable, where the system allows it."""
    with contextlib.suppress(OSError):  # not on Windows
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is complete, and else vanishes."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def all_or_none(directory: Path) -> Iterator[Path]:
    """A folder whose files take their places in `directory` once all are complete.

    A full disk leaves those of an earlier evaluation as they are; `result.json` comes
    last.
    """
    unfinished = directory / "unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir()
        yield unfinished
        files = [path for path in unfinished.rglob("*") if path.is_file()]
        for path in sorted(files, key=lambda path: path.name == "result.json"):
            target = directory / path.relative_to(unfinished)
            target.parent.mkdir(exist_ok=True)
            os.replace(path, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def plain(value: Any) -> Any:
    """NumPy and other values as JSON types."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def _fresh(name: str) -> Path:
    """A new directory under runs/, made here: another run may start this second."""
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    base = path = Path("runs") / f"{name}_{stamp}"
    number = 1
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
            path = base.with_name(f"{base.name}_{number}")


def _is_empty(path: Path) -> bool:
    """Whether a directory holds no more than a run that was killed at its birth."""
    return path.is_dir() and {p.name for p in path.iterdir()} <= {"config.json.tmp"}

"""The run directory: configuration, metrics and result as files."""

import contextlib
import datetime
import errno
import json
import math
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nqs.files.config import completed, differences

# Settings that --resume may raise; all others must stay as they were.
EXTENDABLE = ("iterations", "evaluation_steps")


class RunError(Exception):
    """A run cannot start or continue; the message is one sentence."""


def open_directory(
    directory: str | None, name: str, config: dict[str, Any], resume: bool
) -> Path:
    """Create a run directory with its `config.json`, or check the one to resume.

    Raises:
      RunError: as `check_directory` does.
    """
    check_directory(directory, config, resume)
    path = new_directory(name) if directory is None else Path(directory)
    if not resume:
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "config.json", config)
    return path


def check_directory(directory: str | None, config: dict[str, Any], resume: bool):
    """Check the directory of a run before anything expensive.

    Raises:
      RunError: if the directory exists and resume is False, or if it holds no run of
        this configuration and resume is True.
      OSError: if it cannot be made.
    """
    if directory is None:
        if resume:
            raise RunError("directory must be given to resume a run, got None")
        _check_place(Path("runs"))
        return
    path = Path(directory)
    if resume:
        _check_same(read_json(path / "config.json"), config, path)
        return
    # a run that was killed at its very start leaves only the temporary file
    unused = path.is_dir() and {p.name for p in path.iterdir()} <= {"config.json.tmp"}
    if path.exists() and not unused:
        raise RunError(
            f"{path} exists already; resume it with --resume (resume=True), or name "
            "another directory"
        )
    _check_place(path)


def _check_place(path: Path) -> None:
    """Raise the OSError of making a directory, without making it."""
    above = next(p for p in (path, *path.absolute().parents) if p.exists())
    if not above.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if not os.access(above, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _check_same(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    """Raise RunError if anything but a raised number of steps has changed.

    Settings that an older version had not are those of today's defaults.
    """
    for field, before, now in differences(_of_today(old, new), new):
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


def _of_today(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a run with the settings that are newer than it."""
    experiment = {"part": "nqs.runs.experiment:Experiment"}
    done = completed(old | experiment, new | experiment)
    del done["part"]
    if isinstance(options := done.get("options"), dict):
        # they take effect by the parts alone, which are compared themselves
        done["options"] = new.get("options", {}) | options
    return done


def extend(directory: Path, new: dict[str, Any]) -> None:
    """Write the numbers of steps of a configuration into that of a run."""
    path = directory / "config.json"
    config = read_json(path)
    for old, raised in ((config, new), (config["options"], new["options"])):
        old.update({name: raised[name] for name in EXTENDABLE if name in raised})
    write_json(path, config)


def new_directory(name: str) -> Path:
    """A new directory under runs/; another run may start in the same second."""
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


@contextlib.contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Lock a run directory against other processes, where the system has locks.

    Raises:
      RunError: if another process has locked it.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    for tries_left in (1, 0):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if tries_left:  # `is_locked` holds the lock for a moment
                time.sleep(0.05)
                continue
            os.close(descriptor)
            raise RunError(
                f"another process runs in {directory}; wait until it ends, or name "
                "another directory"
            ) from None
        except OSError:  # a file system without locks
            pass
        break
    try:
        yield
    finally:
        os.close(descriptor)


def is_locked(directory: Path) -> bool:
    """Whether a process of this machine has locked a run directory by `alone`."""
    try:
        with alone(directory):
            return False
    except RunError:
        return True


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


def plain(value: Any) -> Any:
    """NumPy and other values as JSON types."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that replaces `path` once it is complete, and is deleted otherwise."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        with contextlib.suppress(OSError):  # a durable rename, except on Windows
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def all_or_none(directory: Path) -> Iterator[Path]:
    """A folder whose files move to `directory` once all of them are complete.

    A full disk leaves earlier files unchanged; `result.json` is the last to move.
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

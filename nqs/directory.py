"""The run directory: configuration, metrics and result as files."""

import datetime
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nqs.settings import differences

# What --resume may raise; everything else must stay as it was.
EXTENDABLE = ("iterations", "evaluation_steps")


class RunError(Exception):
    """A run cannot start or go on; the message is one sentence for a person."""


def open_directory(
    directory: str | None, name: str, config: dict[str, Any], resume: bool
) -> Path:
    """Create a run directory with its `config.json`, or check the one to resume.

    Raises:
      RunError: if the directory exists and resume is False, holds no run although it
        is True, or holds a run with another configuration (the field is named).
    """
    if directory is None:
        if resume:
            raise RunError("resume needs the directory of the run to go on with")
        directory = _fresh(name)
    path = Path(directory)
    known = path / "config.json"
    if resume and known.exists():
        check_same(read_json(known), config, path)
    elif resume and path.exists():
        raise RunError(f"{path} holds no config.json, so there is no run to resume")
    elif resume:
        raise RunError(f"{path} does not exist, so there is no run to resume")
    elif path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise RunError(
            f"{path} exists already; resume it with --resume (resume=True), or name "
            "another directory"
        )
    path.mkdir(parents=True, exist_ok=True)
    write_json(known, config)
    return path


def check_same(old: dict[str, Any], new: dict[str, Any], path: Path) -> None:
    """Refuse to resume with anything changed but a raised number of steps."""
    for field, before, now in differences(old, new):
        leaf = field.rpartition(".")[2]
        if leaf in EXTENDABLE and isinstance(before, int) and isinstance(now, int):
            if now > before:
                continue
            raise RunError(
                f"{leaf} may only be raised on resume: {path} has {before}, got {now}"
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
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise RunError(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged: {error}") from None


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically; numbers that are not finite become null."""
    temporary = path.with_name(path.name + ".tmp")
    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"
    with open(temporary, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


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


class Metrics:
    """`metrics.jsonl`, one line a training step.

    Attributes:
      path: of the file.
    """

    def __init__(self, path: Path):
        self.path = path
        self.file = None

    def open(self, steps: int) -> None:
        """Cut the file down to its first `steps` lines and append from there."""
        lines = self.path.read_bytes().splitlines(True) if self.path.exists() else []
        temporary = self.path.with_name(self.path.name + ".tmp")
        temporary.write_bytes(b"".join(lines[:steps]))
        os.replace(temporary, self.path)
        self.file = open(self.path, "a")

    def append(self, step: int, info: Mapping[str, Any]) -> None:
        """Write one line and hand it to the operating system."""
        assert self.file is not None
        self.file.write(json.dumps(plain({"step": step} | dict(info))) + "\n")
        self.file.flush()

    def columns(self) -> dict[str, np.ndarray]:
        """Every metric as an array over the steps, null as NaN."""
        rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        keys = rows[0] if rows else {}
        return {k: np.array([row[k] for row in rows], float) for k in keys}


def _fresh(name: str) -> str:
    """A directory under runs/ that does not exist yet."""
    stamp = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    base = candidate = Path("runs") / f"{name}_{stamp}"
    number = 2
    while candidate.exists():
        candidate, number = Path(f"{base}_{number}"), number + 1
    return str(candidate)

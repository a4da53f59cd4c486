"""Logs of training: `metrics.jsonl` and `observables.jsonl`."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nqs.files.directory import plain, replacing


class Metrics:
    """A file of one JSON object per line, every `every` training steps."""

    def __init__(self, path: Path, every: int = 1):
        self.path, self.every = path, every
        self.file = None

    @contextlib.contextmanager
    def open(self, steps: int, warn: Callable[[str], None]) -> Iterator[None]:
        """Keep the lines of the first `steps` steps, and open the file to append.

        `warn` receives a sentence about missing or damaged lines.
        """
        lines = [line for line, row in self._undamaged() if row["step"] <= steps]
        if missing := max(0, steps // self.every - len(lines)):
            warn(f"{missing} lines of {self.path} are missing or damaged")
        with replacing(self.path) as file:
            file.write(b"".join(lines))
        # unbuffered, so that nothing is left to write when the disk is full
        with open(self.path, "ab", buffering=0) as self.file:
            yield

    def append(self, step: int, info: Mapping[str, Any]) -> None:
        """Write one line to the operating system."""
        assert self.file is not None
        line = json.dumps(plain({"step": step} | dict(info))).encode() + b"\n"
        while line:  # a nearly full disk accepts a part
            line = line[self.file.write(line) :]

    def columns(self) -> dict[str, np.ndarray]:
        """Every metric as an array over the steps; null is NaN."""
        rows = self.rows()
        keys = dict.fromkeys(key for row in rows for key in row)
        return {k: np.array([row.get(k) for row in rows], float) for k in keys}

    def rows(self) -> list[dict[str, Any]]:
        """The content of every undamaged line."""
        return [row for _, row in self._undamaged()]

    def _undamaged(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        return undamaged(self.path.read_bytes() if self.path.exists() else b"")


def undamaged(content: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Complete lines of a log, with the steps that they hold."""
    for line in content.splitlines(keepends=True):
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if line.endswith(b"\n") and isinstance(row, dict) and "step" in row:
                yield line, row

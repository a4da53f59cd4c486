"""A live view of runs on the terminal, from their files."""

import dataclasses
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nqs.files.directory import RunError, is_locked, read_json
from nqs.files.metrics import undamaged
from nqs.statistics.estimates import uncertain

SPARKS = "▁▂▃▄▅▆▇█"
SHOWN = 16  # characters of a sparkline
LONG = 24  # characters of a name in one line
TAIL = 2**18  # bytes at the end of metrics.jsonl: some 1000 steps
SILENT = 120.0  # seconds without a new line, after which a run counts as stopped


@dataclasses.dataclass(frozen=True)
class Row:
    """State of one run, as texts."""

    name: str
    status: str
    steps: str = ""
    energy: str = ""
    variance: str = ""
    acceptance: str = ""
    left: str = ""
    history: str = ""


TITLES = [field.name for field in dataclasses.fields(Row)]


def follow(directories: Sequence[Path], every: float = 2.0, once: bool = False) -> None:
    """Show the runs until all of them have ended, or once.

    Raises:
      RunError: if a directory holds neither a run nor a series of runs.
    """
    for directory in directories:
        if not directory.is_dir() or not runs_in(directory):
            raise RunError(f"{directory} holds no run")

    def ended(found: list[Row]) -> bool:
        return all(row.status in ("finished", "stopped", "damaged") for row in found)

    show(lambda: rows(directories), ended, every, once)


def show(
    look: Callable[[], list[Row]],
    ended: Callable[[list[Row]], bool],
    every: float = 2.0,
    once: bool = False,
) -> None:
    """Show a table again and again until `ended`; once where no terminal shows it.

    Args:
      look: returns the rows as they are now.
      ended: whether these rows are the last ones.
      every: seconds between two looks.
      once: show the first rows and end.
    """
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if once or not console.is_terminal:
        console.print(table(look()))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            found = look()
            live.update(table(found), refresh=True)
            if ended(found):
                return
            time.sleep(every)


def runs_in(directory: Path) -> list[Path]:
    """The directory of a run, or those of the runs of a series that have begun."""
    members = [path.parent for path in directory.glob("*/config.json")]
    if members:
        return sorted(members, key=lambda path: os.stat(path / "config.json").st_mtime)
    return [directory] if (directory / "config.json").exists() else []


def rows(directories: Sequence[Path]) -> list[Row]:
    """The state of every run."""
    return [row(path) for directory in directories for path in runs_in(directory)]


def row(directory: Path, status: str | None = None) -> Row:
    """The state of one run from its files.

    Args:
      directory: of the run.
      status: if it is unfinished; None to find out.
    """
    name, steps = str(directory), _last_rows(directory / "metrics.jsonl")
    energies = np.array([found.get("energy") or math.nan for found in steps], float)
    try:
        config = read_json(directory / "config.json")
        if (directory / "result.json").exists():
            result = read_json(directory / "result.json")
            return _finished(name, result, sparkline(energies))
    except RunError as error:
        return Row(name, "damaged", history=str(error))
    total, status = config.get("iterations", 0), status or _status(directory)
    if not steps:
        return Row(name, status, f"0/{total}")
    last = steps[-1]
    recent = energies[-max(1, len(energies) // 10) :]
    error = math.sqrt((last.get("variance") or 0) / max(1, config["n_walkers"]))
    error /= math.sqrt(len(recent))  # successive steps count as independent
    return Row(
        name,
        status,
        f"{last['step']}/{total}",
        uncertain(float(np.mean(recent)), error),
        f"{last.get('variance') or math.nan:.3g}",
        f"{last.get('acceptance') or math.nan:.2f}",
        _time_left(directory, last["step"], total),
        sparkline(energies),
    )


def table(found: Sequence[Row]) -> Any:
    """The rows as a table of rich, without columns that are empty in all of them."""
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    filled = [t for t in TITLES if any(getattr(each, t) for each in found)]
    for title in filled:
        name, bars = title == TITLES[0], title == TITLES[-1]
        overflow = "fold" if name else "crop"
        shown.add_column(title, no_wrap=not name, overflow=overflow)
        widths = [len(getattr(each, title)) for each in found]
        if not bars:  # numbers are never cut, and long names are broken into lines
            width = max(len(title), *widths)
            shown.columns[-1].min_width = min(width, LONG) if name else width
    for each in found:
        shown.add_row(*(getattr(each, title) for title in filled))
    return shown


def sparkline(values: np.ndarray) -> str:
    """Means of 16 parts of a series as bars; outliers above and below are cut off."""
    values = values[np.isfinite(values)]
    if not len(values):
        return ""
    parts = np.array_split(values, min(SHOWN, len(values)))
    means = np.array([part.mean() for part in parts])
    low, high = np.quantile(means, [0.0, 0.9])
    if not high > low:
        return SPARKS[0] * len(means)
    levels = np.clip((means - low) / (high - low), 0, 1) * (len(SPARKS) - 1)
    return "".join(SPARKS[round(level)] for level in levels)


def _finished(name: str, result: dict[str, Any], history: str) -> Row:
    return Row(
        name,
        "finished",
        f"{result['iterations']}/{result['iterations']}",
        uncertain(result["energy"], result["energy_error"]),
        f"{result['variance']:.3g}",
        f"{result['acceptance']:.2f}",
        history=history,
    )


def _status(directory: Path) -> str:
    """Of an unfinished run; one that runs elsewhere changes its files."""
    if is_locked(directory):
        return "running"
    files = [directory / "metrics.jsonl", *(directory / "checkpoints").glob("*.npz")]
    changed = max((p.stat().st_mtime for p in files if p.exists()), default=0.0)
    return "running" if time.time() - changed < SILENT else "stopped"


def _time_left(directory: Path, step: int, total: int) -> str:
    """Of the training, at the mean speed since its start."""
    try:
        began = os.stat(directory / "config.json").st_mtime
        seconds = os.stat(directory / "metrics.jsonl").st_mtime - began
    except OSError:
        return ""
    minutes, rest = divmod(round(max(0.0, seconds) / step * (total - step)), 60)
    return f"{minutes}:{rest:02d}" if step < total else "evaluation"


def _last_rows(path: Path) -> list[dict[str, Any]]:
    """Complete lines at the end of a log."""
    if not path.exists():
        return []
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return [row for _, row in undamaged(file.read())]  # the first may be cut

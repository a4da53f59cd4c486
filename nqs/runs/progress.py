"""Live progress: a bar on a terminal and in a notebook, plain lines anywhere else."""

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from nqs.runs.interrupts import in_notebook
from nqs.statistics import TooFewSamples, estimate, uncertain

LINE_EVERY = 5.0  # seconds between plain lines
SHOWN_EVERY = 0.25  # seconds between two states of a bar in a notebook
BAR = 40  # characters


class Progress:
    """Steps done, energy, variance and remaining time of a run."""

    def __init__(self, unit: str, n_walkers: int):
        self.unit, self.n_walkers = unit, n_walkers
        self.live = self.output = None

    @contextmanager
    def phase(self, name: str, done: int, total: int) -> Iterator["Progress"]:
        """Show one phase of a run, beginning at step `done`."""
        self.name, self.first, self.total = name, done, total
        self.started, self.last_line = time.monotonic(), -math.inf
        if in_notebook():
            yield from self._in_notebook(done)
            return
        if not sys.stdout.isatty():
            yield self
            return
        from rich.live import Live

        with Live(refresh_per_second=4) as self.live:
            try:
                self._show(done, "")
                yield self
            finally:
                self.live = None

    def _in_notebook(self, done: int) -> Iterator["Progress"]:
        """The same bar as an output of the cell that is replaced."""
        from IPython.display import display  # pyright: ignore[reportMissingImports]

        self.output = display({"text/plain": ""}, raw=True, display_id=True)
        self._show(done, "")
        try:
            yield self
        finally:
            self.output = None

    def _show(self, done: int, text: str) -> None:
        """A bar above a line of numbers."""
        filled = round(BAR * done / max(1, self.total))
        bar = "━" * filled + "╌" * (BAR - filled)
        shown = f"{self.name:10} {bar} {done}/{self.total}\n{text}"
        if self.output is not None:
            self.output.update({"text/plain": shown}, raw=True)
        elif self.live is not None:
            from rich.text import Text

            self.live.update(Text(shown))

    def update(
        self, done: int, info: Mapping[str, float], series: Sequence[float] = ()
    ) -> None:
        """Show the state after step `done`.

        Args:
          done: steps.
          info: means of the last step.
          series: energies so far, whose mean is shown too.
        """
        every = LINE_EVERY if self.output is None else SHOWN_EVERY
        every, now = 0.0 if self.live else every, time.monotonic()
        if now - self.last_line < every and done != self.total:
            return
        self.last_line, text = now, self._text(done, info, series)
        if self.live or self.output is not None:
            self._show(done, text)
        else:  # a log shows it at once
            print(f"{self.name} {done}/{self.total}  {text}", flush=True)

    def _text(
        self, done: int, info: Mapping[str, float], series: Sequence[float]
    ) -> str:
        elapsed = time.monotonic() - self.started
        rate = (done - self.first) / elapsed if elapsed > 0 else 0.0
        parts = []
        if "energy" in info:
            error = math.sqrt(info["variance"] / self.n_walkers)
            energy = uncertain(float(info["energy"]), error)
            parts += [f"E {energy} {self.unit}", f"variance {info['variance']:.3g}"]
        if len(series):
            parts.append(f"mean {_mean(series)}")
        moves = next(name for name in ("acceptance", "jumps") if name in info)
        parts += [f"{moves} {info[moves]:.2f}", f"{rate:.3g} steps/s"]
        if rate > 0:
            minutes, seconds = divmod(round((self.total - done) / rate), 60)
            parts.append(f"{minutes}:{seconds:02d} left")
        return "  ".join(parts)


def _mean(series: Sequence[float]) -> str:
    """Mean of a correlated series, with its error bar once it has one."""
    try:
        found = estimate(np.asarray(series))
        return uncertain(found.mean, found.error)
    except TooFewSamples as few:
        return f"{few.estimate.mean:.6g}"

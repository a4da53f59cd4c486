"""Numbered directories in that of a run: its projections, its evolutions."""

import dataclasses
import signal
import sys
import time
from pathlib import Path
from typing import Any

import jax

from nqs.files import checkpoint
from nqs.files.directory import RunError, read_json, write_json
from nqs.runs.experiment import Experiment
from nqs.runs.interrupts import warn
from nqs.runs.state import identity


def opened[Settings](
    folder: Path, settings: Settings, resume: bool
) -> tuple[Path, Settings]:
    """A new directory NUMBER with its `config.json`, or the last one to resume.

    Args:
      folder: `projections`, say, in the directory of a run.
      settings: a dataclass; on resume its defaults, the settings as they were, or
        either with more in a field that is `growing`.
      resume: open the last directory instead.

    Raises:
      RunError: if there is none to resume, or a setting has changed.
    """
    last = last_number(folder)
    if not resume:
        target = next_number(folder)
        target.mkdir(parents=True)
        write_json(target / "config.json", dataclasses.asdict(settings))  # type: ignore
        return target, settings
    if not last:
        raise RunError(f"{folder} holds no {folder.name[:-1]} to resume")
    target = folder / f"{last:04d}"
    saved = type(settings)(**read_json(target / "config.json"))
    return target, resumed(target, saved, settings)


def resumed[Settings](target: Path, saved: Settings, given: Settings) -> Settings:
    """The settings of a resume: those before, or with a number of steps that grew.

    Raises:
      RunError: if anything else has changed.
    """
    names = [field.name for field in dataclasses.fields(given)]  # type: ignore
    defaults, growing = type(given)(), saved.growing  # type: ignore
    chosen = [n for n in names if getattr(given, n) != getattr(defaults, n)]
    if growing.issuperset(chosen):
        fields = {name: getattr(given, name) for name in chosen}
        given = dataclasses.replace(saved, **fields)  # type: ignore
    for name in [*chosen, *names]:
        before, now = getattr(saved, name), getattr(given, name)
        if now == before or (name in growing and now > before):
            continue
        how = "may only be raised" if name in growing else "cannot change"
        raise RunError(f"{name} {how} on resume: {target} has {before!r}, got {now!r}")
    return given


def next_number(folder: Path) -> Path:
    """The next directory NUMBER, which does not exist yet."""
    return folder / f"{last_number(folder) + 1:04d}"


def last_number(folder: Path) -> int:
    """The largest NUMBER of the directories, 0 without any."""
    numbered = (path for path in folder.glob("[0-9]*") if path.name.isdecimal())
    return max((int(path.name) for path in numbered if path.is_dir()), default=0)


class Checkpoints:
    """Checkpoints of a numbered directory, and its end after a signal.

    Attributes:
      directory: of the projection or evolution, in that of the run.
      experiment: of the run.
      settings: of the projection or evolution, with `checkpoint_every`.
      stop: signals received.
      command: `nqs COMMAND DIR --resume` continues.
    """

    def __init__(
        self,
        directory: Path,
        experiment: Experiment,
        settings: Any,
        stop: list[int],
        command: str,
    ):
        self.folder, self.run = directory / "checkpoints", directory.parents[1]
        kind = directory.parent.name.removesuffix("s")  # projection, evolution
        fixed = dataclasses.asdict(settings)
        fixed = {k: v for k, v in fixed.items() if k not in settings.growing}
        self.identity = identity(experiment.config() | {kind: fixed})
        self.every = settings.checkpoint_every
        self.stop, self.command, self.saved_at = stop, command, time.monotonic()

    def refuse_broken(self, info: dict[str, Any], where: str) -> None:
        """Raise RunError if a step gave numbers that are not finite."""
        if count := int(info["non_finite"]):
            raise RunError(
                f"{count} local energies or wave-function values are not finite "
                f"{where}; the last checkpoint is in {self.folder.parent}"
            )

    def after(self, number: int, tree: dict[str, Any], where: str, last: bool) -> None:
        """Save if it is time, and end the process after a signal.

        Args:
          number: of the checkpoint.
          tree: its content.
          where: what is done, for the message.
          last: save in any case.
        """
        if self.stop or last or time.monotonic() - self.saved_at >= self.every:
            tree = tree | {"n_devices": len(jax.devices())}
            checkpoint.save(self.folder, number, tree, identity=self.identity)
            self.saved_at = time.monotonic()
        if self.stop:
            name = signal.Signals(self.stop[0]).name
            print(
                f"{name}: stopped {where}; a checkpoint is saved. Resume with: nqs "
                f"{self.command} {self.run} --resume",
                file=sys.stderr,
            )
            raise SystemExit(128 + self.stop[0])

    def last(self, like: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Number and content, of shapes like those given; None without any."""
        if not checkpoint.exists(self.folder):
            warn(f"no checkpoint is left: {self.command} starts at its beginning")
            return None
        like = like | {"n_devices": 0}
        found = checkpoint.restore(self.folder, like, identity=self.identity, warn=warn)
        if found[1]["n_devices"] != len(jax.devices()):
            warn("another number of devices: the continuation is not bit for bit")
        return found

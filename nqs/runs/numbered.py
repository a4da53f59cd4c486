"""Numbered directories in that of a run: its projections, its evolutions."""

import dataclasses
from pathlib import Path

from nqs.runs.directory import RunError, read_json, write_json


def opened[Settings](
    folder: Path, settings: Settings, resume: bool
) -> tuple[Path, Settings]:
    """A new directory NUMBER with its `config.json`, or the last one to resume.

    Args:
      folder: `projections`, say, in the directory of a run.
      settings: a dataclass; on resume its defaults, or the settings as they were.
      resume: open the last directory instead.

    Raises:
      RunError: if there is none to resume, or a setting has changed.
    """
    kind = type(settings)
    numbers = sorted(int(path.name) for path in folder.glob("[0-9]*") if path.is_dir())
    last = numbers[-1] if numbers else 0
    if not resume:
        target = folder / f"{last + 1:04d}"
        target.mkdir(parents=True)
        write_json(target / "config.json", dataclasses.asdict(settings))  # type: ignore
        return target, settings
    if not last:
        raise RunError(f"{folder} holds no {folder.name[:-1]} to resume")
    target = folder / f"{last:04d}"
    saved = kind(**read_json(target / "config.json"))
    if settings != kind():
        for field in dataclasses.fields(settings):  # type: ignore
            before, now = getattr(saved, field.name), getattr(settings, field.name)
            if now != before:
                raise RunError(
                    f"{field.name} cannot change on resume: {target} has {before!r}, "
                    f"got {now!r}"
                )
    return target, saved

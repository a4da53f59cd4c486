"""A sweep: a plan of runs in one directory, and the state of each from its files.

`sweep.json` is the plan. Every member is an ordinary run directory; `jobs/` holds
claims, logs and the reasons of failures.
"""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nqs.files.config import differences
from nqs.files.directory import RunError, plain, read_json, write_json
from nqs.jobs.claims import claimed, is_claimed
from nqs.jobs.workers import Jobs, Worker, attempts, last_error, was_stopped

FILE = "sweep.json"


@dataclasses.dataclass(frozen=True)
class Member:
    """A run of a sweep.

    Attributes:
      arguments: options of its command line, without directory.
      values: of the options in which the members differ, as texts.
      seed: of its randomness.
    """

    arguments: tuple[str, ...]
    values: Mapping[str, str]
    seed: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """The runs of a sweep.

    Attributes:
      experiment: name.
      arguments: options of all members.
      over: values, as texts, of the options in which the members differ.
      members: by the name of their directory.
      jobs: where they run; may change when the sweep is continued.
    """

    experiment: str
    arguments: tuple[str, ...]
    over: Mapping[str, tuple[str, ...]]
    members: Mapping[str, Member]
    jobs: Jobs = Jobs()

    def save(self, directory: Path) -> None:
        """Write the plan, or check that the directory holds the same one.

        Raises:
          RunError: if it holds another plan, or something else.
        """
        keep(self, directory / FILE, read, ("jobs",), "sweep")


def read(directory: Path) -> Plan:
    """The plan in a directory.

    Raises:
      RunError: if there is none, or it is damaged.
    """
    found = read_json(directory / FILE)
    try:
        members = {
            name: Member(tuple(each["arguments"]), each["values"], each["seed"])
            for name, each in found["members"].items()
        }
        over = {name: tuple(values) for name, values in found["over"].items()}
        arguments, jobs = tuple(found["arguments"]), Jobs(**found["jobs"])
        return Plan(found["experiment"], arguments, over, members, jobs)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{directory / FILE} is damaged: {error!r}") from None


def keep(
    plan: Any, path: Path, read: Callable, free: tuple[str, ...], kind: str
) -> None:
    """Write a plan as JSON, or check that its directory holds the same one.

    Args:
      plan: a dataclass.
      path: of the file.
      read: returns the plan in a directory.
      free: fields that may differ.
      kind: name of the plan in messages.

    Raises:
      RunError: if the directory holds another plan, or something else.
    """
    directory = path.parent
    if path.exists():
        old, new = (plain(dataclasses.asdict(p)) for p in (read(directory), plan))
        for field, before, now in differences(old, new | {k: old[k] for k in free}):
            raise RunError(
                f"{directory} holds another {kind}: {field} is {before!r} there, got "
                f"{now!r}; name another directory"
            )
    elif directory.exists() and any(
        p.name != f"{path.name}.tmp" for p in directory.iterdir()
    ):
        raise RunError(
            f"{directory} exists already and holds no {kind}; name another directory"
        )
    directory.mkdir(parents=True, exist_ok=True)
    write_json(path, dataclasses.asdict(plan))


@dataclasses.dataclass(frozen=True)
class Members:
    """The members of the sweep in a directory, as tasks of workers.

    Attributes:
      directory: absolute.
      only: the member of a job on a cluster; None for all of them.
    """

    directory: Path
    only: str | None = None

    @property
    def folder(self) -> Path:
        """Claims and logs."""
        return self.directory / "jobs"

    @property
    def plan(self) -> Plan:
        """The plan as it is now."""
        return read(self.directory)

    def claim(self, name: str) -> Path:
        """The file that the worker of a member claims."""
        return self.folder / f"{name}.lock"

    def log(self, name: str) -> Path:
        """The output of a member."""
        return self.folder / f"{name}.log"

    def reason(self, name: str) -> Path:
        """The reason of a failure."""
        return self.folder / f"{name}.failed"

    def done(self, name: str) -> bool:
        """Whether the run of a member has its result."""
        return (self.directory / name / "result.json").exists()

    def left(self) -> list[str]:
        """Members that are neither done nor failed."""
        names = [self.only] if self.only else self.plan.members
        return [n for n in names if not (self.done(n) or self.reason(n).exists())]

    def running(self) -> list[str]:
        """Members that a process of this machine has claimed."""
        return [name for name in self.left() if is_claimed(self.claim(name))]

    def work(self, worker: Worker) -> None:
        """Make members until none is left to claim, looking twice."""
        stopped: set[str] = set()
        for _ in range(2):  # a look at a claim takes it for a moment
            while any(self._made(name, worker, stopped) for name in self.left()):
                pass

    def _made(self, name: str, worker: Worker, stopped: set[str]) -> bool:
        """Whether this worker made a member, or tried to."""
        if name in stopped:
            return False
        with claimed(self.claim(name)) as claim:
            if claim is None or self.done(name):
                return False
            plan, directory = self.plan, self.directory / name
            own = plan.members[name].arguments
            log = self.log(name)
            status = attempts(worker, plan.experiment, own, directory, log, claim)
            if was_stopped(status):
                stopped.add(name)
            elif not self.done(name):
                self._fail(name, status)
        return True

    def _fail(self, name: str, status: int) -> None:
        found = {"status": status, "reason": last_error(self.log(name))}
        write_json(self.reason(name), found)

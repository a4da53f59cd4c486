"""The process that starts workers, shows their runs and waits for their end."""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from nqs.files.directory import RunError, read_json
from nqs.jobs.plan import Members
from nqs.jobs.submission import queued, submit, workers_here
from nqs.jobs.workers import Jobs
from nqs.views.follow import Row, row, show

LOOK = 1.0  # seconds between two looks at the workers
REPLACEMENTS = 20  # of workers that were killed


def rows(members: Members) -> list[Row]:
    """The state of every member: pending, running, done or failed."""
    running, jobs = members.running(), {}
    with contextlib.suppress(RunError):  # the table needs no submitit
        jobs = queued(members.folder)
    return [
        state(members, name, name in running, jobs.get(name))
        for name in members.plan.members
    ]


def state(members: Members, name: str, running: bool, job: Any = None) -> Row:
    """The state of one member, from its files and its job on a cluster."""
    directory, status = members.directory / name, "pending"
    if running or (job is not None and job.state == "RUNNING"):
        status = "running"
    found = Row(name, status)
    if (directory / "config.json").exists():
        found = row(directory, status)
    if found.status == "finished":
        return dataclasses.replace(found, name=name, status="done")
    if (path := members.reason(name)).exists() and status != "running":
        reason = read_json(path)["reason"]
        return dataclasses.replace(found, name=name, status="failed", history=reason)
    return dataclasses.replace(found, name=name)


def complete(
    tasks: Any, jobs: Jobs, name: str, look: Callable[[], list[Row]]
) -> list[str]:
    """Start workers of this machine until they leave nothing; return what is left.

    Args:
      tasks: with `left()` and `running()`, besides those of `Tasks`.
      jobs: where the workers run.
      name: of the jobs.
      look: rows of the table.

    Raises:
      KeyboardInterrupt: after SIGINT or SIGTERM, when all runs have stopped.
    """
    from rich.console import Console

    before, terminal = None, Console().is_terminal
    while (left := tasks.left()) and left != before:
        before, crew = left, Crew(tasks, jobs, name, len(left))
        try:
            with terminating():
                if threading.current_thread() is threading.main_thread() and terminal:
                    show(look, crew.ended)
                while not crew.ended():
                    time.sleep(LOOK)
        except KeyboardInterrupt:
            crew.stop()
            raise
    return left


class Crew:
    """Workers of this machine, at most `count`; those that are killed are replaced."""

    def __init__(self, tasks: Any, jobs: Jobs, name: str, count: int):
        self.tasks, self.jobs, self.name = tasks, jobs, name
        self.workers = workers_here(jobs, tasks)[:count]
        self.started = submit(jobs, self.workers, name)
        self.replacements = REPLACEMENTS if jobs.cluster == "local" else 0

    def ended(self, _: Any = None) -> bool:
        """Whether all workers have ended, and no run goes on without one."""
        for i, job in enumerate(self.started):
            killed = job.done() and not job.paths.result_pickle.exists()
            if killed and self.replacements > 0:
                self.replacements -= 1
                self.started[i] = submit(self.jobs, [self.workers[i]], self.name)[0]
        done = all(job.done() for job in self.started)
        return done and not self.tasks.running()

    def stop(self) -> None:
        """Stop all runs with a checkpoint, and wait for them."""
        for job in self.started:
            job.cancel(check=False)
        while self.tasks.running():
            time.sleep(LOOK)


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, as SIGINT does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

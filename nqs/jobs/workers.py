"""Workers: processes that make the runs of a directory, submitted by submitit.

On one machine every worker has cores of its own. It takes one task after another from
those that no other worker has claimed. On a cluster every task is a job.
"""

import contextlib
import dataclasses
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from nqs.checks import one_of, positive, settle, whole
from nqs.files.directory import RunError
from nqs.jobs.claims import claimed

SIGNAL = "USR1"  # before the time limit; submitit sends USR2 otherwise
NOTICE = 120  # seconds from the signal to the time limit, for a step and a checkpoint
ATTEMPTS = 3  # of a run that is killed, by one worker
STOPPED = [getattr(signal, name, 0) for name in ("SIGINT", "SIGTERM", "SIGUSR1")]
KILLED = getattr(signal, "SIGKILL", 9)
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Jobs:
    """Where the workers run."""

    cluster: Literal["local", "slurm", "debug"] = "local"
    """This machine, SLURM, or this process (debug)."""
    workers: int | None = None
    """Runs at a time; None for one a core on this machine, or 64 jobs on a cluster."""
    partition: str | None = None
    """Partition of SLURM."""
    time: float | None = None
    """Minutes of a job, which is queued again if they do not suffice; None for no
    limit on this machine, and for a day on a cluster."""
    gpus: int = 0
    """GPUs of every worker."""
    cores: int | None = None
    """CPU cores of every worker; None for an equal share on this machine, and for one
    on a cluster."""

    def __post_init__(self):
        one_of("cluster", self.cluster, ("local", "slurm", "debug"))
        settle(self, gpus=whole("gpus", self.gpus, 0))
        for name in ("workers", "cores"):
            if getattr(self, name) is not None:
                settle(self, **{name: whole(name, getattr(self, name))})
        least = 5 if self.cluster == "slurm" else 1  # with time for a checkpoint
        if self.time is not None and positive("time", self.time) < least:
            raise ValueError(f"time must be at least {least} minutes, got {self.time}")
        if self.partition is not None and self.cluster != "slurm":
            raise ValueError(
                f"partition requires --cluster slurm, got {self.cluster!r}"
            )
        if self.cluster == "local" and self.gpus and self.workers is None:
            raise ValueError("gpus on this machine requires workers, got None")

    def jobs(self) -> "Jobs":
        """These settings alone, without those of a subclass."""
        names = [field.name for field in dataclasses.fields(Jobs)]
        return Jobs(**{name: getattr(self, name) for name in names})

    def check(self) -> None:
        """Check that there are cores or a cluster for these jobs, and submitit.

        Raises:
          RunError: if submitit is missing, or there is no SLURM here.
          ValueError: if there are fewer cores than asked for.
        """
        package = submitit()
        if self.cluster == "local":
            self.shares()
        if self.cluster == "slurm" and package.SlurmExecutor.affinity() < 0:
            raise RunError("cluster slurm requires the command srun, found none here")

    def shares(self) -> list[tuple[int, ...]]:
        """Cores of every worker on this machine.

        Raises:
          ValueError: if there are fewer cores.
        """
        affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
        cores = sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))
        workers = self.workers or max(1, len(cores) // (self.cores or 1))
        each = self.cores or len(cores) // workers
        if workers * each > len(cores) or not each:
            raise ValueError(
                f"workers and cores must share {len(cores)} cores of this machine, got "
                f"{workers} workers with {max(each, 1)}"
            )
        return [tuple(cores[i * each : (i + 1) * each]) for i in range(workers)]


class Tasks(Protocol):
    """The work of all workers; it is pickled."""

    @property
    def folder(self) -> Path:
        """The folder of claims and logs."""
        ...

    def work(self, worker: "Worker", /) -> None:
        """Do the tasks that no other worker has claimed."""
        ...


class Worker:
    """Does tasks one after another; submitit calls it in a process of its own.

    Args:
      tasks: of all workers.
      number: of this one among those on this machine.
      cores: for it alone; empty for those that the process has.
      visible: GPUs for it alone; None for those that the process has.
      patient: wait for the end of the job after a run was stopped from outside.
    """

    def __init__(
        self,
        tasks: Tasks,
        number: int,
        cores: Sequence[int] = (),
        visible: str | None = None,
        patient: bool = False,
    ):
        self.tasks, self.number, self.cores = tasks, number, tuple(cores)
        self.visible, self.patient = visible, patient
        self.slot: int | None = None
        self.pid: int | None = None

    def __call__(self) -> None:
        """Work until nothing is left to claim."""
        if not self.cores:
            self.tasks.work(self)
            return
        # a worker of an earlier command may have these cores, or a run that it left
        path = self.tasks.folder / f"worker_{self.number}.lock"
        with claimed(path, wait=True) as self.slot:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, self.cores)
            self.tasks.work(self)

    def checkpoint(self) -> Any:
        """Stop the run with a checkpoint before the time limit, to be queued again."""
        self.stop()
        again = Worker(self.tasks, self.number, self.cores, self.visible, self.patient)
        return submitit().helpers.DelayedSubmission(again)

    def stop(self) -> None:
        """Stop the run of this worker after its step, and wait for its checkpoint."""
        if self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGUSR1)
            # no Popen.wait, which the signal may have interrupted
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            while os.waitid(os.P_PID, self.pid, flags) is None:
                time.sleep(0.05)

    def environment(self) -> dict[str, str]:
        """Variables that limit threads and GPUs of a run to its own."""
        threads = {name: str(len(self.cores)) for name in THREADS if self.cores}
        visible = {} if self.visible is None else {"CUDA_VISIBLE_DEVICES": self.visible}
        return threads | visible

    def run(
        self,
        command: Sequence[str],
        log: Path,
        claim: int,
        look: Callable[[Callable[[], None]], None] | None = None,
    ) -> int:
        """Exit status of a command, which keeps claim and cores if the worker dies.

        Args:
          command: with its arguments.
          log: file to which its output is added.
          claim: descriptor of its claim.
          look: called every second with a function that stops the run.
        """
        with open(log, "ab") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | self.environment(),
                pass_fds=[claim] if self.slot is None else [claim, self.slot],
            )
        self.pid = process.pid
        try:
            while (status := process.poll()) is None:
                time.sleep(0.1)
                if look is not None:
                    look(self.stop)
        except BaseException:
            self.stop()
            raise
        finally:
            self.pid = None
        if self.patient and was_stopped(status):
            time.sleep(NOTICE)  # the end of the job stops this process too
        return status


def was_stopped(status: int) -> bool:
    """Whether an exit status is that of a run stopped by a signal, with a checkpoint.

    A signal before the first step ends the process itself.
    """
    return status in {code for s in STOPPED for code in (128 + s, -s)}


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Keep submitit from replacing the log handlers of this process."""
    name = "SUBMITIT_LOG_LEVEL"
    before = os.environ.get(name)
    os.environ[name] = "NOCONFIG"
    try:
        yield
    finally:
        del os.environ[name]
        os.environ.update({} if before is None else {name: before})


def submitit() -> Any:
    """The package submitit, with the signal of this module.

    Raises:
      RunError: if it is not installed.
    """
    os.environ["SUBMITIT_PREEMPT_SIGNAL"] = SIGNAL  # of the processes to come
    try:
        with _logging_kept():
            found = importlib.import_module("submitit")
    except ImportError:
        raise RunError(
            "many runs require the package submitit; install the extra `sweep`: "
            'pip install "nqs[sweep]"'
        ) from None
    found.JobEnvironment.USR_SIG = SIGNAL
    return found


def command_of(experiment: str, arguments: Sequence[str], directory: Path) -> list[str]:
    """The command that makes the run in a directory, or continues it."""
    resume = ["--resume"] if (directory / "config.json").exists() else []
    place = ["--directory", str(directory), *resume]
    return [sys.executable, "-m", "experiments", "run", experiment, *arguments, *place]


def attempts(
    worker: Worker,
    experiment: str,
    arguments: Sequence[str],
    directory: Path,
    log: Path,
    claim: int,
    look: Callable[[Callable[[], None]], None] | None = None,
) -> int:
    """The exit status of a run, which goes on from its checkpoint if it is killed."""
    status = -KILLED
    for _ in range(ATTEMPTS):
        command = command_of(experiment, arguments, directory)
        status = worker.run(command, log, claim, look)
        if status != -KILLED:
            break
    return status


def last_error(log: Path) -> str:
    """The sentence with which a run ended, or else its last line."""
    lines = log.read_text(errors="replace").splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    return errors[-1].removeprefix("error: ") if errors else (lines or [""])[-1]

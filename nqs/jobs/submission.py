"""Submission of workers by submitit, on this machine or to SLURM."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nqs.files.directory import RunError, read_json, write_json
from nqs.jobs.workers import NOTICE, SIGNAL, Jobs, Tasks, Worker, submitit

FOREVER = 60 * 24 * 365  # minutes, the limit of a worker on this machine
REQUEUES = 1000  # of one job
FILE = "queued.json"  # numbers of jobs on a cluster, in the folder of the tasks


def executor(jobs: Jobs, folder: Path, name: str) -> Any:
    """The executor of submitit for these jobs."""
    cluster = jobs.cluster
    more = {} if cluster == "debug" else {f"{cluster}_max_num_timeout": REQUEUES}
    found = submitit().AutoExecutor(folder, cluster=cluster, **more)
    limit = jobs.time or (24 * 60 if cluster == "slurm" else FOREVER)
    found.update_parameters(name=name, timeout_min=round(limit))
    if cluster == "slurm":
        found.update_parameters(
            cpus_per_task=jobs.cores or 1,
            gpus_per_node=jobs.gpus or None,
            slurm_partition=jobs.partition,
            slurm_signal_delay_s=NOTICE,
            slurm_array_parallelism=jobs.workers or 64,
            slurm_setup=[f"export SUBMITIT_PREEMPT_SIGNAL={SIGNAL}"],
            slurm_additional_parameters={"requeue": True},
        )
    return found


def workers_here(jobs: Jobs, tasks: Tasks) -> list[Worker]:
    """The workers of this machine, each with its own cores and GPUs.

    Raises:
      RunError: if CUDA_VISIBLE_DEVICES names fewer GPUs.
    """
    if jobs.cluster == "debug":
        return [Worker(tasks, 0)]
    shares, each = jobs.shares(), jobs.gpus
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    known = [str(i) for i in range(len(shares) * each)]
    if listed is not None:
        known = [name for name in listed.split(",") if name]
    if len(known) < len(shares) * each:
        raise RunError(
            f"{len(shares)} workers with {each} GPUs require {len(shares) * each}, got "
            f"CUDA_VISIBLE_DEVICES={listed}"
        )
    own = [",".join(known[i * each : (i + 1) * each]) for i in range(len(shares))]
    return [
        Worker(tasks, i, cores, own[i] if each else None)
        for i, cores in enumerate(shares)
    ]


def submit(jobs: Jobs, workers: Sequence[Worker], name: str) -> list[Any]:
    """The jobs of these workers, started or queued."""
    folder = workers[0].tasks.folder / "submitit"
    found = executor(jobs, folder, name)
    with found.batch():
        return [found.submit(worker) for worker in workers]


def queued(folder: Path) -> dict[str, Any]:
    """Jobs of a cluster that have not ended, by what they do."""
    path = folder / FILE
    if not path.exists():
        return {}
    job, place = submitit().SlurmJob, folder / "submitit"
    jobs = {name: job(place, number) for name, number in read_json(path).items()}
    return {name: each for name, each in jobs.items() if not each.done()}


def queue(jobs: Jobs, workers: Mapping[str, Worker], name: str) -> list[str]:
    """Queue workers on a cluster unless their job is there; return the new ones."""
    if not workers:
        return []
    folder = next(iter(workers.values())).tasks.folder
    known = {each: job.job_id for each, job in queued(folder).items()}
    new = [each for each in workers if each not in known]
    if new:
        started = submit(jobs, [workers[each] for each in new], name)
        numbers = {n: job.job_id for n, job in zip(new, started, strict=True)}
        write_json(folder / FILE, known | numbers)
    return new

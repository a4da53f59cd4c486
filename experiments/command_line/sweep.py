"""The command `nqs sweep`: runs over a grid of options."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import tyro

from experiments.command_line.options import Options
from experiments.command_line.variations import (
    check_name,
    check_single,
    directory_name,
    grid,
    parsed,
    values,
    varied,
)
from nqs.files.directory import RunError, new_directory
from nqs.jobs.plan import FILE, Member, Members, Plan, read
from nqs.jobs.workers import Jobs, Worker

USAGE = """usage: nqs sweep NAME [OPTIONS] --over OPTION=VALUES [--over ...]
       nqs sweep DIR [--once]

  --over OPTION=VALUES   omega=0.1,0.28,1 or seed=0:5 (0 to 4) or ansatz.width=16,32
  --directory DIR        of the sweep; a fresh one under runs/ without it
  --cluster NAME         local (this machine) or slurm
  --workers N            runs at a time
  --cores N, --gpus N    of every worker
  --partition NAME, --time MINUTES   of jobs of SLURM

Other options are those of `nqs run NAME --help`, for all runs. The same command, or
`nqs resume DIR`, continues a sweep; `nqs sweep DIR` shows it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepOptions(Jobs):
    """Options of a sweep besides those of its runs."""

    over: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="over")
    ] = ()
    directory: str | None = None
    """Directory of the sweep."""


def plan_of(
    experiment: str,
    config: type[Options],
    arguments: Sequence[str],
    over: Sequence[str],
    jobs: Jobs,
) -> Plan:
    """The checked plan of a sweep.

    Raises:
      ValueError: for an unknown option, a value that it does not take, or two equal
        runs, before anything starts.
    """
    if not over:
        raise ValueError("sweep requires --over OPTION=VALUE,VALUE,...")
    tyro.cli(  # mistakes are shown as those of `nqs run`
        config, default=config(), prog=f"nqs sweep {experiment}", args=list(arguments)
    )
    varied_options: dict[str, tuple[str, ...]] = {}
    for text in over:
        name, found = values(text)
        check_name(config, arguments, name)
        if name in varied_options:
            raise ValueError(f"{name} must be given once, got --over {name} twice")
        varied_options[name] = found
    members: dict[str, Member] = {}
    same: dict[str, str] = {}
    for changes in grid(varied_options):
        own = varied(config, arguments, changes)
        name = directory_name(changes, members)
        found = parsed(config, own, ", ".join("=".join(c) for c in changes.items()))
        check_single(found)
        twin = same.setdefault(repr(found.as_plain()), name)
        if twin != name:
            raise ValueError(f"runs must differ, but {name} is the same as {twin}")
        members[name] = Member(tuple(own), changes, found.seed)
    return Plan(experiment, tuple(arguments), varied_options, members, jobs)


def main(arguments: list[str], options_of: Callable[[str], type[Options]]) -> None:
    """Start, continue or show a sweep.

    Args:
      arguments: of the command line after `sweep`.
      options_of: the options class of an experiment by name.
    """
    if not arguments or arguments[0] in ("--help", "-h"):
        print(USAGE)
        return
    first, *rest = arguments
    if (Path(first) / FILE).exists():
        show_sweep(Path(first))
        return
    given, others = tyro.cli(
        SweepOptions, args=rest, return_unknown_args=True, add_help=False
    )
    config, jobs = options_of(first), given.jobs()
    if {"--help", "-h"} & {*others}:
        print(USAGE, end="\n\n")
        tyro.cli(config, prog=f"nqs sweep {first}", args=["--help"])
    jobs.check()
    plan = plan_of(first, config, others, given.over, jobs)
    directory = Path(given.directory or new_directory(f"sweep_{first}")).absolute()
    plan.save(directory)
    carry_on(directory)


def resume(directory: Path, arguments: list[str]) -> None:
    """Continue a sweep; options say where, by default as before."""
    plan = read(directory)
    jobs = tyro.cli(Jobs, default=plan.jobs, args=arguments, prog="nqs resume DIR")
    jobs.check()
    dataclasses.replace(plan, jobs=jobs).save(directory)
    carry_on(directory.absolute())


def carry_on(directory: Path) -> None:
    """Make what is not done, and show the state; ends with 1 if something is left."""
    from nqs.jobs.submission import queue
    from nqs.jobs.supervision import complete, rows

    members, plan = Members(directory), read(directory)
    for name in plan.members:
        members.reason(name).unlink(missing_ok=True)
    print(f"sweep of {len(plan.members)} runs in {directory}", flush=True)
    if plan.jobs.cluster == "slurm":
        workers = {
            name: Worker(dataclasses.replace(members, only=name), i, patient=True)
            for i, name in enumerate(members.left())
        }
        queued = queue(plan.jobs, workers, f"nqs_{directory.name}")
        print(f"{len(queued)} jobs are queued; nqs sweep {directory} shows them")
        return
    try:
        name = f"nqs_{directory.name}"
        complete(members, plan.jobs, name, lambda: rows(members))
    except KeyboardInterrupt:
        print(f"stopped; continue with: nqs resume {directory}", file=sys.stderr)
        raise SystemExit(130) from None
    show_sweep(directory)
    left = [name for name in plan.members if not members.done(name)]
    if left:
        raise RunError(
            f"{len(left)} of {len(plan.members)} runs are not done: "
            f"{', '.join(left)}; their output is in {members.folder}, and nqs resume "
            f"{directory} continues"
        )


def show_sweep(directory: Path) -> None:
    """Show the table of a sweep, and write the table of its results."""
    from nqs.jobs.collection import collect
    from nqs.jobs.supervision import rows
    from nqs.views.follow import show

    members = Members(directory.absolute())

    def ended(found) -> bool:
        return all(row.status != "running" for row in found)

    show(lambda: rows(members), ended)
    if collect(members):
        print(f"results in {members.directory / 'results.csv'} and results.json")

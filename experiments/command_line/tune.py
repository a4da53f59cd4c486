"""The command `nqs tune`: a search for the best settings of an experiment."""

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import tyro

from experiments.command_line.options import Options
from experiments.command_line.searches import searches
from experiments.command_line.trials import Trials
from experiments.command_line.tuning import FILE, Tuning, optuna, read
from nqs.checks import whole
from nqs.files.directory import RunError, new_directory
from nqs.jobs.workers import Jobs, Worker

USAGE = """usage: nqs tune NAME [OPTIONS] --search NAME=VALUES [--search ...]
       nqs tune DIR

  --search NAME=VALUES   optimizer.learning_rate=log(0.01,0.3), ansatz.layers=int(1,4),
                         clip=(2,10) or ansatz.width=16|32|64
  --trials N             runs; the first has the default settings
  --no-prune             let bad trials end
  --directory DIR        of the search; a fresh one under runs/ without it
  --cluster, --workers, --cores, --gpus, --partition, --time   as for nqs sweep

Other options are those of `nqs run NAME --help`, for all trials. The same command, or
`nqs resume DIR`, continues a search; `nqs tune DIR` shows it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuneOptions(Jobs):
    """Options of a search besides those of its trials."""

    search: Annotated[
        tyro.conf.UseAppendAction[tuple[str, ...]], tyro.conf.arg(name="search")
    ] = ()
    trials: int = 40
    prune: bool = True
    directory: str | None = None


def main(arguments: list[str], options_of: Callable[[str], type[Options]]) -> None:
    """Start, continue or show a search.

    Args:
      arguments: of the command line after `tune`.
      options_of: the options class of an experiment by name.
    """
    if not arguments or arguments[0] in ("--help", "-h"):
        print(USAGE)
        return
    first, *rest = arguments
    if (Path(first) / FILE).exists():
        from experiments.command_line.tuned import show_trials

        show_trials(Trials(Path(first).absolute()))
        return
    given, others = tyro.cli(
        TuneOptions, args=rest, return_unknown_args=True, add_help=False
    )
    config, jobs = options_of(first), given.jobs()
    tyro.cli(config, default=config(), prog=f"nqs tune {first}", args=others)
    jobs.check()
    optuna()
    found = searches(config, others, given.search)
    number = whole("trials", given.trials)
    tuning = Tuning(first, tuple(others), found, number, given.prune, jobs)
    directory = Path(given.directory or new_directory(f"tune_{first}")).absolute()
    tuning.save(directory)
    carry_on(Trials(directory))


def resume(directory: Path, arguments: list[str]) -> None:
    """Continue a search; options say where, by default as before."""
    tuning = read(directory)
    jobs = tyro.cli(Jobs, default=tuning.jobs, args=arguments, prog="nqs resume DIR")
    jobs.check()
    dataclasses.replace(tuning, jobs=jobs).save(directory)
    carry_on(Trials(directory.absolute()))


def carry_on(trials: Trials) -> None:
    """Make the trials that are left, and show the best settings."""
    from experiments.command_line.tuned import rows, show_trials
    from nqs.jobs.submission import queue
    from nqs.jobs.supervision import complete

    directory, jobs = trials.directory, trials.tuning.jobs
    print(f"search with {trials.tuning.trials} trials in {directory}", flush=True)
    trials.study()
    name, left = f"nqs_{directory.name}", trials.left()
    if jobs.cluster == "slurm":
        workers = range(min(jobs.workers or 64, len(left)))
        queue(jobs, {f"{i}": Worker(trials, i, patient=True) for i in workers}, name)
        print(f"jobs are queued; nqs tune {directory} shows them")
        return
    try:
        left = complete(trials, jobs, name, lambda: rows(trials))
    except KeyboardInterrupt:
        print(f"stopped; continue with: nqs resume {directory}", file=sys.stderr)
        raise SystemExit(130) from None
    show_trials(trials)
    if left:
        raise RunError(
            f"{len(left)} of {trials.tuning.trials} trials are left; their output is "
            f"in {trials.folder}, and nqs resume {directory} continues"
        )

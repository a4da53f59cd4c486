"""A series: several runs of one experiment, each started from the one before it.

Its runs are in subdirectories of its directory, where `config.json` has the options of
all runs, and `result.json` lists the results.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import tyro

from experiments.command_line.options import Options
from nqs.files.config import to_json
from nqs.files.directory import RunError, open_directory, read_json, write_json

if TYPE_CHECKING:
    from nqs.runs import Experiment
    from nqs.runs.programs import Built

REPORTED = (
    "energy",
    "energy_error",
    "energy_per_particle",
    "energy_per_particle_error",
    "variance",
    "terms",
    "observables",
    "references",
    "warnings",
)


@dataclasses.dataclass(frozen=True)
class Series:
    """Runs in their order.

    Attributes:
      name: of the experiment.
      options: of the series, saved for `--resume`.
      members: options of each run, by the name of its subdirectory.
      finish: called with the directory and the list of results; the returned fields
        are added to the result of the series.
      short: training steps of every run except the first.

    Raises:
      ValueError: if one of the runs is impossible, before anything runs.
    """

    name: str
    options: Options
    members: Mapping[str, Options]
    finish: Callable[[Path, list[dict[str, Any]]], dict[str, Any]]
    short: int

    def __post_init__(self):
        for member in self.members.values():
            member.experiment()

    def run(self) -> dict[str, Any]:
        """Make all runs that are not finished, and write the result of the series.

        Raises:
          RunError: as `nqs.run` does.
        """
        config = {"name": self.name, "options": to_json(self.options.as_plain())}
        parent = open_directory(
            self.options.directory, self.name, config, self.options.resume
        )
        options, results = self._options(parent), []
        with ThreadPoolExecutor(1) as pool:
            ahead: list[Future[Built | None]] = []
            for this, following in zip(options, [*options[1:], None], strict=True):
                built = ahead.pop().result if ahead else None

                def compile_next(following=following):  # while this run steps
                    if following:
                        ahead.append(pool.submit(_built, following))

                results.append(self._result(this, parent, built, compile_next))
        reported = [
            {"directory": name} | {key: result[key] for key in REPORTED}
            for name, result in zip(self.members, results, strict=True)
        ]
        write_json(parent / "config.json", config)
        whole = {"experiment": self.name, "config": config, "runs": reported}
        whole |= {key: results[0][key] for key in ("energy_unit", "length_unit")}
        whole |= self.finish(parent, results)
        write_json(parent / "result.json", whole)
        print(f"results of all {len(results)} runs in {parent / 'result.json'}")
        return whole

    def _options(self, parent: Path) -> list[Options]:
        """Options of every run, each started from the one before it."""
        options, before = [], self.options.start_from
        for i, (name, member) in enumerate(self.members.items()):
            directory = parent / name
            options.append(
                dataclasses.replace(
                    member,
                    iterations=member.iterations if i == 0 else self.short,
                    directory=str(directory),
                    start_from=before,
                    resume=(directory / "config.json").exists(),
                )
            )
            before = str(directory)
        return options

    def _result(
        self,
        options: Options,
        parent: Path,
        built: "Callable[[], Built | None] | None",
        compiled: Callable[[], None],
    ) -> dict[str, Any]:
        """Result of a finished run, or of a new one."""
        from nqs.runs.loop import run
        from nqs.runs.result import sentence

        experiment = options.experiment()
        if (result := _finished(experiment)) is not None:
            print(f"run directory {options.directory}\n{sentence(result)}", flush=True)
            return result
        return run(experiment, parent, built, compiled)


def _finished(experiment: "Experiment") -> dict[str, Any] | None:
    """The result of a finished run."""
    path = Path(str(experiment.directory)) / "result.json"
    result = read_json(path) if path.exists() else {}
    return result if result.get("config") == experiment.config() else None


def _built(options: Options) -> "Built | None":
    """Programs of a run to come; None if it is finished, or its start will fail."""
    from nqs.runs.loop import ahead

    try:
        experiment = options.experiment()
        return None if _finished(experiment) else ahead(experiment)
    except (RunError, ValueError):
        return None


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeriesOptions(Options):
    """Options of an experiment with one option that may have several values."""

    along: ClassVar[str]  # the option with several values
    axis: ClassVar[str]  # its label in the figure
    figure: ClassVar[str]  # file name of the figure
    series_iterations: Annotated[
        int | None, tyro.conf.arg(aliases=["--chain-iterations"])
    ] = None
    """Training steps of each run of a series except the first; None for a quarter."""

    def members(self) -> Mapping[str, Self]:
        """Options of the run of every value; empty if there is only one.

        Raises:
          ValueError: if there is no value, or one occurs twice.
        """
        values = getattr(self, self.along)
        if not values or len(set(values)) < len(values):
            raise ValueError(
                f"{self.along} must be one or several different values, got {values}"
            )
        return {
            f"{self.along}_{str(value).removesuffix('.0')}": dataclasses.replace(
                self, **{self.along: (value,)}
            )
            for value in (values if len(values) > 1 else ())
        }

    def start(self) -> Callable[[], Any]:
        """A single run, or a series."""
        members, short = self.members(), self.series_iterations
        if not members:
            if short is not None:
                raise ValueError(
                    f"series_iterations requires several values of {self.along}"
                )
            return super().start()
        if self.distributed:
            raise ValueError(
                f"distributed must be False for several values of {self.along}"
            )
        first, *_ = members.values()
        name = first.experiment().name
        short = math.ceil(self.iterations / 4) if short is None else short
        return Series(name, self, members, self.finish, short).run

    def finish(self, parent: Path, results: list[dict[str, Any]]) -> dict[str, Any]:
        """Draw the energies with their references."""
        from nqs.runs.figures import draw_energies

        path = parent / "figures" / self.figure
        draw_energies(path, self.axis, getattr(self, self.along), results)
        return {}

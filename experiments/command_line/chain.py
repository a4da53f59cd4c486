"""Several runs of one experiment, each started from the one before it.

A chain keeps its runs in subdirectories of its own directory, where a `config.json` has
the options of all, and a `result.json` lists the results.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from experiments.command_line.options import Options
from nqs.runs import run
from nqs.runs.config import to_json
from nqs.runs.directory import open_directory, read_json, write_json
from nqs.runs.figures import draw_energies
from nqs.runs.result import sentence

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
class Chain:
    """Runs in the order in which they are made.

    Attributes:
      name: of the experiment.
      options: of the chain, which are written down for `--resume`.
      members: options of each run, by the name of its subdirectory.
      finish: called with the directory and the list of results; what it returns goes
        into the result of the chain.
      short: training steps of every run but the first, which starts from nothing.

    Raises:
      ValueError: if one of the runs is impossible; nothing has run by then.
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
        """Make all runs that are not finished, and write the result of the chain.

        Raises:
          RunError: as `nqs.run` does.
        """
        config = {"name": self.name, "options": to_json(self.options.as_plain())}
        parent = open_directory(
            self.options.directory, self.name, config, self.options.resume
        )
        results, before = [], self.options.start_from
        for i, (name, member) in enumerate(self.members.items()):
            directory = parent / name
            options = dataclasses.replace(
                member,
                iterations=member.iterations if i == 0 else self.short,
                directory=str(directory),
                start_from=before,
                resume=(directory / "config.json").exists(),
            )
            results.append(self._result(options, directory, parent))
            before = str(directory)
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

    def _result(
        self, options: Options, directory: Path, parent: Path
    ) -> dict[str, Any]:
        """What a finished run has found, or that of a new one."""
        experiment = options.experiment()
        done = directory / "result.json"
        if done.exists() and read_json(done)["config"] == experiment.config():
            result = read_json(done)
            print(f"run directory {directory}\n{sentence(result)}", flush=True)
            return result
        return run(experiment, parent)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChainOptions(Options):
    """Options of an experiment one of whose options may have several values."""

    along: ClassVar[str]  # that option, which a chain is made along
    axis: ClassVar[str]  # its name in a figure
    figure: ClassVar[str]  # whose file has this name
    chain_iterations: int | None = None
    """Training steps of each run of a chain but the first; None for a quarter."""

    def members(self) -> Mapping[str, Self]:
        """One run for every value; none if there is only one.

        Raises:
          ValueError: if a value is missing or twice there.
        """
        values = getattr(self, self.along)
        if not values or len(set(values)) < len(values):
            raise ValueError(
                f"{self.along} must be one or several different, got {values}"
            )
        return {
            f"{self.along}_{str(value).removesuffix('.0')}": dataclasses.replace(
                self, **{self.along: (value,)}
            )
            for value in (values if len(values) > 1 else ())
        }

    def start(self) -> Callable[[], Any]:
        """A single run, or a chain of them."""
        members, short = self.members(), self.chain_iterations
        if not members:
            return super().start()
        first, *_ = members.values()
        name = first.experiment().name
        short = math.ceil(self.iterations / 4) if short is None else short
        return Chain(name, self, members, self.finish, short).run

    def finish(self, parent: Path, results: list[dict[str, Any]]) -> dict[str, Any]:
        """Draw the energies, with what is known of them."""
        path = parent / "figures" / self.figure
        draw_energies(path, self.axis, getattr(self, self.along), results)
        return {}

"""The command line of an experiment: common options, parts and errors.

Functions import what they build with when they are called, so that `--help` and a
mistyped option do not import JAX.
"""

import abc
import dataclasses
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from experiments.command_line.choices import OptimizerOption, PartOption, TrapSampler
from experiments.command_line.notation import Part
from nqs.checks import whole
from nqs.files.config import from_json
from nqs.files.directory import RunError, read_json
from nqs.runs.training import UNSAVED, Training

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Training, abc.ABC):
    """Options of every experiment; each adds those of its system."""

    ansatz: PartOption = Part("ffnn")
    """Wave function."""
    sampler: TrapSampler = Part("metropolis")
    optimizer: OptimizerOption = Part("adam")
    sweeps: int | None = None
    """Sweeps per step; None for the sampler's own default."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    distributed: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """One of several processes of the run, which the cluster or `processes` names."""
    processes: tuple[str, int, int] | None = None
    """HOST:PORT of the first process, their count, and the index of this one; None
    where SLURM, Open MPI, Kubernetes or a TPU pod tells."""

    @property
    def learning_rate(self) -> float:
        """Default learning rate of a natural gradient, 1/energy."""
        return 0.05

    @abc.abstractmethod
    def experiment(self) -> "Experiment":
        """The experiment that these options describe."""

    def start(self) -> Callable[[], Any]:
        """The function that runs the checked experiment, or the series of them.

        Raises:
          ValueError: if an option is out of range.
        """
        from nqs.runs import run

        return partial(run, self.experiment())

    def join(self) -> None:
        """Find the other processes of a distributed run, before JAX is used.

        Raises:
          RunError: if they are not found.
        """
        if self.processes is not None and not self.distributed:
            raise RunError("processes must be None without --distributed")
        if self.distributed:
            from nqs.runs.hosts import join

            join(*self.processes or (None, None, None))

    def settings(self) -> dict[str, Any]:
        """The fields of `Experiment` that the common options fix."""
        from experiments.command_line.builders.optimizers import optimizer
        from experiments.command_line.builders.samplers import sampler

        rate = self.learning_rate
        return self.training() | {
            "sampler": sampler(self.sampler, self.samplers(), self.sweeps),
            "optimizer": optimizer(self.optimizer, self.iterations, rate),
            "options": self.as_plain(),
        }

    def as_plain(self) -> dict[str, Any]:
        """The options as JSON types, parts as text; without directory and resume."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            name: str(value) if isinstance(value, Part) else value
            for name, value in values.items()
            if name not in UNSAVED
        }

    def samplers(self) -> dict[str, Callable[..., Any]]:
        """Builders of the samplers by name, here those in a trap."""
        from experiments.command_line.builders.samplers import in_a_trap

        return in_a_trap()


@dataclasses.dataclass(frozen=True, kw_only=True)
class StatesOptions:
    """The option of experiments that may have excited states."""

    states: int = 1
    """How many of the lowest states, all at once."""

    def lowest_states(self, ground_state: "Experiment") -> "Experiment":
        """The experiment with so many states."""
        count = whole("states", self.states)
        return ground_state if count == 1 else ground_state.with_states(count)


@dataclasses.dataclass(frozen=True)
class Place:
    """The options that name a run to be resumed."""

    directory: str | None = None
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def main(
    config: type[Options], arguments: list[str] | None = None, prog: str | None = None
) -> None:
    """Read the command line, run the experiment, and end with 0, 1 or 2.

    Bad input ends with one sentence on standard error and no traceback.
    """
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        default = _resumed_options(config, arguments)
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        prog = prog or (f"python -m {spec.name}" if spec else None)
        options = tyro.cli(config, default=default, prog=prog, args=arguments)
        options.join()
        start = options.start()
    except (RunError, ValueError) as error:
        _fail(error, 2)
    try:
        start()
    except RunError as error:
        _fail(error, 1)


def _fail(error: Exception, code: int):
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(code) from None


def _resumed_options[T: Options](config: type[T], arguments: list[str]) -> T:
    """Defaults: those of the run to be resumed, else the experiment's own."""
    place, _ = tyro.cli(Place, args=arguments, return_unknown_args=True, add_help=False)
    given = place.directory
    if not place.resume or given is None:
        return config()
    path = Path(given) / "config.json"
    if not path.exists():
        return config()
    found = read_json(path)
    saved = found.get("options")
    known = {field.name: field.default for field in dataclasses.fields(config)}
    if not isinstance(saved, dict) or set(saved) != set(known) - UNSAVED:
        raise RunError(
            f"{given} is a run of another experiment or version, {found.get('name')!r}"
        )
    values: dict[str, Any] = {
        name: Part.parse(value) if isinstance(known[name], Part) else from_json(value)
        for name, value in saved.items()
    }
    return config(**values)

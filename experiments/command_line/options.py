"""The command line of an experiment: common options, parts and errors.

Functions import what they build with when they are called, so that `--help` and a
mistyped option do not import JAX.
"""

import abc
import ast
import dataclasses
import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import tyro

from nqs.runs.config import from_json
from nqs.runs.directory import RunError, read_json
from nqs.runs.training import UNSAVED, Training

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True)
class Part:
    """A part named on the command line with its settings, `ffnn(hidden=(32, 32))`."""

    name: str
    settings: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `NAME` or `NAME(FIELD=VALUE, ...)`, with literals as values.

        Raises:
          ValueError: if the text is anything else.
        """
        mistake = ValueError(
            "a part is written NAME or NAME(FIELD=VALUE, ...) with numbers, text or "
            f"tuples as values, got {text!r}"
        )
        try:
            match ast.parse(text.strip(), mode="eval").body:
                case ast.Name(name):
                    return cls(name)
                case ast.Call(ast.Name(name), [], fields) if all(k.arg for k in fields):
                    pairs = [(k.arg, ast.literal_eval(k.value)) for k in fields]
                    return cls(name, tuple((str(k), _tuples(v)) for k, v in pairs))
        except (SyntaxError, TypeError, ValueError):
            raise mistake from None
        raise mistake

    def __str__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings)
        return f"{self.name}({settings})" if settings else self.name

    def build(self, kind: str, known: Mapping[str, Callable]) -> Any:
        """Call the known part of that name with the settings.

        Raises:
          ValueError: for a name or a field that is not known, listing those that are.
        """
        if self.name not in known:
            listed = ", ".join(nearest(self.name, known))
            raise ValueError(f"unknown {kind} {self.name!r}; known are {listed}")
        parameters = inspect.signature(known[self.name]).parameters
        hidden = ("parent", "name", "method")
        fields = [name for name in parameters if name not in hidden]
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        for name, _ in self.settings:
            if name not in fields and not open_ended:
                raise ValueError(
                    f"{kind} {self.name} has no field {name!r}; it has "
                    f"{', '.join(nearest(name, fields)) or 'no fields'}"
                )
        try:
            return known[self.name](**dict(self.settings))
        except TypeError as error:
            raise ValueError(f"{kind} {self}: {error}") from None


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Known names, those like the given one first."""

    def unlike(other: str) -> float:
        return -difflib.SequenceMatcher(None, name, other).ratio()

    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return sorted(known, key=unlike) if close else known


PartOption = Annotated[
    Part,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME[(FIELD=VALUE, ...)]",
        instance_from_str=lambda texts: Part.parse(texts[0]),
        is_instance=lambda value: isinstance(value, Part),
        str_from_instance=lambda part: [str(part)],
    ),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Training, abc.ABC):
    """Options of every experiment; each adds those of its system."""

    ansatz: PartOption = Part("ffnn")
    """Wave function."""
    sampler: PartOption = Part("metropolis")
    """metropolis, langevin or gibbs."""
    optimizer: PartOption = Part("adam")
    """spring, sr, minsr, or any of optax's by name: adam(learning_rate=0.01), say."""
    sweeps: int | None = None
    """Sweeps per step; None for the sampler's own default."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Continue the run in the directory; options left out are taken from it."""

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
        """Builders of the samplers, by name."""
        from experiments.command_line.builders.samplers import of_particles

        return of_particles()


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


def _tuples(value: Any) -> Any:
    """Lists as tuples, so that a part stays hashable."""
    if isinstance(value, list | tuple):
        return tuple(_tuples(item) for item in value)
    return value

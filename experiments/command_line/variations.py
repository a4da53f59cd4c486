"""Options with several values: `omega=0.1,0.28,1`, `seed=0:5`, `ansatz.width=16|32`.

A dotted name is a field of a part. Every variation is read by the parser of the
experiment, so that a mistake is found before anything runs.
"""

import contextlib
import dataclasses
import io
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

import tyro

from experiments.command_line.notation import Part, nearest
from experiments.command_line.options import Options
from nqs.files.directory import RunError
from nqs.runs.training import UNSAVED

RANGE = re.compile(r"(-?\d+):(-?\d+)(?::(\d+))?")


def parsed(config: type[Options], arguments: Sequence[str], of: str = "") -> Options:
    """Options from a command line.

    Raises:
      ValueError: with the sentence of the parser, after the variation `of`.
    """
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output), contextlib.redirect_stdout(output):
            return tyro.cli(config, default=config(), args=list(arguments))
    except SystemExit:
        lines = [line.strip("│╭╰╮╯─- ") for line in output.getvalue().splitlines()[1:]]
        first = itertools.takewhile(bool, itertools.dropwhile(lambda t: not t, lines))
        text = " ".join(first)
        raise ValueError(f"{of or 'options'}: {text}") from None


def split(text: str) -> list[str]:
    """The values in a text, separated by commas or bars outside brackets and quotes."""
    found, depth, quote = [""], 0, ""
    for letter in text:
        if quote or letter in "'\"":
            quote = "" if letter == quote else quote or letter
        depth += (letter in "([{") - (letter in ")]}") if not quote else 0
        if letter in ",|" and not depth and not quote:
            found.append("")
        else:
            found[-1] += letter
    return [value.strip() for value in found]


def values(text: str) -> tuple[str, tuple[str, ...]]:
    """Name and values of NAME=VALUE,VALUE,... or NAME=FIRST:END[:STEP].

    Raises:
      ValueError: for any other text, or a value that occurs twice.
    """
    name, equals, listed = text.partition("=")
    name = name.strip().lstrip("-").replace("-", "_")
    if match := RANGE.fullmatch(listed.strip()):
        first, end, step = match.groups()
        found = [str(i) for i in range(int(first), int(end), int(step or 1))]
    else:
        found = split(listed)
    if not (equals and name and found and all(found)):
        raise ValueError(
            "a variation must be NAME=VALUE,VALUE,... or NAME=FIRST:END, where END is "
            f"not included, got {text!r}"
        )
    for value in found:
        if found.count(value) > 1:
            raise ValueError(f"{name} must have different values, got {value} twice")
    return name, tuple(found)


def check_name(config: type[Options], arguments: Sequence[str], name: str) -> None:
    """Refuse a name that is no option, no part with fields, or given otherwise too.

    Raises:
      ValueError: with the nearest names.
    """
    names = [f.name for f in dataclasses.fields(config) if f.name not in UNSAVED]
    option, dot, field = name.partition(".")
    if option not in names:
        listed = ", ".join(nearest(option, names))
        raise ValueError(f"an option to vary must be one of {listed}, got {option!r}")
    if not dot and len(without(arguments, option)) < len(arguments):
        raise ValueError(
            f"{option} must be given once, got --{hyphened(option)} besides its values"
        )
    part = getattr(parsed(config, arguments), option)
    if dot and not (field and isinstance(part, Part)):
        raise ValueError(f"{option} must be a part to have the field {field!r}")


def varied(
    config: type[Options], arguments: Sequence[str], changes: Mapping[str, str]
) -> list[str]:
    """The command line with these values, in place of those that it has."""
    parts: dict[str, Part] = {}
    found = list(arguments)
    # an option before its fields: ansatz=ffnn before ansatz.hidden=(8, 8)
    for name, value in sorted(changes.items(), key=lambda pair: "." in pair[0]):
        option, dot, field = name.partition(".")
        if not dot:
            found = [*without(found, option), *written(config, option, value)]
            continue
        part = parts.get(option) or getattr(parsed(config, found), option)
        change = Part.parse(f"{part.name}({field}={literal(value)})").settings
        settings = dict(part.settings) | dict(change)
        parts[option] = Part(part.name, tuple(settings.items()))
    for option, part in parts.items():
        found = [*without(found, option), f"--{hyphened(option)}", str(part)]
    return found


def literal(value: str) -> str:
    """A value as Python writes it; a word is a text."""
    word = value.isidentifier() and value not in ("True", "False", "None")
    return repr(value) if word else value


def hyphened(option: str) -> str:
    """An option as it is written on the command line."""
    return option.replace("_", "-")


def written(config: type[Options], option: str, value: str) -> list[str]:
    """The arguments that set an option."""
    default = {f.name: f.default for f in dataclasses.fields(config)}[option]
    name = hyphened(option)
    if isinstance(default, bool):
        if value not in ("True", "False"):
            raise ValueError(f"{option} must be True or False, got {value!r}")
        return [f"--{name}" if value == "True" else f"--no-{name}"]
    tokens = [value] if isinstance(default, Part) else value.split()
    return [f"--{name}", *tokens]


def without(arguments: Sequence[str], option: str) -> list[str]:
    """The arguments without an option and its values."""
    name, found, skipping = hyphened(option), [], False
    for text in arguments:
        if text.startswith("--"):
            given = text.partition("=")[0].replace("_", "-")
            skipping = given in (f"--{name}", f"--no-{name}")
        if not skipping:
            found.append(text)
    return found


def grid(over: Mapping[str, Sequence[str]]) -> list[dict[str, str]]:
    """Every combination of the values."""
    return [
        dict(zip(over, found, strict=True))
        for found in itertools.product(*over.values())
    ]


def check_single(options: Options) -> None:
    """Refuse a series, and options that describe no experiment.

    Raises:
      ValueError: as the experiment does.
    """
    from experiments.command_line.series import SeriesOptions

    if isinstance(options, SeriesOptions) and options.members():
        given = getattr(options, options.along)
        raise ValueError(
            f"{options.along} must have one value in each run, got {given}; vary it by "
            f"--over {options.along}=..."
        )
    try:
        options.start()
    except RunError as error:
        raise ValueError(str(error)) from None


def directory_name(changes: Mapping[str, str], taken: Iterable[str]) -> str:
    """The name of the directory of a variation, unlike those that are taken."""
    pairs = [f"{name.rpartition('.')[2]}_{value}" for name, value in changes.items()]
    name = re.sub(r"[^A-Za-z0-9.+-]+", "_", "_".join(pairs)).strip("_")[:100]
    for number in itertools.count(2):
        if name not in set(taken) | {"jobs", "figures"}:
            return name
        name = f"{name.rpartition('-')[0] if number > 2 else name}-{number}"
    raise AssertionError

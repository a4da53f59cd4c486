"""What `nqs tune` varies: `NAME=log(0.01,0.3)`, `(0,1)`, `int(1,4)` or `16|32|64`."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from experiments.command_line.notation import Part, nearest
from experiments.command_line.options import Options
from experiments.command_line.variations import (
    check_name,
    check_single,
    parsed,
    split,
    varied,
)

RANGE = re.compile(r"(log|int|)\(([^,]+),([^,]+)\)")
# the others change the system, or the number of steps
OPTIONS = ("ansatz", "sampler", "optimizer", "sweeps", "n_walkers", "clip", "burn_in")


@dataclasses.dataclass(frozen=True)
class Search:
    """Values of one option, or of one field of a part, among which to search.

    Attributes:
      name: of the option, or OPTION.FIELD.
      choices: texts; empty for a range.
      low: end of a range.
      high: the other end.
      kind: "log" for a range of equal ratios, "int" for integers.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    kind: str = ""

    def suggest(self, trial: Any) -> str:
        """The value of a trial of Optuna, as it is written on the command line."""
        if self.choices:
            return trial.suggest_categorical(self.name, self.choices)
        if self.kind == "int":
            return str(trial.suggest_int(self.name, int(self.low), int(self.high)))
        log = self.kind == "log"
        return f"{trial.suggest_float(self.name, self.low, self.high, log=log):.4g}"

    def ends(self) -> list[str]:
        """Values that are possible if all others are."""
        if self.choices:
            return [*self.choices]
        return [f"{int(x)}" if self.kind == "int" else f"{x:.4g}" for x in
                (self.low, self.high)]  # fmt: skip

    def inside(self, text: str | None) -> Any:
        """A value of the command line as Optuna takes it; None if it is not there."""
        if self.choices:
            return text if text in self.choices else None
        try:
            value = int(str(text)) if self.kind == "int" else float(str(text))
        except ValueError:
            return None
        return value if self.low <= value <= self.high else None


def search(text: str) -> Search:
    """Read one search.

    Raises:
      ValueError: for a text of another form, or an empty range.
    """
    name, _, values = (part.strip() for part in text.partition("="))
    name = name.lstrip("-").replace("-", "_")
    if name and (match := RANGE.fullmatch(values.replace(" ", ""))):
        try:
            low, high = (float(end) for end in match.groups()[1:])
        except ValueError:
            pass
        else:
            if not low < high or (match[1] == "log" and low <= 0):
                raise ValueError(
                    f"{name} must have a range from a lower to a higher number, above "
                    f"zero for log, got {values}"
                )
            return Search(name, (), low, high, match[1])
    choices = tuple(split(values))
    if name and len(choices) > 1 and all(choices) and len({*choices}) == len(choices):
        return Search(name, choices)
    raise ValueError(
        "a search must be NAME=log(LOW,HIGH), NAME=(LOW,HIGH), NAME=int(LOW,HIGH) or "
        f"NAME=VALUE|VALUE|... with different values, got {text!r}"
    )


def searches(
    config: type[Options], arguments: Sequence[str], texts: Sequence[str]
) -> tuple[Search, ...]:
    """The checked searches.

    Raises:
      ValueError: for an unknown option, one that changes the system or the number of
        steps, or a value that an option does not take.
    """
    if not texts:
        raise ValueError("tune requires --search NAME=VALUES, got none")
    found: dict[str, Search] = {}
    check_single(parsed(config, arguments))
    for text in texts:
        each = search(text)
        option = each.name.partition(".")[0]
        if option not in OPTIONS:
            listed = ", ".join(nearest(option, OPTIONS))
            raise ValueError(
                f"a search must be over one of {listed}, which leave system and number "
                f"of steps as they are, got {option!r}"
            )
        check_name(config, arguments, each.name)
        if each.name in found:
            raise ValueError(f"{each.name} must be given once, got --search twice")
        for value in each.ends():
            change = {each.name: value}
            check_single(parsed(config, varied(config, arguments, change), text))
        found[each.name] = each
    return tuple(found.values())


def default_value(options: Options, name: str) -> str | None:
    """The value of an option or field without any change; None if it is not known."""
    option, _, field = name.partition(".")
    if not field:
        return str(getattr(options, option))
    given = dict(getattr(options, option).settings)
    if field in given:
        return str(given[field])
    part = getattr(options.experiment(), option)
    if option == "optimizer" and field == "schedule":
        return str(part.schedule.shape)
    return None if (found := _field(part, field)) is None else str(found)


def _field(part: Any, name: str) -> Any:
    """A field of a part, or of one of the parts in it."""
    if isinstance(part, tuple):
        found = (_field(each, name) for each in part)
        return next((value for value in found if value is not None), None)
    if not dataclasses.is_dataclass(part) or isinstance(part, Part):
        return None
    fields = {f.name: getattr(part, f.name) for f in dataclasses.fields(part)}
    if name in fields and not dataclasses.is_dataclass(fields[name]):
        return fields[name]
    inner = (_field(v, name) for k, v in fields.items() if k not in ("parent", "name"))
    return next((value for value in inner if value is not None), None)

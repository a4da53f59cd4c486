"""A part as it is written on the command line, NAME(FIELD=VALUE, ...)."""

import ast
import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self


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
            unexpected = re.search(r"unexpected keyword argument '(\w+)'", str(error))
            if unexpected and unexpected[1] in dict(self.settings):
                raise ValueError(
                    f"{kind} {self.name} has no field {unexpected[1]!r}"
                ) from None
            raise ValueError(f"{kind} {self}: {error}") from None


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Known names, those like the given one first."""

    def unlike(other: str) -> float:
        return -difflib.SequenceMatcher(None, name, other).ratio()

    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return sorted(known, key=unlike) if close else known


def _tuples(value: Any) -> Any:
    """Lists as tuples, so that a part stays hashable."""
    if isinstance(value, list | tuple):
        return tuple(_tuples(item) for item in value)
    return value

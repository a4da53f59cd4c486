"""Checks of settings: each raises a ValueError, or returns a plain number.

The message names the field, the condition and the value that was found. Python, NumPy
and JAX scalars are all numbers.
"""

import dataclasses
import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any


def plain(value: Any) -> Any:
    """A NumPy or JAX scalar as a Python number, anything else unchanged."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return value.item()
    return value


def _is(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def whole(name: str, value: Any, least: int = 1, most: float = math.inf) -> int:
    """An integer from `least` to `most`."""
    found: Any = plain(value)
    if not (_is(numbers.Integral, found) and least <= found <= most):
        upper = "" if most == math.inf else f" and <= {most}"
        raise ValueError(f"{name} must be an integer >= {least}{upper}, got {value!r}")
    return int(found)


def finite(name: str, value: Any) -> float:
    """A finite real number."""
    found: Any = plain(value)
    if not (_is(numbers.Real, found) and math.isfinite(found)):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return found


def positive(name: str, value: Any, zero: bool = False) -> float:
    """A finite number above zero, or at least zero with `zero=True`."""
    found: Any = plain(value)
    real = _is(numbers.Real, found) and math.isfinite(found)
    if not (real and (found > 0 or (zero and found == 0))):
        condition = "finite and >= 0" if zero else "finite and positive"
        raise ValueError(f"{name} must be {condition}, got {value!r}")
    return found


def positives(name: str, value: Any) -> None:
    """Raise a ValueError unless one number, or each of a tuple, is positive."""
    for number in value if isinstance(value, tuple) else (value,):
        positive(name, number)


def one_of(name: str, value: Any, choices: Iterable[Any]) -> Any:
    """One of the choices."""
    if value not in (known := list(choices)):
        listed = ", ".join(map(str, known))
        raise ValueError(f"{name} must be one of {listed}, got {value!r}")
    return value


def require(part: Any, check: Callable[..., Any], *names: str, **limits: Any) -> None:
    """Check fields of a frozen dataclass and store the plain numbers in them."""
    for name in names:
        settle(part, **{name: check(name, getattr(part, name), **limits)})


def simplify(part: Any, *names: str) -> None:
    """Store NumPy and JAX scalars in these fields as Python numbers."""
    settle(part, **{name: plain(getattr(part, name)) for name in names})


def settle(part: Any, **values: Any) -> None:
    """Store checked values in the fields of a frozen dataclass."""
    for name, value in values.items():
        object.__setattr__(part, name, value)


def check_switches(part: Any, path: str = "") -> None:
    """Refuse text or a number in a bool field of a part, or of the parts in it.

    Python takes 'no' for true. Parts are dataclasses; `path` leads to this one.
    """
    if isinstance(part, tuple | list):
        for i, item in enumerate(part):
            check_switches(item, f"{path}[{i}]")
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            name = f"{path}.{field.name}".lstrip(".")
            if field.type in (bool, "bool") and not isinstance(plain(value), bool):
                raise ValueError(f"{name} must be True or False, got {value!r}")
            if field.name != "parent":  # of a Flax module
                check_switches(value, name)


def check_ansatz(ansatz: Any) -> None:
    """Refuse an object that is not an ansatz."""
    if not (hasattr(ansatz, "init") and hasattr(ansatz, "apply")):
        raise ValueError(
            f"ansatz must have init(key, x) and apply(params, x), got {name_of(ansatz)}"
            "; wrap a function f(params, x) -> LogPsi as nqs.Function(f, initial), an "
            "NNX module as nqs.from_nnx(module)"
        )


def name_of(thing: Any) -> str:
    """The name of a function or class, or of the class of an object."""
    return getattr(thing, "__name__", type(thing).__name__)

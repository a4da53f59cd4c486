"""Parts as JSON and back: the content of `config.json`.

A part is a frozen dataclass of plain numbers, tuples and other parts, so that its class
and its fields describe it: {"part": "hamiltonians.trap:HarmonicTrap", "n": 2, ...}. A
function is described by its name, {"function": "jax.numpy:tanh"}.
"""

import dataclasses
import importlib
import math
import sys
from typing import Any

import numpy as np


class NotImportable(ValueError):
    """The class or function of a setting cannot be imported."""


def to_json(value: Any) -> Any:
    """The settings of a part, as JSON types.

    Raises:
      ValueError: for a value that is neither a part nor plain.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        linen = hasattr(value, "parent") and hasattr(value, "apply")
        names = [field.name for field in dataclasses.fields(value)]
        names = [n for n in names if not (linen and n in ("parent", "name"))]
        fields = {name: to_json(getattr(value, name)) for name in names}
        return {"part": _address(type(value))} | fields
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}  # JSON has no infinity
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if callable(value):
        return {"function": _address(value)}
    raise ValueError(
        f"a setting must be a number, text, tuple, function or part, got {value!r}"
    )


def from_json(value: Any) -> Any:
    """The inverse of `to_json`; lists become tuples.

    Raises:
      NotImportable: if a class or function cannot be imported.
    """
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if not isinstance(value, dict):
        return value
    fields = {key: from_json(item) for key, item in value.items() if key != "part"}
    if "part" in value:  # first, because a part may have a field `function`
        return _import(value["part"])(**fields)
    if "function" in value:
        return _import(value["function"])
    return float(value["number"]) if "number" in value else fields


def completed(old: Any, new: Any) -> Any:
    """Settings of an older version with the fields it lacks, where `new` has defaults.

    A field without a default, or with another value in `new`, remains absent.
    """
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [completed(a, b) for a, b in zip(old, new, strict=True)]
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return old
    done = {name: completed(value, new.get(name)) for name, value in old.items()}
    newer = new.keys() - old.keys()
    if newer and new.get("part", "") == old.get("part"):
        for field in dataclasses.fields(_import(new["part"])):
            plain = field.name in newer and field.default is not dataclasses.MISSING
            if plain and to_json(field.default) == new[field.name]:
                done[field.name] = new[field.name]
    return done


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Differences of two JSON values: (dotted path, old, new)."""
    inner = []
    if isinstance(old, dict) and isinstance(new, dict):
        prefix = f"{path}." if path else ""
        inner = [(f"{prefix}{k}", old.get(k), new.get(k)) for k in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        inner = [(f"{path}[{i}]", a, b) for i, (a, b) in pairs]
    elif old != new or type(old) is not type(new):  # 1 and 1.0 are different
        return [(path, old, new)]
    return [found for name, a, b in inner for found in differences(a, b, name)]


def _address(thing: Any) -> str:
    """module:qualified.name, with the real name of a module run by `python -m`."""
    module = getattr(thing, "__module__", None) or "builtins"
    if module == "__main__":
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        module = spec.name if spec else module
    # an object that can be called (a partial, say) has no name of its own
    unnamed = f"<{type(thing).__qualname__}>"
    name = getattr(thing, "__qualname__", getattr(thing, "__name__", unnamed))
    return f"{module}:{name}"


def _import(address: str) -> Any:
    module, _, name = address.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for attribute in name.split("."):
            found = getattr(found, attribute)
    except (ImportError, AttributeError) as error:
        raise NotImportable(f"{address} cannot be imported here ({error})") from None
    return found

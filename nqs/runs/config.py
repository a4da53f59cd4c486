"""Parts as JSON and back: the content of `config.json`.

A part is a frozen dataclass of plain numbers, tuples and other parts, so its class and
its fields say everything: {"part": "hamiltonians.trap:HarmonicTrap", "n": 2, ...}. A
function is named, {"function": "jax.numpy:tanh"}.
"""

import dataclasses
import importlib
import math
import sys
from typing import Any

import numpy as np

# Fields of every linen module that are no settings.
LINEN_FIELDS = ("parent", "name")


class NotImportable(ValueError):
    """A part whose class cannot be found from here."""


def to_json(value: Any) -> Any:
    """The settings of a part, as JSON types.

    Raises:
      ValueError: for a value that is neither a part nor plain.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: to_json(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if not (field.name in LINEN_FIELDS and _is_linen(value))
        }
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
    """The inverse of `to_json`; lists come back as tuples.

    Raises:
      NotImportable: if a class or function cannot be imported from where it was.
    """
    if isinstance(value, list):
        return tuple(from_json(item) for item in value)
    if not isinstance(value, dict):
        return value
    fields = {key: from_json(item) for key, item in value.items() if key != "part"}
    if "part" in value:  # first, for a part may have a field `function`
        return _import(value["part"])(**fields)
    if "function" in value:
        return _import(value["function"])
    return float(value["number"]) if "number" in value else fields


def differences(old: Any, new: Any, path: str = "") -> list[tuple[str, Any, Any]]:
    """Where two JSON values differ: (dotted path, old, new)."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        found = []
        for key in keys:
            inner = f"{path}.{key}" if path else key
            found += differences(old.get(key), new.get(key), inner)
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [
            difference
            for i, (a, b) in enumerate(zip(old, new, strict=True))
            for difference in differences(a, b, f"{path}[{i}]")
        ]
    same = old == new and type(old) is type(new)  # 1 and 1.0 are saved differently
    return [] if same else [(path, old, new)]


def _is_linen(value: Any) -> bool:
    return hasattr(value, "parent") and hasattr(value, "apply")


def _address(thing: Any) -> str:
    """module:qualified.name, with the real name of a module run by `python -m`."""
    module = getattr(thing, "__module__", None) or "builtins"
    if module == "__main__":
        spec = getattr(sys.modules["__main__"], "__spec__", None)
        module = spec.name if spec else module
    # an object that can be called (a partial, say) has no name to find it by
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

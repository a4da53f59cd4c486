"""Registration of forward-Laplacian rules under names derived from content.

folx finds the rule of a jitted function by its name in the traced program. A name from
code and settings is the same in every process, for the persistent compilation cache.
"""

import dataclasses
import functools
import hashlib
import itertools
import sys
import types
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

_pending: dict[Any, Callable] = {}
_numbers = itertools.count()


def named(function: Callable, label: str, rule: Callable, *settings: Any) -> Callable:
    """The jitted function under the name "label_digest", and its rule registered.

    Args:
      function: to be named.
      label: first part of the name.
      rule: forward Laplacian for `folx.register_function`.
      settings: functions and values that determine the function and its rule.
    """
    text = "\n".join(map(fingerprint, settings))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    function.__name__ = f"{label}_{digest}"
    register(function.__name__, rule)
    return jax.jit(function)


def register(name: Any, rule: Callable) -> None:
    """Register the rule of a name or primitive, by `flush` once folx is imported."""
    _later(name, lambda original: rule)


def refine(primitive: Any, rule: Callable) -> None:
    """Register a rule of a primitive that folx has a rule of already.

    Args:
      primitive: of JAX.
      rule: function of the arguments and keywords, as for folx; where it returns None
        the rule of folx applies.
    """

    def refined(original: Callable) -> Callable:
        def either(arguments: Any, kwargs: Any, sparsity_threshold: int) -> Any:
            found = rule(arguments, kwargs)
            if found is None:
                return original(arguments, kwargs, sparsity_threshold)
            return found

        return either

    _later(primitive, refined)


def _later(name: Any, rule: Callable) -> None:
    """Register rule(original) for the original rule of a name or primitive, or None."""
    _pending[name] = rule
    if "folx.wrapped_functions" in sys.modules:
        flush()


def flush() -> None:
    """Register all pending rules with folx."""
    import folx  # here, because it takes longer to import than everything else
    from folx.wrapped_functions import get_laplacian

    while _pending:
        name, rule = _pending.popitem()
        folx.register_function(name, rule(get_laplacian(name)))


def barrier(arguments: Any, kwargs: Any, sparsity_threshold: int) -> Any:
    """The forward Laplacian of `optimization_barrier`, which is the identity."""
    from folx.api import FwdLaplArray

    differentiated = [isinstance(a, FwdLaplArray) for a in arguments]
    given = [a.x if d else a for a, d in zip(arguments, differentiated, strict=True)]
    values = jax.lax.optimization_barrier(given)
    return [
        a._replace(x=value) if d else value
        for a, d, value in zip(arguments, differentiated, values, strict=True)
    ]


register(jax.lax.optimization_barrier_p, barrier)


def fingerprint(value: Any) -> str:
    """The content of a setting as text, equal for equal functions and values.

    For a Python function: module, name, code, defaults and closure. An object without
    visible content, such as a callable of a user's class, gets a unique number.
    """
    match value:
        case functools.partial():
            items = value.func, value.args, sorted(value.keywords.items())
        case types.FunctionType():
            cells = [cell.cell_contents for cell in value.__closure__ or ()]
            defaults = value.__defaults__, value.__kwdefaults__
            name = f"{value.__module__}.{value.__qualname__}"
            items = name, value.__code__, defaults, cells
        case types.CodeType():
            items = value.co_code, value.co_names, value.co_consts, value.co_freevars
        case np.ndarray():
            items = str(value.dtype), value.shape, value.tobytes()
        case tuple() | list():
            items = value
        case dict():
            items = list(value.items())
        case set() | frozenset():
            return f"{{{', '.join(sorted(map(fingerprint, value)))}}}"
        case None | bool() | int() | float() | complex() | str() | bytes() | type():
            return repr(value)
        case types.EllipsisType():
            return repr(value)
        case _ if hasattr(value, "__wrapped__"):  # a jitted function
            items = type(value), value.__wrapped__
        case _ if dataclasses.is_dataclass(value):
            names = [field.name for field in dataclasses.fields(value)]
            items = type(value), [(name, getattr(value, name)) for name in names]
        case _:
            return f"{type(value).__qualname__} {next(_numbers)}"
    return f"({', '.join(map(fingerprint, items))})"

"""Neural quantum states: ansätze, Hamiltonians, samplers and optimizers, composed.

    from nqs.runs.run import Experiment, run

The rest of the namespace is loaded when it is first used, so that `import nqs` costs
little more than `import jax`.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Experiment": "nqs.runs.experiment",
    "Function": "nqs.types",
    "Hamiltonian": "nqs.types",
    "LogPsi": "nqs.types",
    "Reference": "nqs.types",
    "VMC": "nqs.vmc",
    "chunked_map": "nqs.batching",
    "configure": "nqs.runs.run",
    "energy_gradient": "nqs.vmc",
    "estimate": "nqs.statistics",
    "load": "nqs.runs.run",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nqs' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]

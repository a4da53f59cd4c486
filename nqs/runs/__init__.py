"""Running experiments: precision, compilation, devices, files and results.

Names are loaded when they are first used: the options of the command line require
`nqs.runs.training` only, and `--help` then does not import JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nqs.runs.devices import configure
    from nqs.runs.experiment import Experiment
    from nqs.runs.loading import load
    from nqs.runs.loop import run
    from nqs.runs.reading import read
    from nqs.runs.training import Training

__all__ = ["Experiment", "Training", "configure", "load", "read", "run"]

_HOMES = {
    "Experiment": "nqs.runs.experiment",
    "Training": "nqs.runs.training",
    "configure": "nqs.runs.devices",
    "load": "nqs.runs.loading",
    "read": "nqs.runs.reading",
    "run": "nqs.runs.loop",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nqs.runs' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

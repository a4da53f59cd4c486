"""Running experiments: precision, compilation, devices, files and results.

Names are loaded when they are first used: the options of the command line require
`nqs.runs.training` only, and `--help` then does not import JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nqs.files.reading import read
    from nqs.runs.callbacks import (
        SaveSamples,
        Step,
        Stop,
        StopAtPlateau,
        StopAtVariance,
    )
    from nqs.runs.devices import configure
    from nqs.runs.experiment import Experiment
    from nqs.runs.loading import load
    from nqs.runs.loggers import TensorBoard, WeightsAndBiases
    from nqs.runs.loop import run, steps
    from nqs.runs.measuring import evaluate
    from nqs.runs.training import Training

_HOMES = {
    "Experiment": "nqs.runs.experiment",
    "SaveSamples": "nqs.runs.callbacks",
    "Step": "nqs.runs.callbacks",
    "Stop": "nqs.runs.callbacks",
    "StopAtPlateau": "nqs.runs.callbacks",
    "StopAtVariance": "nqs.runs.callbacks",
    "TensorBoard": "nqs.runs.loggers",
    "Training": "nqs.runs.training",
    "WeightsAndBiases": "nqs.runs.loggers",
    "configure": "nqs.runs.devices",
    "evaluate": "nqs.runs.measuring",
    "load": "nqs.runs.loading",
    "read": "nqs.files.reading",
    "run": "nqs.runs.loop",
    "steps": "nqs.runs.loop",
}

__all__ = [
    "Experiment",
    "SaveSamples",
    "Step",
    "Stop",
    "StopAtPlateau",
    "StopAtVariance",
    "TensorBoard",
    "Training",
    "WeightsAndBiases",
    "configure",
    "evaluate",
    "load",
    "read",
    "run",
    "steps",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'nqs.runs' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

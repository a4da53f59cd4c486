"""Running experiments: precision, compilation, devices, files and results."""

from nqs.runs.devices import configure
from nqs.runs.experiment import Experiment, Training
from nqs.runs.load import load
from nqs.runs.loop import run

__all__ = ["Experiment", "Training", "configure", "load", "run"]

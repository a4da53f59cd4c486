"""Callbacks that send metrics elsewhere; packages of the extra `logging`."""

from pathlib import Path
from typing import Any

from nqs.files.datasets import optional
from nqs.runs.callbacks import Step


class TensorBoard:
    """Write metrics and the result for TensorBoard, into `tensorboard/` of the run."""

    def __init__(self, folder: str | Path | None = None):
        self.folder, self.writer = folder, None
        self.package = optional("tensorboardX", "logging")

    def step(self, step: Step) -> None:
        """Write the numbers of a training step."""
        if self.writer is None:
            folder = self.folder or step.directory / "tensorboard"
            self.writer = self.package.SummaryWriter(str(folder))
        for name, value in step.info.items():
            self.writer.add_scalar(name, float(value), step.number)

    def end(self, result: dict[str, Any]) -> None:
        """Write the energy, and close the file."""
        if self.writer is not None:
            self.writer.add_text("energy", str(result["energy"]))
            self.writer.close()


class WeightsAndBiases:
    """Log metrics and the result to Weights & Biases.

    `settings` are those of `wandb.init`, such as project="dots", mode="offline".
    """

    def __init__(self, **settings: Any):
        self.settings, self.run = settings, None
        self.package = optional("wandb", "logging")

    def step(self, step: Step) -> None:
        """Log the numbers of a training step."""
        if self.run is None:
            settings = {"dir": str(step.directory)} | self.settings
            self.run = self.package.init(**settings)
        numbers = {name: float(value) for name, value in step.info.items()}
        self.run.log(numbers, step=step.number)

    def end(self, result: dict[str, Any]) -> None:
        """Store the main numbers of the result, and finish."""
        if self.run is not None:
            for name in ("energy", "energy_error", "variance"):
                self.run.summary[name] = result[name]
            self.run.finish()

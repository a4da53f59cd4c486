"""Learning-rate schedules, by the names that optax gives them."""

import dataclasses

import optax

from nqs.checks import one_of, positive

SHAPES = ("constant", "cosine", "exponential", "inverse_time", "linear")
WITH_FINAL = ("cosine", "exponential", "linear")


def check_rate(rate: float | optax.Schedule, schedule: "Schedule") -> None:
    """Require a positive learning rate, or an optax schedule without another one."""
    if not callable(rate):
        positive("learning_rate", rate)
    elif schedule != Schedule():
        raise ValueError(
            "schedule must be the default where learning_rate is an optax schedule, "
            f"got {schedule!r}"
        )


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A learning rate as a function of the step: a warm-up, then a decay.

    Attributes:
      shape: "constant"; "cosine" or "linear" down to `final` at step `steps`;
        "exponential", by the factor `final` every `steps` steps; "inverse_time",
        1 / (1 + step / steps).
      steps: the scale of the decay; needed for every shape but "constant".
      final: the last learning rate over the first (cosine, linear), or the factor
        (exponential); other shapes have none and require the default.
      warmup: steps of linear rise from peak / warmup, before the decay begins.

    Raises:
      ValueError: for an unknown shape or a number out of range.
    """

    shape: str = "constant"
    steps: int | None = None
    final: float = 0.1
    warmup: int = 0

    def __post_init__(self):
        one_of("schedule", self.shape, SHAPES)
        if self.shape != "constant":
            positive("steps", self.steps)
        if not 0 <= self.final <= 1:
            raise ValueError(f"final must be >= 0 and <= 1, got {self.final!r}")
        if self.shape == "exponential":
            positive("final", self.final)
        if self.shape not in WITH_FINAL and self.final != Schedule.final:
            raise ValueError(
                f"final must be the default, {Schedule.final}, for the shape "
                f"{self.shape}, which does not use it, got {self.final!r}"
            )
        positive("warmup", self.warmup, zero=True)

    def build(self, peak: float | optax.Schedule) -> optax.Schedule:
        """The learning rate as a function of the step, or `peak` if it is one."""
        if callable(peak):
            return peak
        steps = self.steps or 1
        decay = {
            "constant": lambda: optax.constant_schedule(peak),
            "cosine": lambda: optax.cosine_decay_schedule(peak, steps, self.final),
            "exponential": lambda: optax.exponential_decay(peak, steps, self.final),
            "inverse_time": lambda: lambda step: peak / (1 + step / steps),
            "linear": lambda: optax.linear_schedule(peak, peak * self.final, steps),
        }[self.shape]()
        if not self.warmup:
            return decay
        rise = optax.linear_schedule(peak / self.warmup, peak, self.warmup)
        return optax.join_schedules([rise, decay], [self.warmup])

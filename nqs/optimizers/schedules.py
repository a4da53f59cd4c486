"""Learning-rate schedules, by the names that optax gives them."""

import dataclasses

import optax

from nqs.checks import positive

SHAPES = ("constant", "cosine", "exponential", "inverse_time", "linear")


def check_rate(rate: float | optax.Schedule, schedule: "Schedule") -> None:
    """Refuse a learning rate that is neither positive nor a lone optax schedule.

    Raises:
      ValueError: if it is neither.
    """
    if callable(rate):
        if schedule != Schedule():
            raise ValueError(
                "schedule must be the default where learning_rate is an optax "
                f"schedule, got {schedule!r}"
            )
    else:
        positive("learning_rate", rate)


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How a learning rate changes with the step: a warm-up, then a decay.

    Attributes:
      shape: "constant"; "cosine" or "linear" down to `final` at step `steps`;
        "exponential", by the factor `final` every `steps` steps; "inverse_time",
        1 / (1 + step / steps).
      steps: the scale of the decay; needed for every shape but "constant".
      final: the last learning rate over the first (cosine, linear), or the factor
        (exponential).
      warmup: steps of linear rise from peak / warmup, before the decay begins.

    Raises:
      ValueError: for an unknown shape or a number out of range.
    """

    shape: str = "constant"
    steps: int | None = None
    final: float = 0.1
    warmup: int = 0

    def __post_init__(self):
        if self.shape not in SHAPES:
            raise ValueError(f"schedule must be one of {SHAPES}, got {self.shape!r}")
        if self.shape != "constant" and not (self.steps or 0) > 0:
            raise ValueError(
                f"a {self.shape} schedule needs a positive number of steps, got "
                f"{self.steps!r}"
            )
        if not 0 <= self.final <= 1:
            raise ValueError(f"final must lie between 0 and 1, got {self.final!r}")
        if self.shape == "exponential" and not self.final > 0:
            raise ValueError(
                f"final must be positive for an exponential, got {self.final!r}"
            )
        if self.warmup < 0:
            raise ValueError(f"warmup must not be negative, got {self.warmup!r}")

    def build(self, peak: float | optax.Schedule) -> optax.Schedule:
        """The function from the step to the learning rate, which peaks at `peak`.

        An optax schedule in place of `peak` is that function already.
        """
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

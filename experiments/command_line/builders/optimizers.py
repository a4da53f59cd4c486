"""Optimizers by name, with schedules that last for the whole training."""

from functools import partial

from experiments.command_line.notation import Part, nearest
from nqs.optimizers import METHODS, SR, FirstOrder, MinSR, Schedule, Spring
from nqs.types import Optimizer

NATURAL = {"sr": SR, "minsr": MinSR, "spring": Spring}
FIRST_ORDER_FIELDS = ("learning_rate", "schedule", "steps", "final", "warmup",
                      "max_norm", "weight_decay")  # fmt: skip
NATURAL_STEPS = 100  # the learning rate of a natural gradient is halved after these


def optimizer(part: Part, iterations: int, natural_rate: float) -> Optimizer:
    """Build the optimizer that was named.

    Args:
      part: name and settings.
      iterations: training steps, over which a schedule lasts unless `steps` is given.
      natural_rate: default learning rate of a natural gradient, 1/energy.

    Raises:
      ValueError: for an unknown name or field.
    """

    def schedule_of(shape, steps, final, warmup):
        if shape != "constant" and steps is None:
            steps = max(1, iterations - warmup)
        return Schedule(shape, steps, final, warmup)

    def first_order(method, learning_rate=0.01, schedule="constant", steps=None,
                    final=0.1, warmup=0, max_norm=None, weight_decay=None,
                    **options):  # fmt: skip
        rates = schedule_of(schedule, steps, final, warmup)
        _check_options(method, options)
        pairs = tuple(options.items())
        return FirstOrder(method, learning_rate, rates, max_norm, weight_decay, pairs)

    def natural(method, learning_rate=natural_rate, schedule="inverse_time",
                steps=NATURAL_STEPS, final=0.1, warmup=0, **settings):  # fmt: skip
        rates = schedule_of(schedule, steps, final, warmup)
        return method(learning_rate=learning_rate, schedule=rates, **settings)

    known = {name: partial(first_order, name) for name in METHODS} | {
        name: partial(natural, method) for name, method in NATURAL.items()
    }
    return part.build("optimizer", known)


def _check_options(method: str, options: dict) -> None:
    """Refuse options that the optimizer of optax does not have."""
    own = (*FIRST_ORDER_FIELDS, *FirstOrder.option_names(method))
    for name in options:
        if name not in own:
            raise ValueError(
                f"optimizer {method} has no field {name!r}; it has "
                f"{', '.join(nearest(name, own))}"
            )

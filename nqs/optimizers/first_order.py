"""First-order optimizers, by the names that optax gives them."""

import dataclasses
import inspect
from typing import Any

import optax

from nqs.checks import one_of, positive
from nqs.optimizers.schedules import Schedule, check_rate

# optimizers of optax that require the gradient alone; sm3 fails for scalar parameters
METHODS = ("adabelief", "adadelta", "adafactor", "adagrad", "adam", "adamax",
           "adamaxw", "adamw", "adan", "amsgrad", "lamb", "lion", "momentum", "nadam",
           "nadamw", "novograd", "radam", "rmsprop", "sgd", "yogi")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class FirstOrder:
    """One of optax's optimizers, with a schedule, gradient clipping and weight decay.

    The chain is: clip the global norm of the gradient; the direction of the optimizer;
    decoupled weight decay, which adds -weight_decay * params (I. Loshchilov and F.
    Hutter, ICLR 2019) and replaces that of optax; times the scheduled learning rate.

    Attributes:
      method: optax's name, or "momentum" for sgd(momentum=0.9).
      learning_rate: the peak learning rate, or an optax schedule.
      schedule: of the learning rate.
      max_norm: largest global norm of a gradient, larger ones are scaled; None for any.
      weight_decay: in units of the learning rate; None for the default of optax, zero
        except for adamw and its variants, lamb and lion.
      options: further (name, value) pairs of the optax function, as (("b1", 0.95),).

    Raises:
      ValueError: for an unknown method or option, or a number out of range.
    """

    method: str = "adam"
    learning_rate: float | optax.Schedule = 0.01
    schedule: Schedule = Schedule()
    max_norm: float | None = None
    weight_decay: float | None = None
    options: tuple[tuple[str, Any], ...] = ()

    def __post_init__(self):
        one_of("optimizer", self.method, METHODS)
        check_rate(self.learning_rate, self.schedule)
        if self.max_norm is not None:
            positive("max_norm", self.max_norm)
        if self.weight_decay is not None:
            positive("weight_decay", self.weight_decay, zero=True)
        for name, _ in self.options:
            one_of(f"option of {self.method}", name, self.option_names(self.method))

    @staticmethod
    def option_names(method: str) -> list[str]:
        """Further arguments of an optax function."""
        parameters = inspect.signature(_function(method)).parameters
        return [n for n in parameters if n not in ("learning_rate", "weight_decay")]

    def build(self) -> optax.GradientTransformationExtraArgs:
        """The optax transformation."""
        function, options = _function(self.method), dict(self.options)
        if self.method == "momentum":
            options = {"momentum": 0.9} | options
        chain = []
        if self.max_norm is not None:
            chain.append(optax.clip_by_global_norm(self.max_norm))
        built_in = "weight_decay" in inspect.signature(function).parameters
        if self.weight_decay is not None and built_in:
            options["weight_decay"] = 0.0
        chain.append(function(1.0, **options))
        if self.weight_decay:  # negative, because the update already points downhill
            chain.append(optax.add_decayed_weights(-self.weight_decay))
        rate = self.schedule.build(self.learning_rate)
        chain.append(optax.scale_by_schedule(rate))
        return optax.with_extra_args_support(optax.chain(*chain))


def _function(method: str):
    return getattr(optax, "sgd" if method == "momentum" else method)

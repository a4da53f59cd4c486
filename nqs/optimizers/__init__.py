"""Optimizers as frozen settings that build optax transformations."""

from nqs.optimizers.first_order import METHODS, FirstOrder
from nqs.optimizers.natural import SR, MinSR, NaturalGradient, Spring
from nqs.optimizers.schedules import SHAPES, Schedule

__all__ = ["METHODS", "SHAPES", "SR", "FirstOrder", "MinSR", "NaturalGradient",
           "Schedule", "Spring"]  # fmt: skip

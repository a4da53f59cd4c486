"""Optimizers as frozen settings that build optax transformations."""

from nqs.optimizers.first_order import METHODS, FirstOrder
from nqs.optimizers.schedules import SHAPES, Schedule

__all__ = ["METHODS", "SHAPES", "FirstOrder", "Schedule"]

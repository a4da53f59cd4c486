"""Means, error bars and evaluation with frozen parameters."""

from nqs.statistics.estimates import Estimate, TooFewSamples, estimate, uncertain
from nqs.statistics.evaluation import Evaluation
from nqs.statistics.measurements import Measurements, means, stack
from nqs.statistics.summary import (
    Diagnostics,
    derived_series,
    merged_profile,
    summary,
)

__all__ = [
    "Diagnostics",
    "Estimate",
    "Evaluation",
    "Measurements",
    "TooFewSamples",
    "derived_series",
    "estimate",
    "means",
    "merged_profile",
    "stack",
    "summary",
    "uncertain",
]

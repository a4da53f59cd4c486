"""Means, error bars and evaluation with frozen parameters."""

from nqs.statistics.estimates import Estimate, TooFewSamples, estimate

__all__ = ["Estimate", "TooFewSamples", "estimate"]

"""Observables, measured with frozen parameters."""

from nqs.observables.lattice import Magnetization, SiteStructureFactor
from nqs.observables.periodic import (
    MomentumDistribution,
    OneBodyDensity,
    PairDistribution,
    StructureFactor,
)
from nqs.observables.spin import SpinPairDistribution, TotalSpin
from nqs.observables.trap import (
    Density,
    MeanSquareRadius,
    Observable,
    PairCorrelation,
    RadialDensity,
    SpinSquared,
)

__all__ = [
    "Density",
    "Magnetization",
    "MeanSquareRadius",
    "MomentumDistribution",
    "Observable",
    "OneBodyDensity",
    "PairCorrelation",
    "PairDistribution",
    "RadialDensity",
    "SiteStructureFactor",
    "SpinPairDistribution",
    "SpinSquared",
    "StructureFactor",
    "TotalSpin",
]

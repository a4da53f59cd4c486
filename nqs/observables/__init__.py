"""Observables, measured with frozen parameters."""

from nqs.observables.lanczos_step import LanczosStep
from nqs.observables.lattice import Magnetization, SiteStructureFactor
from nqs.observables.momentum import MomentumDistribution
from nqs.observables.nucleons import NucleonDensity, PointRadius
from nqs.observables.periodic import (
    OneBodyDensity,
    PairDistribution,
    StructureFactor,
)
from nqs.observables.spin import SpinPairDistribution, SpinSquared
from nqs.observables.trap import (
    Density,
    Dipole,
    MeanSquareRadius,
    PairCorrelation,
    RadialDensity,
)
from nqs.types import Observable

__all__ = [
    "Density",
    "Dipole",
    "LanczosStep",
    "Magnetization",
    "MeanSquareRadius",
    "MomentumDistribution",
    "NucleonDensity",
    "Observable",
    "OneBodyDensity",
    "PairCorrelation",
    "PairDistribution",
    "PointRadius",
    "RadialDensity",
    "SiteStructureFactor",
    "SpinPairDistribution",
    "SpinSquared",
    "StructureFactor",
]

"""Monte Carlo samplers of |psi|^2, one kernel a file."""

from samplers.about_nuclei import AboutNuclei
from samplers.direct import Direct
from samplers.gibbs import Gibbs
from samplers.langevin import Langevin
from samplers.metropolis import AllParticles, Metropolis, Move, OneParticle
from samplers.nucleons import NucleonMove
from samplers.periodic import Periodic
from samplers.sites import Exchange, Flip, Hop, Recolor, SiteMetropolis, SiteMove
from samplers.spins import SpinsAndPositions
from samplers.wolff import Wolff

__all__ = [
    "AboutNuclei",
    "AllParticles",
    "Direct",
    "Exchange",
    "Flip",
    "Gibbs",
    "Hop",
    "Langevin",
    "Metropolis",
    "Move",
    "NucleonMove",
    "OneParticle",
    "Periodic",
    "Recolor",
    "SiteMetropolis",
    "SiteMove",
    "SpinsAndPositions",
    "Wolff",
]

"""Monte Carlo samplers of |psi|^2, one kernel a file."""

from samplers.gibbs import Gibbs
from samplers.langevin import Langevin
from samplers.metropolis import AllParticles, Metropolis, Move, OneParticle
from samplers.periodic import Periodic

__all__ = [
    "AllParticles",
    "Gibbs",
    "Langevin",
    "Metropolis",
    "Move",
    "OneParticle",
    "Periodic",
]

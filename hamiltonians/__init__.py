"""Systems: each Hamiltonian is a frozen dataclass that gives its local energy."""

from hamiltonians.electron_gas import ElectronGas
from hamiltonians.interactions import Coulomb, Gaussian, HarmonicPairs, InverseSquare
from hamiltonians.kinetic import kinetic_energy
from hamiltonians.oscillator import oscillator_levels
from hamiltonians.trap import HarmonicTrap

__all__ = [
    "Coulomb",
    "ElectronGas",
    "Gaussian",
    "HarmonicPairs",
    "HarmonicTrap",
    "InverseSquare",
    "kinetic_energy",
    "oscillator_levels",
]

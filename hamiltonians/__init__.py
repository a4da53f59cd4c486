"""Systems: each Hamiltonian is a frozen dataclass that gives its local energy."""

from hamiltonians.classical import ClassicalIsing, ClassicalPotts
from hamiltonians.electron_gas import ElectronGas
from hamiltonians.fermi_gas import FermiGas
from hamiltonians.heisenberg import J1J2, Heisenberg
from hamiltonians.interactions import Coulomb, Gaussian, HarmonicPairs, InverseSquare
from hamiltonians.ising import TransverseFieldIsing
from hamiltonians.kinetic import kinetic_energy
from hamiltonians.neutron_matter import NeutronMatter
from hamiltonians.oscillator import oscillator_levels
from hamiltonians.potts import Potts
from hamiltonians.trap import HarmonicTrap

__all__ = [
    "J1J2",
    "ClassicalIsing",
    "ClassicalPotts",
    "Coulomb",
    "ElectronGas",
    "FermiGas",
    "Gaussian",
    "HarmonicPairs",
    "HarmonicTrap",
    "Heisenberg",
    "InverseSquare",
    "NeutronMatter",
    "Potts",
    "TransverseFieldIsing",
    "kinetic_energy",
    "oscillator_levels",
]

"""Systems: each Hamiltonian is a frozen dataclass that gives its local energy."""

from hamiltonians.bose_hubbard import BoseHubbard
from hamiltonians.classical import ClassicalIsing, ClassicalPotts
from hamiltonians.electron_gas import ElectronGas
from hamiltonians.fermi_gas import FermiGas
from hamiltonians.forces.pair_potentials import (
    Coulomb,
    Gaussian,
    HarmonicPairs,
    InverseSquare,
)
from hamiltonians.heisenberg import J1J2, Heisenberg
from hamiltonians.hubbard import Hubbard
from hamiltonians.ising import TransverseFieldIsing
from hamiltonians.lattice_fermions import LatticeFermions
from hamiltonians.lattice_model import Connected, LatticeModel
from hamiltonians.molecule import Molecule
from hamiltonians.neutron_matter import NeutronMatter
from hamiltonians.nucleus import Nucleus
from hamiltonians.potts import Potts
from hamiltonians.trap import HarmonicTrap
from hamiltonians.tv import TV
from hamiltonians.xxz import XXZ
from nqs.laplacian.kinetic import kinetic_energy
from nqs.space.oscillator import oscillator_levels

__all__ = [
    "J1J2",
    "TV",
    "XXZ",
    "BoseHubbard",
    "ClassicalIsing",
    "ClassicalPotts",
    "Connected",
    "Coulomb",
    "ElectronGas",
    "FermiGas",
    "Gaussian",
    "HarmonicPairs",
    "HarmonicTrap",
    "Heisenberg",
    "Hubbard",
    "InverseSquare",
    "LatticeFermions",
    "LatticeModel",
    "Molecule",
    "NeutronMatter",
    "Nucleus",
    "Potts",
    "TransverseFieldIsing",
    "kinetic_energy",
    "oscillator_levels",
]

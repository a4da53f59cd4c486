"""Wave functions as flax modules, one ansatz a file."""

from nqs.ansatze.backflow import Backflow, MessagePassing
from nqs.ansatze.binary_rbm import BinaryRBM
from nqs.ansatze.boltzmann import Boltzmann
from nqs.ansatze.complex_parameters import ComplexParameters, ComplexSites, Shifted
from nqs.ansatze.conv import LatticeConv
from nqs.ansatze.ffnn import DeepSets, FeedForward
from nqs.ansatze.jastrow import GaussianJastrow, PadeJastrow, PowerJastrow, Product
from nqs.ansatze.lattice_product import LatticeProduct
from nqs.ansatze.lattice_slater import LatticeSlater
from nqs.ansatze.layers import Envelope
from nqs.ansatze.molecular import MolecularBackflow
from nqs.ansatze.nucleons import CorrelatedNucleons
from nqs.ansatze.plane_waves import PlaneWaveSlater
from nqs.ansatze.projected_bcs import ProjectedBCS
from nqs.ansatze.rbm import GaussianBinaryRBM
from nqs.ansatze.recurrent import RecurrentGRU
from nqs.ansatze.singlet import SingletBackflow
from nqs.ansatze.slater import Slater, SlaterJastrow
from nqs.ansatze.spin_explicit import SpinExplicit
from nqs.ansatze.spin_jastrow import SpinJastrow
from nqs.ansatze.symmetrized import Symmetrized
from nqs.ansatze.symmetrized_orbits import SymmetrizedOrbits, group_average
from nqs.ansatze.transformer import LatticeTransformer

__all__ = ["Backflow", "BinaryRBM", "Boltzmann", "ComplexParameters", "ComplexSites",
           "CorrelatedNucleons", "DeepSets", "Envelope", "FeedForward",
           "GaussianBinaryRBM", "GaussianJastrow", "LatticeConv",
           "LatticeProduct", "LatticeSlater",
           "LatticeTransformer", "MessagePassing", "MolecularBackflow",
           "PadeJastrow", "PlaneWaveSlater", "PowerJastrow", "Product",
           "ProjectedBCS", "RecurrentGRU", "Shifted", "SingletBackflow",
           "Slater", "SlaterJastrow", "SpinExplicit", "SpinJastrow",
           "Symmetrized", "SymmetrizedOrbits", "group_average"]  # fmt: skip

"""Wave functions as flax modules, one ansatz a file."""

from nqs.ansatze.backflow import Backflow, MessagePassing
from nqs.ansatze.envelope import Envelope
from nqs.ansatze.ffnn import DeepSets, FeedForward
from nqs.ansatze.jastrow import GaussianJastrow, PadeJastrow, PowerJastrow, Product
from nqs.ansatze.plane_waves import PlaneWaveSlater
from nqs.ansatze.rbm import GaussianBinaryRBM
from nqs.ansatze.slater import Slater, SlaterJastrow

__all__ = [
    "Backflow",
    "DeepSets",
    "Envelope",
    "FeedForward",
    "GaussianBinaryRBM",
    "GaussianJastrow",
    "MessagePassing",
    "PadeJastrow",
    "PlaneWaveSlater",
    "PowerJastrow",
    "Product",
    "Slater",
    "SlaterJastrow",
]

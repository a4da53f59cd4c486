"""Wave functions as flax modules, one ansatz a file."""

from nqs.ansatze.envelope import Envelope
from nqs.ansatze.ffnn import DeepSets, FeedForward
from nqs.ansatze.jastrow import GaussianJastrow, PadeJastrow, PowerJastrow, Product
from nqs.ansatze.rbm import GaussianBinaryRBM
from nqs.ansatze.slater import Slater, SlaterJastrow

__all__ = [
    "DeepSets",
    "Envelope",
    "FeedForward",
    "GaussianBinaryRBM",
    "GaussianJastrow",
    "PadeJastrow",
    "PowerJastrow",
    "Product",
    "Slater",
    "SlaterJastrow",
]

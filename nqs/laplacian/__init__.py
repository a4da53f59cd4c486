"""The forward Laplacian and its rules, each beside the function that it speeds up."""

from nqs.laplacian.kinetic import LAPLACIANS, kinetic_energy

__all__ = ["LAPLACIANS", "kinetic_energy"]

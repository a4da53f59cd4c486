"""Observables of nucleons about their center of mass, with frozen parameters."""

import dataclasses

import jax.numpy as jnp
from jax import Array

from nqs.checks import one_of
from nqs.observables.histograms import RadialBins
from nqs.space.nucleons import Nucleons
from nqs.types import Ansatz, Params

KINDS = ("proton", "neutron")  # isospins 0 and 1


@dataclasses.dataclass(frozen=True)
class NucleonDensity(RadialBins):
    """Densities of protons and of neutrons, with integrals Z and N.

    Centers of nucleons alone count, and the density is averaged over directions.

    Attributes:
      r_max: end of the last bin, in length units, positive.
      n_bins: equal bins from 0 to r_max.
    """

    r_max: float
    n_bins: int = 50

    name = "density"
    axes = ("distance from the center of mass ({length})",)
    label = "density of nucleons ({length}$^{{-3}}$)"
    curves = ("protons", "neutrons")

    def __call__(self, ansatz: Ansatz, params: Params, x: Nucleons) -> Array:
        """Protons and neutrons per volume (2, k) in shells about the center of mass."""
        r = jnp.sqrt(squared_radii(x))
        masks = (isospin_mask(x, isospin) for isospin in range(2))
        return jnp.stack([self.per_shell(r, 3, mask) for mask in masks])


@dataclasses.dataclass(frozen=True)
class PointRadius:
    """<r^2> of protons or of neutrons about the center of mass, squared length units.

    Attributes:
      kind: "proton" or "neutron".
    """

    kind: str = "proton"

    grid = None

    def __post_init__(self):
        one_of("kind", self.kind, KINDS)

    @property
    def name(self) -> str:
        """With the kind."""
        return f"{self.kind}_r_squared"

    def __call__(self, ansatz: Ansatz, params: Params, x: Nucleons) -> Array:
        """Mean squared distance () of the nucleons of this kind."""
        mask = isospin_mask(x, KINDS.index(self.kind))
        return jnp.sum(mask * squared_radii(x)) / jnp.sum(mask)


def squared_radii(x: Nucleons) -> Array:
    """Squared distances (a,) from the center of mass."""
    center = jnp.mean(x.positions, axis=0, keepdims=True)
    return jnp.sum((x.positions - center) ** 2, axis=-1)


def isospin_mask(x: Nucleons, isospin: int) -> Array:
    """1 for nucleons of an isospin, else 0, (a,)."""
    return (x.isospins == isospin).astype(x.positions.dtype)

"""Transformers of patches of a lattice, with attention by distance."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze import layers
from nqs.ansatze.cosh import log_product_of_cosh
from nqs.ansatze.site_features import site_features
from nqs.space.lattice import Lattice
from nqs.types import LogPsi


class LatticeTransformer(nn.Module):
    """A vision transformer: psi(x) = prod_k 2 cosh(b_k + w_k . z), z = sum_p h_p(x).

    The levels of each patch p become features h_p, to which every layer adds factored
    attention, sum_q A(q - p) V h_q in several heads, and then a perceptron. Inputs of
    both, and z, are normalized. The attention A depends on the displacement alone, so
    that psi is invariant under translations by patches; `Symmetrized` adds the others.
    It has no ratios of its own: one changed level changes all features.

    Attributes:
      lattice: periodic.
      patch: sites along each axis of a patch.
      features: of each patch.
      heads: of the attention, which share the features.
      layers: of attention and perceptron.
      levels: q of each site.
      phase: b and w are complex, and so is psi.

    Raises:
      ValueError: for a lattice with open ends, or numbers that do not divide it.

    Reference: L. L. Viteritti, R. Rende and F. Becca, Phys. Rev. Lett. 130, 236401
    (2023); R. Rende et al., Commun. Phys. 7, 260 (2024).
    """

    lattice: Lattice
    patch: int = 2
    features: int = 24
    heads: int = 4
    layers: int = 2
    levels: int = 2
    phase: bool = False

    def __post_init__(self):
        super().__post_init__()
        least = {"patch": 1, "features": 1, "heads": 1, "layers": 1, "levels": 2}
        layers.check_integers(self, **least)
        if not getattr(self.lattice, "periodic", False):
            raise ValueError(f"lattice must be a periodic Lattice, got {self.lattice}")
        extent = self.lattice.extent
        if any(length % self.patch for length in extent):
            raise ValueError(f"patch must divide {extent} sites, got {self.patch}")
        if self.features % self.heads:
            raise ValueError(
                f"heads must divide features={self.features}, got {self.heads}"
            )

    def invariances(self) -> np.ndarray:
        """Translations by patches."""
        by_patches = np.all(self.lattice.coordinates % self.patch == 0, axis=1)
        return self.lattice.translations[by_patches]

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of levels x (s,)."""
        sites, displacements = patches(self.lattice, self.patch)
        levels = site_features(x, self.levels)[sites]  # (p, sites of a patch, f)
        kind = levels.dtype
        h = nn.Dense(self.features, param_dtype=kind)(levels.reshape(len(sites), -1))
        for _ in range(self.layers):
            attention = FactoredAttention(displacements, self.heads)
            h = h + attention(nn.LayerNorm(param_dtype=kind)(h))
            wide = nn.Dense(2 * self.features, param_dtype=kind)(
                nn.LayerNorm(param_dtype=kind)(h)
            )
            h = h + nn.Dense(self.features, param_dtype=kind)(nn.gelu(wide))
        z = nn.LayerNorm(param_dtype=kind)(jnp.sum(h, axis=0))
        theta = nn.Dense(self.features, param_dtype=kind, name="real")(z)
        if not self.phase:
            return layers.log_psi(log_product_of_cosh(theta)[None])
        imaginary = nn.Dense(self.features, param_dtype=kind, name="imaginary")(z)
        log = log_product_of_cosh(jax.lax.complex(theta, imaginary))
        return layers.log_psi(jnp.stack([log.real, log.imag]))


class FactoredAttention(nn.Module):
    """sum_q A(q - p) V h_q in each head, mixed by a last layer.

    Attributes:
      displacements: (p, p), the number of q - p for every pair of patches.
      heads: parts of the features, with an A of their own.
    """

    displacements: np.ndarray
    heads: int

    @nn.compact
    def __call__(self, h: Array) -> Array:
        """Features (p, f) to features (p, f)."""
        p, f = h.shape
        init = nn.initializers.normal(p**-0.5)
        weights = self.param("weights", init, (self.heads, p), h.dtype)
        values = nn.Dense(f, param_dtype=h.dtype)(h).reshape(p, self.heads, -1)
        mixed = jnp.einsum("kpq,qkf->pkf", weights[:, self.displacements], values)
        return nn.Dense(f, param_dtype=h.dtype)(mixed.reshape(p, f))


def patches(lattice: Lattice, patch: int) -> tuple[np.ndarray, np.ndarray]:
    """Sites (p, m) of every patch, and numbers (p, p) of the displacements q - p.

    The number of a displacement is that of the patch to which it leads from the first.
    """
    d, coarse = len(lattice.extent), tuple(n // patch for n in lattice.extent)
    split = [length for n in coarse for length in (n, patch)]
    sites = np.arange(lattice.n).reshape(split)
    sites = sites.transpose(*range(0, 2 * d, 2), *range(1, 2 * d, 2))
    at = np.indices(coarse).reshape(d, -1)
    apart = (at[:, None, :] - at[:, :, None]) % np.reshape(coarse, (d, 1, 1))
    numbers = np.asarray(np.ravel_multi_index(tuple(apart), coarse))
    return sites.reshape(-1, patch**d), numbers

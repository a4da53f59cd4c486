"""Message-passing neural backflow about nuclei, with both Coulomb cusps.

    psi = exp(sum_{iI} Z_I (s_iI - r_iI) + sum_i J(h_i)) sum_k prod_spin det[phi_k],
    phi_kl(i) = sum_I F_klI(h_i) exp(-a_klI s_iI),    s = sqrt(r^2 + 1 / Z_I^2),

where r_iI is the distance of electron i from nucleus I. The features h_i and the s_iI
are smooth where an electron meets a nucleus, and exp(-Z_I r) has the exact cusp there.
T. Kato, Commun. Pure Appl. Math. 10, 151 (1957). Exponential envelopes about every
nucleus as in D. Pfau et al., Phys. Rev. Research 2, 033429 (2020).
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.backflow import message_passing, spin_signs
from nqs.ansatze.jastrow import squared_length
from nqs.ansatze.layers import check_elementwise, check_integers, zero_dense
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.slater import log_determinants
from nqs.laplacian.pairs import relative_features
from nqs.space.nuclei import Nuclei
from nqs.space.spins import Spins
from nqs.types import LogPsi


class MolecularBackflow(LayerwiseDerivatives, nn.Module):
    """Slater determinants of neural orbitals about nuclei.

    The cusps where electrons meet take a `PadeJastrow`. The exponents a start at those
    of hydrogen-like shells: orbitals of the inner shells are on one nucleus each, the
    others on all. Both spins have the same orbitals, as functions of the features.

    Attributes:
      nuclei: their charges and positions.
      spins: of the electrons.
      layers: rounds of messages.
      width: of features and messages.
      determinants: terms of the sum over k.
      activation: name of a smooth function of `jax.nn`, or a callable.
      flip_symmetric: psi of as many spins up as down is even under a flip of all spins,
        as singlets are; False adds the spin to the features of an electron.

    Raises:
      ValueError: unless sizes are positive integers.
    """

    nuclei: Nuclei
    spins: Spins
    layers: int = 2
    width: int = 32
    determinants: int = 4
    activation: str | Callable = "silu"
    flip_symmetric: bool = True

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, layers=1, width=1, determinants=1)
        check_elementwise(self.activation)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, 3)."""
        n, signs = x.shape[0], spin_signs(x.shape[0], self.spins)
        charges = self.nuclei.per_nucleus(x)
        v = self.nuclei.displacements(x)
        square = squared_length(v)  # (n, nuclei)
        smooth = jnp.sqrt(square + 1 / charges**2)
        cusps = jnp.sum(charges * (smooth - jnp.sqrt(square)))
        particles = soft_features(v, smooth).reshape(n, -1)
        if not self.flip_symmetric:
            spin = jnp.asarray(np.array(signs)[:, None], x.dtype)
            particles = jnp.concatenate([particles, spin], axis=-1)
        pairs = electron_pairs(signs, 1 / max(self.nuclei.charges))(x)
        h = message_passing(self)(particles, pairs)
        logabs = cusps + jnp.sum(zero_dense(1, x)(h))
        orbitals = self.orbitals(h, smooth)
        return log_determinants(_matrices, x, self.spins, logabs, orbitals)

    def orbitals(self, h: Array, smooth: Array) -> Array:
        """Orbitals (n, k, orbitals) of features h (n, width), and s (n, nuclei)."""
        first, exponents = shells(self.nuclei, max(self.spins.up, self.spins.down))
        shape = (self.determinants, *first.shape)
        start = np.broadcast_to(first, shape).reshape(-1)
        factors = nn.Dense(
            start.size,
            kernel_init=nn.initializers.normal(0.1),
            bias_init=lambda key, shape, dtype: jnp.asarray(start, dtype),
            param_dtype=h.dtype,
        )(h).reshape(-1, *shape)
        start = np.broadcast_to(np.log(exponents), shape)
        log_a = self.param("log_exponents", lambda key: jnp.asarray(start, h.dtype))
        envelopes = jnp.exp(-jnp.exp(log_a)[None] * smooth[:, None, None, :])
        return jnp.sum(factors * envelopes, axis=-1)


def _matrices(x: Array, own: Array | None) -> Array:
    """The orbitals themselves (k, m, m), which depend on more than x (m, 3)."""
    assert own is not None
    return own


def shells(nuclei: Nuclei, count: int) -> tuple[np.ndarray, np.ndarray]:
    """First factors and exponents (orbitals, nuclei) of `count` orbitals.

    Inner shells first, one orbital each on its nucleus; then valence orbitals.
    """
    rows = [row[::2] for row in nuclei.exponents]  # an orbital has two electrons
    inner = [(i, a) for i, row in enumerate(rows) for a in row if a > row[-1]]
    outer = np.array([row[-1] for row in rows])
    first = np.ones((count, len(rows)))
    exponents = np.tile(outer, (count, 1))
    for k, (i, a) in enumerate(inner[:count]):
        first[k] = np.arange(len(rows)) == i
        exponents[k, i] = a
    return first, exponents


def soft_features(v: Array, smooth: Array) -> Array:
    """Displacements and log(1 + s) (..., 4) of v (..., 3), with s = smooth (...).

    The former are divided by s / log(1 + s), and so grow slowly at large distances.
    """
    log = jnp.log1p(smooth)[..., None]
    return jnp.concatenate([v * (log / smooth[..., None]), log], axis=-1)


@functools.cache
def electron_pairs(signs: tuple[int, ...], core: float) -> Callable[[Array], Array]:
    """Features of pairs (n, n, 5) of x (n, 3): `soft_features` and product of spins.

    `core` is the radius of the smallest shell, bohr, where s = sqrt(r^2 + core^2).
    """
    product = np.outer(signs, signs)[:, :, None]

    def of_pairs(one: Array, other: Array) -> Array:
        v = one - other
        smooth = jnp.sqrt(core**2 + squared_length(v))
        by_spin = jnp.asarray(product, one.dtype)
        return jnp.concatenate([soft_features(v, smooth), by_spin], axis=-1)

    return relative_features(of_pairs)

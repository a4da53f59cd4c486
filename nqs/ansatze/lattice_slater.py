"""Slater determinants of fermions on a lattice, with neural backflow and Jastrow."""

from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze import layers
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.spin_jastrow import SpinJastrow
from nqs.checks import finite, positive, whole
from nqs.space.lattice import Sites, spins, sublattices
from nqs.types import LogPsi

SPLITTING = 1e-6  # of degenerate orbitals, in units of t


class LatticeSlater(LayerwiseDerivatives, nn.Module):
    """psi(x) = exp(J(x)) prod_spins det[phi_k(i; x), i occupied].

    x are occupations (m,), 0 or 1, of the sites for each spin in turn. The rows of a
    determinant are the occupied sites in their order, as the signs of `LatticeFermions`
    require. Orbitals and J depend on all occupations through a network (f, g),

        phi_k(i; x) = phi_k(i) + f_ik(x),    J(x) = g(x) + sum_{i<j} v_i w_ij v_j,

    with v = 1 - 2 x. Network and J start at zero, and phi at the lowest orbitals of the
    bonds with random numbers added, which remove the zeros of free fermions.

    Attributes:
      lattice: sites and bonds.
      totals: fermions of each spin.
      hidden: widths of the hidden layers of the network; () for none.
      activation: as in `FeedForward`.
      kernel_init: as in `FeedForward`.
      flip_symmetric: psi(x_up, x_down) + psi(x_down, x_up), of even total spin.
      jastrow: whether J has the sum over pairs, as `SpinJastrow`.
      stddev: of the numbers added to the first orbitals, in units of 1/sqrt(s).
      t: hopping amplitude of the first orbitals.

    Raises:
      ValueError: if widths or totals are not fitting integers, or t is not finite.

    Reference: D. Luo and B. K. Clark, Phys. Rev. Lett. 122, 226401 (2019).
    """

    lattice: Sites
    totals: tuple[int, ...]
    hidden: tuple[int, ...] = (64,)
    activation: str | Callable = "tanh"
    kernel_init: str | Callable = "glorot_normal"
    flip_symmetric: bool = False
    jastrow: bool = True
    stddev: float = 0.1
    t: float = 1.0

    residual = False

    def __post_init__(self):
        super().__post_init__()
        layers.check_network(self)
        positive("stddev", self.stddev, zero=True)
        finite("t", self.t)
        for total in self.totals:
            whole("totals", total, 0, self.lattice.n)
        if self.flip_symmetric and (len(self.totals), len({*self.totals})) != (2, 1):
            raise ValueError(
                "flip_symmetric must be False unless totals are two equal numbers, got "
                f"totals {self.totals}"
            )

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of occupations x (m,).

        Raises:
          ValueError: if there are not m sites for all spins.
        """
        s, copies = self.lattice.n, len(self.totals)
        if x.shape != (s * copies,):
            raise ValueError(f"x must have shape ({s * copies},), got {x.shape}")
        dtype, count = jnp.result_type(float), sum(self.totals)
        free = self.param("orbitals", self._first, (s, count), dtype)
        both = x[None]
        if self.flip_symmetric:
            both = jnp.stack([x, jnp.roll(x, s)])
        orbitals = jnp.broadcast_to(free, (len(both), s, count))
        logabs = jnp.zeros(len(both), dtype)
        if self.hidden:
            h = layers.network(self, self.hidden, False)(spins(both))
            found = layers.zero_dense(s * count + 1, h)(h)
            orbitals += found[:, 1:].reshape(orbitals.shape)
            logabs += found[:, 0]
        if self.jastrow:
            factor = SpinJastrow(stddev=0.0)
            logabs += jnp.stack([factor(x).logabs for x in both])
        determinants = jax.vmap(partial(log_determinants, totals=self.totals))
        psi = determinants(both, orbitals, logabs)
        if self.flip_symmetric:
            return layers.log_sum(*psi)
        return LogPsi(psi.sign[0], psi.logabs[0])

    def _first(self, key: Array, shape: tuple[int, int], dtype) -> Array:
        """The lowest orbitals (s, n) of every spin, and random numbers."""
        noise = nn.initializers.normal(self.stddev / self.lattice.n**0.5)
        free = [
            free_orbitals(self.lattice, self.t, (-1) ** spin)[:, :total]
            for spin, total in enumerate(self.totals)
        ]
        return jnp.asarray(np.hstack(free), dtype) + noise(key, shape, dtype)


def log_determinants(
    x: Array, orbitals: Array, logabs: Array, totals: tuple[int, ...]
) -> LogPsi:
    """Log of exp(logabs) times the determinants of all spins.

    Args:
      x: (m,) occupations.
      orbitals: (s, n) of all spins, one after the other.
      logabs: ().
      totals: fermions of each spin.
    """
    s, sign = len(orbitals), jnp.ones_like(logabs)
    for spin, (total, end) in enumerate(zip(totals, np.cumsum(totals), strict=True)):
        if total:
            own = occupied(x[spin * s : (spin + 1) * s], total)
            found = jnp.linalg.slogdet(orbitals[own, end - total : end])
            sign, logabs = sign * found.sign, logabs + found.logabsdet
    return LogPsi(sign, logabs)


def occupied(x: Array, total: int) -> Array:
    """The occupied sites (n,) of x (s,), the first one first."""
    before = jnp.cumsum(x)  # occupied sites up to each
    return jnp.sum(before[None, :] <= jnp.arange(total)[:, None], axis=1)


def free_orbitals(lattice: Sites, t: float, sign: int = 1) -> np.ndarray:
    """Orthonormal eigenvectors (s, s) of -t times the bonds, the lowest first.

    Of degenerate ones a weak potential, of the given sign on one sublattice and the
    opposite on the other, selects those that opposite spins do not share.
    """
    matrix, edges = np.zeros((lattice.n, lattice.n)), lattice.edges
    np.add.at(matrix, (edges[:, 0], edges[:, 1]), -t)
    side = sublattices(lattice.n, edges)
    potential = np.zeros(lattice.n) if side is None else sign * SPLITTING * side
    return np.linalg.eigh(matrix + matrix.T + np.diag(potential))[1]

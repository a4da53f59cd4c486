"""Exact free energies and energies of classical models on finite lattices."""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nqs.space.lattice import Lattice, Sites

LARGEST = 1024  # states of a column


class Thermal(NamedTuple):
    """Free energy -T log Z and mean energy of the whole lattice."""

    free_energy: float
    energy: float
    source: str


def transfer_matrix(lattice: Sites, bond: np.ndarray, t: float) -> Thermal | None:
    """Exact solution of a ring or a square torus; None for another or too wide lattice.

    With columns of states a, Z = tr M^l for M = sqrt(D) K sqrt(D), D the weight within
    a column and K that between two, and -d log Z / d beta = <E> follows from dM /
    d beta in the basis of the eigenvectors. `bond` (q, q) is the energy of the levels
    at the ends of a bond, t the temperature.
    """
    q = len(bond)
    if not (isinstance(lattice, Lattice) and lattice.periodic):
        return None
    ring, length = lattice.kind == "chain", max(lattice.extent)
    width = 1 if ring else min(lattice.extent)
    if lattice.kind == "triangular" or q**width > LARGEST:
        return None
    states = np.array([*itertools.product(range(q), repeat=width)])
    within = bond[states, np.roll(states, 1, axis=1)].sum(axis=1) * (not ring)
    between = bond[states[:, None], states[None]].sum(axis=-1)
    energies = between + (within[:, None] + within[None]) / 2
    least = energies.min()
    matrix = np.exp(-(energies - least) / t)
    values, vectors = np.linalg.eigh(matrix)
    slopes = np.einsum("ai,ab,bi->i", vectors, -(energies - least) * matrix, vectors)
    largest = np.abs(values).max()
    powers = (values / largest) ** (length - 1)
    z = np.sum(powers * values / largest)
    log_z = math.log(z) + length * math.log(largest) - length * least / t
    energy = length * least - length * np.sum(powers * slopes) / (z * largest)
    return Thermal(-t * log_z, float(energy), "transfer matrix")


def kaufman(rows: int, columns: int, t: float, j: float = 1.0) -> Thermal:
    """The Ising model -J sum s s on a torus of any size.

    Z = (2 sinh 2K)^(mn/2) / 2 times the sum of four products, of 2 cosh and 2 sinh of
    m gamma_r / 2 over odd and over even r < 2 n, where

        cosh gamma_r = cosh 2K coth 2K - cos(pi r / n),  gamma_0 = 2K + log tanh K.

    B. Kaufman, Phys. Rev. 76, 1232 (1949).
    """
    m, n = rows, columns

    def log_z(beta):
        k = beta * j
        base = jnp.cosh(2 * k) / jnp.tanh(2 * k)
        r = np.arange(1, 2 * n)
        gamma = jnp.arccosh(base - jnp.cos(jnp.pi * r / n))
        first = 2 * k + jnp.log(jnp.tanh(k))

        def logs(gamma):  # of 2 cosh and 2 |sinh|
            size = m * jnp.abs(gamma) / 2
            small = jnp.exp(-2 * size)
            return size + jnp.log1p(small), size + jnp.log1p(-small)

        odd, even = logs(gamma[0::2]), logs(gamma[1::2])
        sums = [jnp.sum(part) for part in odd]
        sums += [
            zero + jnp.sum(part) for zero, part in zip(logs(first), even, strict=True)
        ]
        # gamma_0 and its sinh are negative above the critical temperature
        signs = jnp.ones(4).at[3].set(jnp.sign(first))
        total = jax.scipy.special.logsumexp(jnp.stack(sums), b=signs)
        return total - jnp.log(2.0) + m * n / 2 * jnp.log(2 * jnp.sinh(2 * k))

    with jax.enable_x64(True):
        value, slope = jax.jit(jax.value_and_grad(log_z))(1 / t)
        source = "B. Kaufman, Phys. Rev. 76, 1232 (1949)"
        return Thermal(-t * float(value), -float(slope), source)

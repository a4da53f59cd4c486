"""Forces between nucleons of pionless effective field theory, at leading order.

    v_ij = [V_0(r) (1 - P_s) (1 + P_t) + V_1(r) (1 + P_s) (1 - P_t)] / 4
    v_ijk = sum_cyc t(r_ij) t(r_jk)

with the exchanges P_s of two spins and P_t of two isospins, 1 for two neutrons. V_0, of
spin 0, V_1, of spin 1, and t are Gaussians. The model "o" of R. Schiavilla et al.,
Phys. Rev. C 103, 054003 (2021), arXiv:2102.02327. Energies in MeV, lengths in fm.
"""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

HBAR_C = 197.32697  # MeV fm
PION_DECAY = 92.4  # f_pi, MeV
CUTOFF = 1000.0  # Lambda, MeV
C01, SINGLET_RANGE = -5.27518671, 1.83039397  # fm^2 and fm, of spin 0
C10, TRIPLET_RANGE = -7.04040080, 1.54592984  # of spin 1
THREE_BODY = {1.0: 1.0786, 1.1: 1.2945, 1.5: 2.7676, 2.0: 6.95356}  # c_E by R3, fm


@dataclasses.dataclass(frozen=True)
class GaussianForce:
    """height exp(-r^2 / range^2)."""

    height: float
    range: float

    def __call__(self, r: Array) -> Array:
        """Values (...) at distances r (...)."""
        return self.height * jnp.exp(-((r / self.range) ** 2))


def _smeared(strength: float, length: float) -> GaussianForce:
    """A contact force of a strength, fm^2, smeared over a range, in MeV."""
    return GaussianForce(HBAR_C * strength / (math.pi**1.5 * length**3), length)


SINGLET = _smeared(C01, SINGLET_RANGE)  # V_0
TRIPLET = _smeared(C10, TRIPLET_RANGE)  # V_1


def three_body_factor(r3: float) -> GaussianForce:
    """The factor t of the range R3, a key of `THREE_BODY`, MeV^(1/2)."""
    strength = THREE_BODY[r3] / (PION_DECAY**4 * CUTOFF)
    height = strength * HBAR_C**6 / (math.pi**3 * r3**6)
    return GaussianForce(math.sqrt(height), r3)


def three_body_energy(factors: Array, n: int) -> Array:
    """The repulsion () of n particles from t (n (n - 1) / 2,) of their pairs i < j.

    Over i the products of t_ij and t_ik are half of (sum_j t_ij)^2 - sum_j t_ij^2.
    """
    t = jnp.zeros((n, n), factors.dtype).at[np.triu_indices(n, 1)].set(factors)
    t = t + t.T
    sums = jnp.sum(t, axis=1)
    return (jnp.sum(sums * sums) - jnp.sum(t * t)) / 2

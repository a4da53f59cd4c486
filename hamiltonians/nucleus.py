"""Light nuclei with forces of pionless effective field theory.

    H = -(hbar^2 / 2 m) sum_i nabla_i^2 + sum_{i<j} v_ij + sum_{i<j<k} v_ijk
        + sum_{protons i<j} e^2 F(r_ij) / r_ij

with the forces of `hamiltonians.forces.pionless`, in MeV and fm. F = 1 for points. For
protons with a dipole form factor, as published energies have them, with x = b r

    F(r) = 1 - (1 + 11 x / 16 + 3 x^2 / 16 + x^3 / 48) exp(-x),

R. B. Wiringa, V. G. J. Stoks and R. Schiavilla, Phys. Rev. C 51, 38 (1995). psi depends
on positions relative to the center of mass, whose motion then has no energy; walkers
have theirs at the origin, and the move `NucleonMove` keeps it there.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.forces.pionless import (
    SINGLET,
    THREE_BODY,
    TRIPLET,
    three_body_energy,
    three_body_factor,
)
from hamiltonians.references.nuclei import hyperspherical, radial_deuteron
from nqs.checks import one_of, simplify, whole
from nqs.laplacian.kinetic import kinetic_energy
from nqs.ratios.exchange import label_ratios
from nqs.space.nucleons import Nucleons
from nqs.space.spins import Spins
from nqs.types import Ansatz, Function, Hamiltonian, Params, Reference

HBAR_SQUARED_OVER_M = 41.47104  # MeV fm^2
E_SQUARED = 1.43996  # MeV fm
DIPOLE = 4.27  # b of the form factor of the proton, 1/fm
# Nucleons with spin up of the bound nuclei (a, z): spin 1, 1/2, 1/2 and 0
BOUND = {(2, 1): 2, (3, 1): 2, (3, 2): 2, (4, 2): 2}
RADIUS = 1.5  # of the first walkers, fm along each axis


@dataclasses.dataclass(frozen=True)
class Nucleus(Hamiltonian):
    """Protons and neutrons, bound by forces of two and three.

    The deuteron has spin 1 and all spins up; other nuclei have the lowest spin.

    Attributes:
      a: nucleons, 2 to 4.
      z: protons.
      three_body: whether to include the repulsion of three nucleons.
      r3: its range R3, fm, a key of `THREE_BODY`.
      point_protons: whether protons repel as points.

    Raises:
      ValueError: if a or z is out of range, the nucleus is not bound, or r3 has no
        known strength.
    """

    a: int
    z: int
    three_body: bool = True
    r3: float = 1.0
    point_protons: bool = False

    energy_unit = "MeV"
    length_unit = "fm"
    translation_invariant = True
    extent = 6.0  # fm, of figures

    def __post_init__(self):
        simplify(self, "a", "z", "r3")
        whole("a", self.a, 2, 4)
        bound = [z for a, z in BOUND if a == self.a]
        whole("z", self.z, 0, self.a)
        if self.z not in bound:
            listed = " or ".join(map(str, bound))
            raise ValueError(
                f"z must be {listed} for a bound nucleus of a={self.a}, got {self.z}"
            )
        one_of("r3", self.r3, THREE_BODY)

    @property
    def n(self) -> int:
        """Number of nucleons."""
        return self.a

    @property
    def spins(self) -> Spins:
        """Numbers of nucleons of each spin."""
        return Spins.of(self.a, BOUND[self.a, self.z])

    def terms(self, ansatz: Ansatz, params: Params, x: Nucleons) -> dict[str, Array]:
        """Kinetic, two-body, Coulomb and three-body energy (), MeV, at x."""
        i, j = np.triu_indices(self.a, 1)
        r = jnp.linalg.norm(x.positions[i] - x.positions[j], axis=-1)
        moving = Function(
            lambda params, y: ansatz.apply(params, x._replace(positions=y))
        )
        terms = {
            "kinetic": HBAR_SQUARED_OVER_M
            * kinetic_energy(moving, params, x.positions),
            "two_body": self._two_body(ansatz, params, x, r),
        }
        if self.z > 1:
            protons = (1 - x.isospins[i]) * (1 - x.isospins[j])
            terms["coulomb"] = jnp.sum(protons.astype(r.dtype) * self.coulomb(r))
        if self.three_body and self.a > 2:
            factors = three_body_factor(self.r3)(r)
            terms["three_body"] = three_body_energy(factors, self.a)
        return terms

    def coulomb(self, r: Array) -> Array:
        """The repulsion (...) of two protons at distances r (...), MeV."""
        if self.point_protons:
            return E_SQUARED / r
        x = DIPOLE * r
        inside = (1 + 11 / 16 * x + 3 / 16 * x**2 + x**3 / 48) * jnp.exp(-x)
        return E_SQUARED * (1 - inside) / r

    def _two_body(self, ansatz: Ansatz, params: Params, x: Nucleons, r: Array) -> Array:
        """The sum () over pairs at distances r, by exchanges of spins and isospins."""
        exchanges = ("spins",), ("isospins",), ("spins", "isospins")
        s, t, both = (label_ratios(ansatz, params, x, names) for names in exchanges)
        singlet = SINGLET(r) * (1 - s + t - both)
        triplet = TRIPLET(r) * (1 + s - t - both)
        return jnp.sum(singlet + triplet) / 4

    def initial_walkers(self, key: Array, n_walkers: int) -> Nucleons:
        """Gaussian clouds about the center of mass, with all nucleons in other states.

        Nucleons in order proton up, neutron up, and so on are shuffled.
        """
        shape = (whole("n_walkers", n_walkers), self.a, 3)
        key_positions, key_order = jax.random.split(key)
        positions = RADIUS * jax.random.normal(key_positions, shape)
        positions = positions - jnp.mean(positions, axis=1, keepdims=True)
        spins, isospins = (jnp.asarray(labels) for labels in self._states())
        keys = jax.random.split(key_order, shape[0])
        orders = jax.vmap(lambda key: jax.random.permutation(key, self.a))(keys)
        return Nucleons(positions, spins[orders], isospins[orders])

    def _states(self) -> tuple[np.ndarray, np.ndarray]:
        """Spins and isospins (a,) that differ for any two nucleons."""
        protons = np.arange(self.a) < self.z
        if self.a == 2:
            return np.zeros(2, int), 1 - protons
        spins = np.concatenate([np.arange(k) for k in (self.z, self.a - self.z)])
        return spins, 1 - protons

    def references(self) -> tuple[Reference, ...]:
        """The radial equation of the deuteron, and hyperspherical harmonics."""
        known: tuple[Any, ...] = ()
        if self.a == 2:
            known = (radial_deuteron(TRIPLET, HBAR_SQUARED_OVER_M),)
        published = self.r3 == 1.0 or not self.three_body or self.a == 2
        if published and not (self.point_protons and self.z > 1):
            known += (hyperspherical(self.a, self.z, self.three_body),)
        return known

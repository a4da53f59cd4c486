"""Neutrons in a periodic cube with forces of pionless effective field theory.

    H = -(hbar^2 / 2 m) sum_i nabla_i^2
        + sum_{i<j} C(r_ij) (1 - sigma_i . sigma_j) / 4
        + sum_{i<j<k} sum_cyc t(r_ij) t(r_jk)

at leading order, the potential "o" of R. Schiavilla et al., Phys. Rev. C 103, 054003
(2021), arXiv:2102.02327, as B. Fore et al., Phys. Rev. Research 5, 033062 (2023),
arXiv:2212.04436, use it. C and t are Gaussians, summed over all periodic images, t
before products are taken. Energies in MeV, lengths in fm.

Spins. sigma_i . sigma_j = 2 P - 1, P the exchange of the two spins, so that the
two-body force is C (1 - P) / 2 and acts on singlets. Labeled configurations have the
spins up first. There P psi = -P_r psi by antisymmetry, P_r the exchange of positions:

    V_ij psi = C (psi + P_r psi) / 2 for opposite spins, 0 for equal ones.

Where configurations contain all spins (`nqs.space.spins`), P exchanges those.
"""

import dataclasses
import math
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.forces.image_sums import PeriodicGaussian
from hamiltonians.forces.pionless import (
    SINGLET,
    THREE_BODY,
    three_body_energy,
    three_body_factor,
)
from hamiltonians.periodic_fermions import PeriodicFermions
from hamiltonians.references.neutrons import coupled_cluster, four_neutrons
from hamiltonians.references.two_in_a_cube import LARGEST, SOURCE, energy_of_two
from nqs.checks import one_of, positive, require, simplify
from nqs.laplacian.kinetic import kinetic_energy
from nqs.ratios.exchange import exchange_ratios, label_ratios
from nqs.space.box import Box
from nqs.space.spins import SpinPositions, Spins, sorted_by_spin
from nqs.types import Ansatz, Function, Params, Reference

HBAR_SQUARED_OVER_M = 41.442483  # MeV fm^2, of the neutron
RANGE = SINGLET.range


@dataclasses.dataclass(frozen=True)
class NeutronMatter(PeriodicFermions):
    """Neutrons of two spins at a density.

    Attributes:
      spins: numbers of neutrons of each spin.
      density: fm^-3.
      three_body: whether to include the repulsion of three neutrons.
      r3: its range R3, fm, a key of `THREE_BODY`.
      spin_explicit: walkers are `SpinPositions`, for an ansatz such as `SpinExplicit`,
        instead of labeled positions.

    Raises:
      ValueError: if the density is not positive, or r3 has no known strength.
    """

    density: float
    three_body: bool = True
    r3: float = 1.0
    spin_explicit: bool = False

    energy_unit = "MeV"
    length_unit = "fm"
    exchange = "two_body"

    def __post_init__(self):
        super().__post_init__()
        require(self, positive, "density")
        simplify(self, "r3")
        one_of("r3", self.r3, THREE_BODY)

    @property
    def length_scale(self) -> float:
        """Edge of the cube, fm."""
        return (self.n / self.density) ** (1 / 3)

    @property
    def diffusion(self) -> float | None:
        """hbar^2 / 2 m, MeV fm^2; None with explicit spins."""
        return None if self.spin_explicit else HBAR_SQUARED_OVER_M / 2

    @cached_property
    def box(self) -> Box:
        """The cube."""
        return Box.shaped("cubic", self.n / self.density, 3)

    @cached_property
    def pair(self) -> PeriodicGaussian:
        """C of two neutrons in a singlet, MeV."""
        return PeriodicGaussian(SINGLET.height, RANGE, self.length_scale)

    @cached_property
    def triple(self) -> PeriodicGaussian:
        """One factor t of the force of three neutrons, MeV^(1/2)."""
        height = three_body_factor(self.r3).height
        return PeriodicGaussian(height, self.r3, self.length_scale)

    def terms(self, ansatz: Ansatz, params: Params, x: Any) -> dict[str, Array]:
        """Kinetic, two- and three-body energy (), MeV, at x (n, 3) or `SpinPositions`.

        Uses the `ExchangeRatios` of the ansatz if it has them.
        """
        if self.spin_explicit:
            positions = x.positions
            two_body = self._force_on_spins(ansatz, params, x)
            ansatz, x = self._labeled(ansatz), sorted_by_spin(x)[0]
        else:
            positions = x
            two_body = self._force_on_positions(ansatz, params, x)
        kinetic = HBAR_SQUARED_OVER_M * kinetic_energy(ansatz, params, x)
        terms = {"kinetic": kinetic, "two_body": two_body}
        if self.three_body:
            terms["three_body"] = self.three_body_energy(positions)
        return terms

    def _force_on_positions(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """The two-body energy () at labeled positions."""
        ratios = exchange_ratios(ansatz, params, x, self.spins)
        return jnp.sum(self.exchange_elements(x) * (1 + ratios))

    def exchange_elements(self, x: Array) -> Array:
        """C / 2 (up, down), MeV, of labeled positions x (n, 3)."""
        i, j = self.spins.opposite_pairs
        return self.pair(x[i] - x[j]) / 2

    def _force_on_spins(
        self, ansatz: Ansatz, params: Params, x: SpinPositions
    ) -> Array:
        """The two-body energy (), sum_{i<j} C (1 - P) / 2, by exchanges of spins."""
        i, j = np.triu_indices(self.n, 1)
        ratios = label_ratios(ansatz, params, x, ("spins",))
        forces = self.pair(x.positions[i] - x.positions[j])
        return jnp.sum(forces * (1 - ratios)) / 2

    def _labeled(self, ansatz: Ansatz) -> Function:
        """Psi of positions, with the first spins up."""
        labels = self.spins.labels
        return Function(
            lambda params, x: ansatz.apply(params, SpinPositions(x, labels))
        )

    def three_body_energy(self, x: Array) -> Array:
        """The repulsion of three neutrons (), MeV, at x (n, 3)."""
        i, j = np.triu_indices(self.n, 1)
        return three_body_energy(self.triple(x[i] - x[j]), self.n)

    def initial_walkers(self, key: Array, n_walkers: int) -> Any:
        """Separated positions (w, n, 3), fm; explicit spins are shuffled."""
        positions = super().initial_walkers(key, n_walkers)
        if not self.spin_explicit:
            return positions
        keys = jax.random.split(jax.random.fold_in(key, 1), n_walkers)
        spins = jnp.asarray(self.spins.labels)
        shuffled = jax.vmap(lambda key: jax.random.permutation(key, spins))(keys)
        return SpinPositions(positions, shuffled)

    @cached_property
    def hartree_fock_terms(self) -> dict[str, float] | None:
        """Kinetic, two- and three-body energy of plane waves, MeV; None if open shells.

        With t_ab the transform of t at k_a - k_b, or 0 for different spins, the six
        permutations of three particles give

            E_3 = [n^3 t_0^2 - n sum_ab t_ab^2 - 2 n t_0 sum_ab t_ab
                   + 2 sum_abc t_ab t_bc] / 2 V^2.
        """
        n_up, n_down = self.spins.up, self.spins.down
        try:
            up, down = self.box.wave_vectors(n_up), self.box.wave_vectors(n_down)
        except ValueError:
            return None
        volume, n = self.box.volume, self.n
        k = np.concatenate([up, down])
        direct = n_up * n_down * self.pair.transform(np.zeros(3))
        crossed = np.sum(self.pair.transform(up[:, None] - down[None]))
        t = self.triple.transform(k[:, None] - k[None]) * self.spins.equal
        t_0 = self.triple.transform(np.zeros(3))
        triples = n**3 * t_0**2 - n * np.sum(t**2) - 2 * n * t_0 * np.sum(t)
        triples += 2 * np.sum(t @ t)
        terms = {
            "kinetic": HBAR_SQUARED_OVER_M * float(np.sum(k**2)) / 2,
            "two_body": float(direct + crossed) / (2 * volume),
        }
        if self.three_body:
            terms["three_body"] = float(triples) / (2 * volume**2)
        return terms

    def references(self) -> tuple[Reference, ...]:
        """Exact for two, and bounds: of plane waves where both shells are closed."""
        known = []
        if self.spins == Spins(1, 1):
            # k up to 9.1 / range, where exp(-k^2 range^2 / 4) is 1e-9
            largest = math.ceil(1.45 * self.length_scale / RANGE)
            if largest <= LARGEST:
                energy = energy_of_two(self.pair, HBAR_SQUARED_OVER_M, largest)
                known.append(Reference(energy, 1e-7, "exact", SOURCE))
        if self.spins == Spins(2, 2) and not self.three_body:
            known += four_neutrons(self.density)
        if (terms := self.hartree_fock_terms) is not None:
            source = "plane-wave Hartree-Fock of this cube"
            bound = Reference(sum(terms.values()), 0.0, "upper_bound", source)
            known.append(bound)
            if self.spins == Spins(7, 7):
                known += coupled_cluster(self.density, terms)
        return tuple(known)

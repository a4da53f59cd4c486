"""Particles in a harmonic trap, with or without a pair potential.

    H = sum_i (-nabla_i^2 / 2 + sum_a omega_a^2 x_ia^2 / 2) + sum_{i<j} V(|x_i - x_j|)

Units: hbar = mass = 1, so hartree and bohr for electrons. Quantum dots, trapped bosons
and Calogero's model are cases of this Hamiltonian.
"""

import dataclasses
import math
import operator
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from hamiltonians.forces.pair_potentials import Coulomb, HarmonicPairs, InverseSquare
from hamiltonians.references.dots import dot_references
from hamiltonians.references.two_in_a_trap import two_body_energy, two_body_levels
from nqs.checks import positive, require, settle, whole
from nqs.laplacian.kinetic import kinetic_energy
from nqs.space.oscillator import filled_levels, level_energy, lowest_energies
from nqs.space.spins import Spins, check_spins
from nqs.types import Ansatz, Hamiltonian, Params, Reference


@dataclasses.dataclass(frozen=True)
class HarmonicTrap(Hamiltonian):
    """Bosons, or fermions of two spins, in a harmonic trap.

    Attributes:
      n: particles.
      d: dimensions, 1 to 3.
      omega: frequency, hartree; one for all axes, or a tuple of d.
      interaction: pair potential V(r), hartree, of distances in bohr; None for free
        particles.
      spins: numbers of fermions of each spin, n in all; None for bosons. The references
        and the first walkers depend on them, the terms do not.

    Raises:
      ValueError: if n, d or omega is out of range, the spins do not add up to n, or the
        interaction has no ground state in this trap.
    """

    n: int
    d: int = 2
    omega: float | tuple[float, ...] = 1.0
    interaction: Callable[[Array], Array] | None = None
    spins: Spins | None = None

    energy_unit = "hartree"
    length_unit = "bohr"
    diffusion = 0.5

    def __post_init__(self):
        require(self, whole, "n")
        require(self, whole, "d", most=3)
        settle(self, omega=_checked_omega(self.omega, self.d))
        if self.spins is not None:
            check_spins(self.spins, self.n)
        _check_interaction(self)

    @property
    def omegas(self) -> tuple[float, ...]:
        """The d trap frequencies, hartree."""
        axes = self.omega if isinstance(self.omega, tuple) else (self.omega,) * self.d
        return tuple(float(omega) for omega in axes)

    @property
    def length_scale(self) -> float:
        """Oscillator length 1/sqrt(omega) of the geometric mean frequency, bohr."""
        return math.prod(self.omegas) ** (-1 / (2 * self.d))

    @property
    def degrees(self) -> dict[str, float] | None:
        """Degrees of the potentials; None if the interaction is not homogeneous."""
        if self.interaction is None:
            return {"trap": 2}
        degree = getattr(self.interaction, "degree", None)
        return None if degree is None else {"trap": 2, "interaction": degree}

    @property
    def extent(self) -> float:
        """Radius that contains nearly all particles, bohr."""
        return 4 * float(np.max(self._cloud))

    def terms(self, ansatz: Ansatz, params: Params, x: Array) -> dict[str, Array]:
        """Kinetic, trap and interaction energy (), hartree, at x (n, d), bohr."""
        stretch = jnp.asarray(self.omegas, x.dtype)[None, :] * x
        terms = {
            "kinetic": kinetic_energy(ansatz, params, x),
            "trap": jnp.sum(stretch**2) / 2,
        }
        if self.interaction is not None:
            i, j = np.triu_indices(self.n, 1)
            distances = jnp.linalg.norm(x[i] - x[j], axis=-1)  # (n (n - 1) / 2,)
            terms["interaction"] = jnp.sum(self.interaction(distances))
        return terms

    def derived(self, terms: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        """The virial ratio, 1 in an eigenstate, where the interaction has a degree k.

        2 <T> = 2 <V_trap> + k <V_int>, and terms with k < 0 are moved to the left:
        (2 <T> + <V_int>) / (2 <V_trap>) for electrons.
        """
        if self.degrees is None:
            return {}
        left, right = 2 * terms["kinetic"], 0.0
        for name, k in self.degrees.items():
            if k > 0:
                right = right + k * terms[name]
            else:
                left = left - k * terms[name]
        return {"virial_ratio": (operator.truediv, left, right)}

    def initial_walkers(self, key: Array, n_walkers: int) -> Array:
        """Gaussian clouds (w, n, d), bohr, about as wide as the ground state."""
        shape = (whole("n_walkers", n_walkers), self.n, self.d)
        positions = jax.random.normal(key, shape)
        return positions * jnp.asarray(self._cloud, positions.dtype)[None, None, :]

    @cached_property
    def _cloud(self) -> np.ndarray:
        """(d,) standard deviation of the positions, bohr.

        Free particles have <x_a^2> = <k_a + 1/2> / omega_a. Repulsion swells the cloud
        by the s that minimizes T / s^2 + V_trap s^2 + V_int(s), the last taken with all
        pairs at their root-mean-square distance.
        """
        levels = filled_levels(self.n, self.spins, self.omegas)
        free = np.sqrt((levels.mean(axis=0) + 0.5) / self.omegas)
        if self.interaction is None or self.n == 1:
            return free
        swelling = np.geomspace(1, 20, 200)
        with jax.ensure_compile_time_eval():  # it may be written in jax.numpy
            pair = self.interaction(swelling * np.sqrt(2 * np.sum(free**2)))
        trapped = level_energy(levels, self.omegas) / 2
        energy = trapped * (swelling**-2 + swelling**2)
        energy += self.n * (self.n - 1) / 2 * np.asarray(pair)
        return free * swelling[np.argmin(energy)]

    def references(self) -> tuple[Reference, ...]:
        """The exact energy if known; for larger dots, published estimates."""
        exact = _closed_form(self) or _two_body(self)
        if exact is not None:
            energy, source = exact
            return (Reference(energy, 0.0, "exact", source),)
        unpolarized = self.spins is not None and self.spins.up == self.spins.down
        if unpolarized and self.interaction == Coulomb() and _is_isotropic(self):
            return dot_references(self.n, self.d, self.omegas[0])
        return ()

    def spectrum(self, count: int) -> tuple[Reference, ...]:
        """Levels of free particles, and of two in an isotropic trap."""
        source, energies = "oscillator levels", []
        if self.n == 1 or self.interaction is None:
            energies = lowest_energies(count, self.n, self.spins, self.omegas)
        elif self.n == 2 and _is_isotropic(self):
            source, ells = "radial equation of two particles", range(2 * count)
            if self.spins is None or self.spins.n != 2 * self.spins.up:
                ells = ells[(self.spins is not None) :: 2]  # bosons even, fermions odd
            if self.d == 1:
                ells = [ell for ell in ells if ell < 2]
            omega = self.omegas[0]
            energies = two_body_levels(self.interaction, self.d, omega, ells, count)
        return tuple(Reference(energy, 0.0, "exact", source) for energy in energies)


def _closed_form(trap: HarmonicTrap) -> tuple[float, str] | None:
    """Energy and source where a formula gives it."""
    n, pairs = trap.n, trap.interaction
    if n == 1 or pairs is None or pairs == InverseSquare(1.0):
        levels = filled_levels(n, trap.spins, trap.omegas)
        return level_energy(levels, trap.omegas), "oscillator levels filled in order"
    if isinstance(pairs, HarmonicPairs):
        # The relative motion is that of free particles in a stiffer trap Omega, whose
        # ground state has its center of mass in the lowest level, open shell or not.
        # The true center of mass oscillates with omega.
        stiff = [math.sqrt(omega**2 + n * pairs.kappa) for omega in trap.omegas]
        energy = level_energy(filled_levels(n, trap.spins, stiff), stiff)
        return (
            energy + (sum(trap.omegas) - sum(stiff)) / 2,
            "closed form, N. F. Johnson and M. C. Payne, PRL 67, 1157 (1991)",
        )
    if isinstance(pairs, InverseSquare):
        # Particles cannot pass each other: the energy is that of any statistics.
        energy = trap.omegas[0] * n * (1 + pairs.exponent * (n - 1)) / 2
        return energy, "closed form, F. Calogero, J. Math. Phys. 12, 419 (1971)"
    return None


def _two_body(trap: HarmonicTrap) -> tuple[float, str] | None:
    """Energy and source for two particles in an isotropic trap."""
    if trap.n != 2 or trap.interaction is None or not _is_isotropic(trap):
        return None
    polarized = trap.spins in (Spins(0, 2), Spins(2, 0))
    ell = 1 if polarized else 0  # equal spins are odd in x_1 - x_2
    energy = two_body_energy(trap.interaction, trap.d, trap.omegas[0], ell)
    return None if energy is None else (energy, "radial equation of two particles")


def _is_isotropic(trap: HarmonicTrap) -> bool:
    return len(set(trap.omegas)) == 1


def _checked_omega(omega: Any, d: int) -> float | tuple[float, ...]:
    if not isinstance(omega, tuple):
        return positive("omega", omega)
    if len(omega) != d:
        raise ValueError(f"omega must be one number or d={d} of them, got {omega!r}")
    return tuple(positive("omega", value) for value in omega)


def _check_interaction(trap: HarmonicTrap) -> None:
    pairs = trap.interaction
    if pairs is not None and (isinstance(pairs, type) or not callable(pairs)):
        raise ValueError(
            "interaction must be a function of distance such as Coulomb(), "
            f"got {pairs!r}"
        )
    if isinstance(pairs, Coulomb) and trap.d == 1:
        raise ValueError(
            "d must be 2 or 3 for Coulomb, whose cusp is 1 / (d - 1), got 1"
        )
    if isinstance(pairs, InverseSquare) and trap.d != 1:
        raise ValueError(f"d must be 1 for InverseSquare, got {trap.d}")
    if isinstance(pairs, HarmonicPairs) and trap.n > 1:
        stiffness = min(trap.omegas) ** 2 + trap.n * pairs.kappa
        if stiffness <= 0:
            raise ValueError(
                "omega^2 + n kappa must be positive for HarmonicPairs, got "
                f"{stiffness:g} from kappa={pairs.kappa!r}"
            )

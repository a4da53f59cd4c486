"""Observables of particles in a periodic box, measured with frozen parameters.

Wave vectors are those that fit the box, grouped in shells of equal length.
"""

import dataclasses
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import whole
from nqs.observables.histograms import RadialBins, centers
from nqs.space.box import Box
from nqs.space.shells import lowest_shells
from nqs.space.spins import Spins, check_spins
from nqs.types import Ansatz, Params


@dataclasses.dataclass(frozen=True)
class PairsInBox(RadialBins):
    """Histogram of pair distances, up to the largest sphere that fits the cell.

    Attributes:
      box: the periodic cell.
      spins: of the particles.
      n_bins: equal bins from 0 to the radius of that sphere, `box.inradius`.

    Raises:
      ValueError: if n_bins is not positive.
    """

    box: Box
    spins: Spins
    n_bins: int = 50

    axes = ("separation r ({length})",)
    label = "pair distribution g(r)"

    @property
    def r_max(self) -> float:
        """Radius of the largest sphere."""
        return self.box.inradius

    def distances(self, x: Array) -> tuple[np.ndarray, np.ndarray, Array]:
        """Pairs i < j and their distances (pairs,) at x (n, d)."""
        check_positions(self.spins, self.box, x)
        i, j = np.triu_indices(len(x), 1)
        r = jnp.linalg.norm(jax.vmap(self.box.nearest_image)(x[i] - x[j]), axis=-1)
        return i, j, r

    def g(self, r: Array, norm: int, weights: Array | float = 1) -> Array:
        """V / norm times the density (k,) of pairs, both orders of each counted."""
        counts = self.per_shell(r, self.box.d, weights)
        return 2 * self.box.volume / norm * counts


@dataclasses.dataclass(frozen=True)
class PairDistribution(PairsInBox):
    """Pair distribution g(r) by spins.

    g_st(r) = V / (N_s N_t) <sum_{i in s, j in t, j != i} delta(r - x_i + x_j)> for
    spins s and t, averaged over directions: 1 for uncorrelated opposite spins, but
    1 - 1/N_s for equal ones, whose ordered pairs are N_s (N_s - 1). "equal spins" sums
    up-up and down-down pairs with V / (N_up^2 + N_down^2) in front, "all" sums all
    pairs with V / n^2.

    Attributes and errors are those of `PairsInBox`.
    """

    name = "pair_distribution"

    def __post_init__(self):
        check_spins(self.spins)
        if self.spins.n < 2:
            raise ValueError(f"spins must be at least two particles, got {self.spins}")
        super().__post_init__()

    @property
    def curves(self) -> tuple[str, ...]:
        """Names of the rows: those of the pairs that exist."""
        if min(self.spins.up, self.spins.down) == 0:
            return ("equal spins",)
        if self.spins == Spins(1, 1):
            return ("opposite spins",)
        return ("equal spins", "opposite spins", "all")

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values g (c, k), a row for each of the curves, for x (n, d)."""
        i, j, r = self.distances(x)
        equal = self.spins.equal[i, j]
        up, down = self.spins.up, self.spins.down
        rows = {
            "equal spins": (equal, up**2 + down**2),
            "opposite spins": (~equal, 2 * up * down),
            "all": (slice(None), len(x) ** 2),
        }
        found = (rows[name] for name in self.curves)
        return jnp.stack([self.g(r[pairs], norm) for pairs, norm in found])


@dataclasses.dataclass(frozen=True)
class OneBodyDensity:
    """Density along each lattice vector, over its mean: 1 for a homogeneous state.

    Attributes:
      box: the periodic cell.
      n_bins: equal bins along a lattice vector, positive.
    """

    box: Box
    n_bins: int = 20

    name = "one_body_density"
    axes = ("fraction of the lattice vector",)
    label = "density / mean density"

    def __post_init__(self):
        whole("n_bins", self.n_bins)

    @property
    def grid(self) -> np.ndarray:
        """Bin centers (k,)."""
        return centers(1.0, self.n_bins)

    @property
    def curves(self) -> tuple[str, ...]:
        """One for each lattice vector."""
        return tuple(f"along a{axis + 1}" for axis in range(self.box.d))

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values (d, k) for x (n, d)."""
        inverse = jnp.asarray(np.linalg.inv(self.box.vectors), x.dtype)
        fractions = jnp.mod(x @ inverse, 1.0)
        bins = jnp.minimum((self.n_bins * fractions).astype(int), self.n_bins - 1)
        there = bins[:, :, None] == jnp.arange(self.n_bins)[None, None, :]
        return self.n_bins * jnp.mean(there.astype(x.dtype), axis=0)


class WaveShells:
    """Averages over shells of wave vectors: the grid of a profile in k."""

    axes = ("k ({length}$^{{-1}}$)",)
    # wave vectors (m, d), and weights (m, k) that average over each shell
    _waves: Any  # a cached_property of each profile

    @property
    def grid(self) -> np.ndarray:
        """Lengths |k| of the shells (k,)."""
        vectors, average = self._waves
        return np.linalg.norm(vectors, axis=1) @ average


@dataclasses.dataclass(frozen=True)
class StructureFactor(WaveShells):
    """Static structure factor S(k), averaged over the wave vectors of each shell.

    S(k) = <|rho_k|^2> / n of the density rho_k = sum_i exp(i k . x_i), and where there
    are both spins also that of the spin density, rho_up - rho_down. Both are 1 for
    uncorrelated particles.

    Attributes:
      box: the periodic cell.
      spins: of the particles.
      n_shells: shells of the smallest |k| > 0, at least 1.
    """

    box: Box
    spins: Spins
    n_shells: int = 12

    name = "structure_factor"
    label = "structure factor S(k)"

    def __post_init__(self):
        whole("n_shells", self.n_shells)

    @property
    def curves(self) -> tuple[str, ...]:
        """Names of the rows."""
        both = min(self.spins.up, self.spins.down) > 0
        return ("charge", "spin") if both else ("charge",)

    @cached_property
    def _waves(self) -> tuple[np.ndarray, np.ndarray]:
        """One of k and -k, and the average over shells."""
        numbers, shell = waves_of_shells(self.box, self.n_shells + 1)
        zero = (0,) * self.box.d
        half = np.array([tuple(m) > zero for m in numbers.tolist()])
        return numbers[half] @ self.box.reciprocal, shell_average(shell[half] - 1)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values S (c, k), a row for each of the curves, for x (n, d)."""
        check_positions(self.spins, self.box, x)
        vectors, average = (jnp.asarray(table, x.dtype) for table in self._waves)
        phases = x @ vectors.T
        rows = np.stack([np.ones(len(x)), self.spins.signs])[: len(self.curves)]
        signs = jnp.asarray(rows, x.dtype)
        rho_cos, rho_sin = signs @ jnp.cos(phases), signs @ jnp.sin(phases)
        return (rho_cos**2 + rho_sin**2) @ average / len(x)


def waves_of_shells(
    box: Box, n_shells: int, twist: tuple[float, ...] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Integers (m, d) of the waves in the lowest shells, and their shell (m,)."""
    twists = box.checked_twist(twist)
    numbers, shell = lowest_shells(box.vectors, twists, n_shells=n_shells)
    return numbers[shell < n_shells], shell[shell < n_shells]


def shell_average(shell: np.ndarray) -> np.ndarray:
    """Weights (m, k) that average over the members of each shell."""
    member = shell[:, None] == np.arange(shell.max() + 1)
    return member / member.sum(axis=0)


def check_positions(spins: Spins, box: Box, x: Array) -> None:
    """Raise a ValueError unless x (n, d) has the particles and dimensions."""
    if x.shape != (spins.n, box.d):
        raise ValueError(f"x must have shape {(spins.n, box.d)}, got {x.shape}")

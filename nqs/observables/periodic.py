"""Observables of particles in a periodic box, measured with frozen parameters.

The first n_up particles have spin up, the other n_down spin down. Wave vectors are
those that fit the box, grouped in shells of equal length.
"""

import dataclasses
import math
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.observables.trap import _centers, _check_bins, _per_shell
from nqs.space.box import Box
from nqs.types import Ansatz, Params

SAME_SHELL = 1e-9  # relative difference of |k| within one shell


@dataclasses.dataclass(frozen=True)
class PairDistribution:
    """Pair distribution g(r) by spins, up to the largest sphere that fits the cell.

    g_st(r) = V / (N_s N_t) <sum_{i in s, j in t, j != i} delta(r - x_i + x_j)> for
    spins s and t, averaged over directions: 1 for uncorrelated opposite spins, but
    1 - 1/N_s for equal ones, whose ordered pairs are N_s (N_s - 1). "equal spins" sums
    up-up and down-down pairs with V / (N_up^2 + N_down^2) in front, "all" sums all
    pairs with V / n^2.

    Attributes:
      box: the periodic cell.
      n_up: particles of spin up, the first ones.
      n_down: particles of spin down.
      n_bins: equal bins from 0 to the radius of that sphere, `box.inradius`.

    Raises:
      ValueError: if there is no pair, or n_bins is not positive.
    """

    box: Box
    n_up: int
    n_down: int
    n_bins: int = 50

    axes = ("separation r ({length})",)
    label = "pair distribution g(r)"

    def __post_init__(self):
        _check_spins(self.n_up, self.n_down, 2)
        _check_bins("box.inradius", self.box.inradius, self.n_bins)

    @property
    def name(self) -> str:
        """The key in the results."""
        return "pair_distribution"

    @property
    def grid(self) -> np.ndarray:
        """Bin centers (k,)."""
        return _centers(self.box.inradius, self.n_bins)

    @property
    def curves(self) -> tuple[str, ...]:
        """What the rows are: those of the pairs that there are."""
        if min(self.n_up, self.n_down) == 0:
            return ("equal spins",)
        if self.n_up == self.n_down == 1:
            return ("opposite spins",)
        return ("equal spins", "opposite spins", "all")

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values g (c, k), a row for each of the curves, for x (n, d).

        Raises:
          ValueError: if x has other particles or dimensions.
        """
        _check_positions(self, x)
        i, j = np.triu_indices(len(x), 1)
        equal = (i < self.n_up) == (j < self.n_up)
        r = jnp.linalg.norm(jax.vmap(self.box.nearest_image)(x[i] - x[j]), axis=-1)
        squares = self.n_up**2 + self.n_down**2
        pairs = {
            "equal spins": (equal, squares),
            "opposite spins": (~equal, 2 * self.n_up * self.n_down),
            "all": (slice(None), len(x) ** 2),
        }

        def g(kind, squares):  # both orders of each pair
            counts = _per_shell(r[kind], self.box.inradius, self.n_bins, self.box.d)
            return 2 * self.box.volume / squares * counts

        return jnp.stack([g(*pairs[name]) for name in self.curves])


@dataclasses.dataclass(frozen=True)
class OneBodyDensity:
    """Density along each lattice vector, over its mean: 1 where nothing is pinned.

    Attributes:
      box: the periodic cell.
      n_bins: equal bins along a lattice vector.

    Raises:
      ValueError: if n_bins is not positive.
    """

    box: Box
    n_bins: int = 20

    axes = ("fraction of the lattice vector",)
    label = "density / mean density"

    def __post_init__(self):
        _check_positive("n_bins", self.n_bins)

    @property
    def name(self) -> str:
        """The key in the results."""
        return "one_body_density"

    @property
    def grid(self) -> np.ndarray:
        """Bin centers (k,)."""
        return _centers(1.0, self.n_bins)

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


@dataclasses.dataclass(frozen=True)
class StructureFactor:
    """Static structure factor S(k), averaged over the wave vectors of each shell.

    S(k) = <|rho_k|^2> / n of the density rho_k = sum_i exp(i k . x_i), and where there
    are both spins also that of the spin density, rho_up - rho_down. Both are 1 for
    uncorrelated particles.

    Attributes:
      box: the periodic cell.
      n_up: particles of spin up, the first ones.
      n_down: particles of spin down.
      n_shells: shells of the smallest |k| > 0.

    Raises:
      ValueError: if there are no particles or shells.
    """

    box: Box
    n_up: int
    n_down: int
    n_shells: int = 12

    axes = ("k ({length}$^{{-1}}$)",)
    label = "structure factor S(k)"

    def __post_init__(self):
        _check_spins(self.n_up, self.n_down, 1)
        _check_positive("n_shells", self.n_shells)

    @property
    def name(self) -> str:
        """The key in the results."""
        return "structure_factor"

    @property
    def grid(self) -> np.ndarray:
        """Lengths |k| of the shells (k,)."""
        vectors, average = self._waves
        return np.linalg.norm(vectors, axis=1) @ average

    @property
    def curves(self) -> tuple[str, ...]:
        """What the rows are."""
        return ("charge", "spin") if min(self.n_up, self.n_down) else ("charge",)

    @cached_property
    def _waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Wave vectors (m, d), one of k and -k, and the average over shells (m, k)."""
        numbers, shell = _shells(self.box, self.n_shells + 1, (0.0,) * self.box.d)
        zero = (0,) * self.box.d
        half = np.array([tuple(m) > zero for m in numbers.tolist()])
        return numbers[half] @ self.box.reciprocal, _average(shell[half] - 1)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values S (c, k), a row for each of the curves, for x (n, d).

        Raises:
          ValueError: if x has other particles or dimensions.
        """
        _check_positions(self, x)
        vectors, average = (jnp.asarray(table, x.dtype) for table in self._waves)
        phases = x @ vectors.T
        signs = np.ones((len(self.curves), len(x)))
        signs[1:, self.n_up :] = -1
        signs = jnp.asarray(signs, x.dtype)
        rho_cos, rho_sin = signs @ jnp.cos(phases), signs @ jnp.sin(phases)
        return (rho_cos**2 + rho_sin**2) @ average / len(x)


@dataclasses.dataclass(frozen=True)
class MomentumDistribution:
    """Occupation n(k) of the plane waves, averaged over spins and over each shell.

    A particle i is moved by a displacement s drawn uniformly in the cell,

        n(k) = <sum_i psi(..., x_i + s, ...) / psi(x) exp(-i k . s)> / (spins present),

    so that an orbital which both spins occupy, or the only one, counts 1. W. L.
    McMillan, Phys. Rev. 138, A442 (1965). The sum is over a few i, from one drawn at
    random on, times n over their number, since one psi for each would take longer than
    the local energy. They share s, which makes the sum no noisier and needs the
    exponentials once. An observable has no random key: i and s are drawn with a hash of
    the bits of x, which is independent of psi and of all that is smooth in x. A
    walker that did not move repeats them.

    Attributes:
      box: the periodic cell.
      n_up: particles of spin up, the first ones.
      n_down: particles of spin down.
      twist: that of psi; the wave vectors are sum_a (m_a + twist_a) b_a.
      n_shells: shells of the smallest |k|, 0 included. A twist leaves few vectors in
        each, often one.
      n_moved: how many of the particles are displaced, at most.

    Raises:
      ValueError: if there are no particles or shells, the twist is not d numbers, or
        none are displaced.
    """

    box: Box
    n_up: int
    n_down: int
    twist: tuple[float, ...] | None = None
    n_shells: int = 12
    n_moved: int = 4

    axes = ("k ({length}$^{{-1}}$)",)
    label = "momentum distribution n(k)"

    def __post_init__(self):
        _check_spins(self.n_up, self.n_down, 1)
        _check_positive("n_shells", self.n_shells)
        _check_positive("n_moved", self.n_moved)
        self.box.checked_twist(self.twist)

    @property
    def name(self) -> str:
        """The key in the results."""
        return "momentum_distribution"

    @property
    def grid(self) -> np.ndarray:
        """Lengths |k| of the shells (k,)."""
        vectors, average = self._waves
        return np.linalg.norm(vectors, axis=1) @ average

    @cached_property
    def _waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Wave vectors (m, d) and the average over shells (m, k)."""
        twists = self.box.checked_twist(self.twist)
        numbers, shell = _shells(self.box, self.n_shells, twists)
        return (numbers + np.asarray(twists)) @ self.box.reciprocal, _average(shell)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values n (k,), the real part where psi is complex, for x (n, d).

        Costs `n_moved` wave functions, one at a time.

        Raises:
          ValueError: if x has other particles or dimensions.
        """
        _check_positions(self, x)
        vectors, average = (jnp.asarray(table, x.dtype) for table in self._waves)
        key_s, key_i = jax.random.split(hashed_key(x))
        s = displacement(self.box, key_s, x.dtype)
        here = ansatz.apply(params, x)

        def ratio(i):  # real and imaginary part
            there = ansatz.apply(params, x.at[i].add(s))
            sign = there.sign * jnp.conj(here.sign)
            size = jnp.exp(there.logabs - here.logabs)
            return jnp.real(sign) * size, jnp.imag(sign) * size

        first = jax.random.randint(key_i, (), 0, len(x))
        moved = (first + jnp.arange(min(self.n_moved, len(x)))) % len(x)
        ratios = jax.lax.map(ratio, moved)
        real, imaginary = (len(x) * jnp.mean(part) for part in ratios)
        phases = vectors @ s
        occupations = real * jnp.cos(phases) + imaginary * jnp.sin(phases)
        return occupations @ average / ((self.n_up > 0) + (self.n_down > 0))


def displacement(box: Box, key: Array, dtype: Any) -> Array:
    """A vector (d,) uniform in the cell."""
    fractions = jax.random.uniform(key, (box.d,), dtype)
    return fractions @ jnp.asarray(box.vectors, dtype)


def hashed_key(x: Array) -> Array:
    """A random key from a hash of the bits of x (n, d).

    Positions that differ in a single bit give independent ones.
    """
    words = jax.lax.bitcast_convert_type(x, jnp.uint32).reshape(-1)
    key = jax.random.key(0)
    # odd, so that no change of one word is lost
    factors = jax.random.bits(key, (2, words.size), jnp.uint32) | jnp.uint32(1)
    for word in jnp.sum(factors * words[None, :], axis=1, dtype=jnp.uint32):
        key = jax.random.fold_in(key, word)
    return key


def _shells(
    box: Box, n_shells: int, twists: tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Integers (m, d) of the waves in the shells of smallest |k|, and their shell (m,).

    All waves within a cutoff are there: |m_a + twist_a| = |k . a_a| / 2 pi is at most
    |a_a| / 2 pi times it.
    """
    cutoff = 2 * math.pi * (n_shells / box.volume) ** (1 / box.d)
    while True:
        reach = cutoff * np.linalg.norm(box.vectors, axis=1) / (2 * math.pi)
        limits = np.ceil(reach + np.abs(twists)).astype(int)
        numbers = np.indices(2 * limits + 1).reshape(box.d, -1).T - limits
        vectors = (numbers + np.asarray(twists)) @ box.reciprocal
        lengths = np.linalg.norm(vectors, axis=1)
        order = np.argsort(lengths, kind="stable")
        order = order[lengths[order] <= cutoff]
        new_shell = np.diff(lengths[order], prepend=-cutoff) > SAME_SHELL * cutoff
        shell = np.cumsum(new_shell) - 1
        if len(order) and shell[-1] >= n_shells:  # that one may go on beyond the cutoff
            whole = shell < n_shells
            return numbers[order[whole]], shell[whole]
        cutoff *= 1.3


def _average(shell: np.ndarray) -> np.ndarray:
    """Weights (m, k) that average over the members of each shell."""
    member = shell[:, None] == np.arange(shell.max() + 1)
    return member / member.sum(axis=0)


def _check_spins(n_up: int, n_down: int, least: int) -> None:
    for name, n in (("n_up", n_up), ("n_down", n_down)):
        if not (isinstance(n, int) and n >= 0):
            raise ValueError(f"{name} must be a number of particles >= 0, got {n!r}")
    if n_up + n_down < least:
        raise ValueError(
            f"n_up + n_down must be at least {least}, got n_up={n_up}, n_down={n_down}"
        )


def _check_positive(name: str, value: int) -> None:
    if not (isinstance(value, int) and value >= 1):
        raise ValueError(f"{name} must be a positive integer, got {value!r}")


def _check_positions(
    observable: PairDistribution | StructureFactor | MomentumDistribution, x: Array
) -> None:
    shape = (observable.n_up + observable.n_down, observable.box.d)
    if x.shape != shape:
        raise ValueError(
            f"n_up={observable.n_up}, n_down={observable.n_down} in d={shape[1]} "
            f"dimensions do not fit positions {x.shape}"
        )

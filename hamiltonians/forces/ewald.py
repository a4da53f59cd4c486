"""Coulomb energy of charges in a periodic box with a neutralizing background.

Ewald's split of 1/r at a length 1/alpha: the short part is summed over images R, the
long part over waves G, and both converge like exp(-s^2). In d = 3 dimensions of volume
V the potential of a unit charge, its images and its background is

    psi(r) = sum_R erfc(alpha |r + R|) / |r + R| + sum_{G != 0} v(G) cos(G . r) - c,
    v(G) = (4 pi / V) exp(-G^2 / 4 alpha^2) / G^2,    c = pi / (alpha^2 V)

(L. M. Fraser et al., Phys. Rev. B 53, 1814 (1996)); in a plane of area V

    v(G) = (2 pi / V) erfc(G / 2 alpha) / G,          c = 2 sqrt(pi) / (alpha V)

(D. E. Parry, Surf. Sci. 49, 433 (1975)). The Madelung constant xi is the potential of a
charge's own images, psi without the 1/r of R = 0: n charges have the energy

    sum_{i<j} psi(r_i - r_j) + n xi / 2.
"""

import dataclasses
import itertools
import math
from functools import cached_property

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import erfc
from scipy import special

from nqs.checks import positive, require, whole
from nqs.space.box import Box, reduced


@dataclasses.dataclass(frozen=True)
class Ewald:
    """Unit charges of equal sign in a box of 2 or 3 dimensions.

    Attributes:
      box: the periodic cell.
      splitting: alpha, 1/length, on which the energy does not depend; None for one by
        which both sums are fast.
      accuracy: exp(-s^2) at which both sums end, images at s/alpha, waves at 2 s alpha.

    Raises:
      ValueError: if the box is a line, the splitting is not positive or the accuracy is
        not within 0 and 1.
    """

    box: Box
    splitting: float | None = None
    accuracy: float = 1e-11

    def __post_init__(self):
        whole("box.d", self.box.d, 2, 3)
        if self.splitting is not None:
            require(self, positive, "splitting")
        if not 0 < self.accuracy < 1:
            raise ValueError(f"accuracy must be within 0 and 1, got {self.accuracy!r}")

    @cached_property
    def alpha(self) -> float:
        """The splitting, 1/length.

        By default images end at L / sqrt(2), L^d the volume: in a cube these are the
        nearest image and at most six more.
        """
        if self.splitting is not None:
            return self.splitting
        return self._reach * math.sqrt(2) / self.box.volume ** (1 / self.box.d)

    @property
    def _reach(self) -> float:
        """The s of the cutoffs."""
        return math.sqrt(-math.log(self.accuracy))

    @cached_property
    def _cell(self) -> Box:
        """The same lattice by its shortest vectors, for which sums are shortest."""
        return Box(tuple(map(tuple, reduced(self.box.vectors).tolist())))

    @cached_property
    def images(self) -> np.ndarray:
        """Lattice vectors (m, d), zero first, that can bring a pair within the cutoff.

        Of a pair whose difference is within the cell of shortest vectors.
        """
        cutoff = self._reach / self.alpha
        basis = self._cell.vectors
        diagonal = np.sum(np.linalg.norm(basis, axis=1))
        vectors = _lattice(basis, cutoff + diagonal / 2)
        near = _distance_to_cell(vectors, basis) < cutoff * (1 - 1e-9)
        near[0] = True
        return vectors[near]

    @cached_property
    def _columns(self) -> np.ndarray:
        """Integers (k, d - 1) of the waves along all axes but the last.

        One of each pair c, -c is enough, as |S(G)| = |S(-G)|; zero comes first.
        """
        tops = self._tops[:-1]
        ranges = (range(-top, top + 1) for top in tops)
        half = [c for c in itertools.product(*ranges) if c >= (0,) * len(tops)]
        weights = np.stack(self._weigh(np.array(half)))
        needed = np.any(weights > 0, axis=(0, 2))
        needed[0] = True
        return np.array(half)[needed]

    @cached_property
    def _tops(self) -> tuple[int, ...]:
        """Largest integer of a wave within the cutoff, for each axis."""
        cutoff = 2 * self._reach * self.alpha
        lengths = np.linalg.norm(self._cell.vectors, axis=1)
        return tuple(int(top) for top in cutoff * lengths / (2 * math.pi))

    def _weigh(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """v(G) (k, top + 1) of the waves (c, m) and (c, -m), each pair G, -G once."""
        m = np.arange(self._tops[-1] + 1)
        across = columns @ self._cell.reciprocal[:-1]  # (k, d)
        along = m[:, None] * self._cell.reciprocal[-1]  # (top + 1, d)
        plus, minus = (
            self._long_range(np.linalg.norm(across[:, None] + sign * along, axis=-1))
            for sign in (1, -1)
        )
        minus[:, 0] = 0  # counted in plus
        minus[np.all(columns == 0, axis=1)] = 0  # -G of plus
        return plus, minus

    def _long_range(self, wave: np.ndarray) -> np.ndarray:
        """v(G) at |G|, zero for G = 0 and beyond the cutoff."""
        inside = (wave > 0) & (wave <= 2 * self._reach * self.alpha)
        g = np.where(inside, wave, 1.0)
        if self.box.d == 3:
            v = 4 * math.pi * np.exp(-((g / (2 * self.alpha)) ** 2)) / g**2
        else:
            v = 2 * math.pi * special.erfc(g / (2 * self.alpha)) / g
        return np.where(inside, v / self.box.volume, 0.0)

    @cached_property
    def _weights(self) -> tuple[np.ndarray, np.ndarray]:
        return self._weigh(self._columns)

    @cached_property
    def _background(self) -> float:
        """The constant c of psi, from the background of the short part."""
        if self.box.d == 3:
            return math.pi / (self.alpha**2 * self.box.volume)
        return 2 * math.sqrt(math.pi) / (self.alpha * self.box.volume)

    @cached_property
    def _own_images(self) -> float:
        """The short part of xi, less the long part of the charge itself."""
        images = _lattice(self._cell.vectors, self._reach / self.alpha)[1:]
        distances = np.linalg.norm(images, axis=1)
        short = np.sum(special.erfc(self.alpha * distances) / distances)
        return float(short - 2 * self.alpha / math.sqrt(math.pi))

    @cached_property
    def madelung(self) -> float:
        """Potential xi of a charge's own images and background, 1/length."""
        waves = 2 * sum(float(np.sum(weights)) for weights in self._weights)
        return self._own_images - self._background + waves

    def energy(self, x: Array) -> Array:
        """Coulomb energy () of unit charges at x (n, d), 1/length."""
        n = x.shape[0]
        # the waves of n xi / 2 are those of i = j in |S|^2
        constant = n * self._own_images / 2 - n**2 * self._background / 2
        return self._short(x) + self._long(x) + jnp.asarray(constant, x.dtype)

    def _short(self, x: Array) -> Array:
        """Sum over pairs and images of erfc(alpha r) / r."""
        i, j = np.triu_indices(x.shape[0], 1)
        basis = self._cell.vectors
        inverse = jnp.asarray(np.linalg.inv(basis), x.dtype)
        r = x[i] - x[j]  # (pairs, d)
        r = r - jnp.round(r @ inverse) @ jnp.asarray(basis, x.dtype)
        # one axis at a time, 1.5 times faster than a sum over the last axis
        images = jnp.asarray(self.images, x.dtype)[None, :, :]
        squares = (r[:, None, 0] + images[:, :, 0]) ** 2  # (pairs, images)
        for axis in range(1, self.box.d):
            squares = squares + (r[:, None, axis] + images[:, :, axis]) ** 2
        distances = jnp.sqrt(squares)
        potential = erfc(jnp.asarray(self.alpha, x.dtype) * distances) / distances
        return jnp.sum(potential)

    def _long(self, x: Array) -> Array:
        """Sum over half of the waves of v(G) |S(G)|^2, S(G) = sum_i exp(i G . x_i).

        A wave is a product over axes, so that S(G) is a matrix product over particles.
        """
        fractions = x @ jnp.asarray(np.linalg.inv(self._cell.vectors), x.dtype)
        fractions = fractions - jnp.round(fractions)  # multiples keep more digits so
        cos, sin = _multiples(2 * math.pi * fractions, max(self._tops))
        column = _product(cos, sin, self._columns)  # (n, k) twice
        top = self._tops[-1] + 1
        last = (cos[:, -1, :top], sin[:, -1, :top])
        cc, cs, sc, ss = (a.T @ b for a in column for b in last)  # (k, top)
        plus, minus = (jnp.asarray(w, x.dtype) for w in self._weights)
        energy = plus * ((cc - ss) ** 2 + (sc + cs) ** 2)
        energy = energy + minus * ((cc + ss) ** 2 + (sc - cs) ** 2)
        return jnp.sum(energy)


def _multiples(phases: Array, top: int) -> tuple[Array, Array]:
    """Cos and sin (..., top + 1) of 0 to top times the phases (...), by doubling."""
    c, s = jnp.cos(phases)[..., None], jnp.sin(phases)[..., None]
    cos, sin = jnp.ones_like(c), jnp.zeros_like(s)
    while cos.shape[-1] <= top:  # c and s are those of the next multiple
        cos, sin = (
            jnp.concatenate([cos, cos * c - sin * s], axis=-1),
            jnp.concatenate([sin, sin * c + cos * s], axis=-1),
        )
        c, s = c * c - s * s, 2 * c * s
    return cos[..., : top + 1], sin[..., : top + 1]


def _product(cos: Array, sin: Array, columns: np.ndarray) -> tuple[Array, Array]:
    """Cos and sin (n, k) of the waves with integers (k, axes) along the first axes."""
    parts = []
    for axis, numbers in enumerate(columns.T):
        sign = jnp.asarray(np.sign(numbers), cos.dtype)[None, :]
        m = np.abs(numbers)
        parts.append((cos[:, axis, m], sign * sin[:, axis, m]))
    (c, s), *others = parts
    for c_axis, s_axis in others:
        c, s = c * c_axis - s * s_axis, s * c_axis + c * s_axis
    return c, s


def _lattice(basis: np.ndarray, cutoff: float) -> np.ndarray:
    """Lattice vectors (m, d) no longer than the cutoff, by length."""
    reach = (cutoff * np.linalg.norm(np.linalg.inv(basis), axis=0)).astype(int)
    grid = itertools.product(*(range(-m, m + 1) for m in reach))
    vectors = np.array(list(grid)) @ basis
    lengths = np.linalg.norm(vectors, axis=1)
    order = np.argsort(lengths, kind="stable")
    return vectors[order[lengths[order] <= cutoff]]


def _distance_to_cell(points: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Distances (m,) from the cell of the basis about the origin.

    The fractions of the nearest point, within -1/2 and 1/2, are improved one by one.
    """
    fractions = np.zeros_like(points)
    for _ in range(100):
        for axis, vector in enumerate(basis):
            rest = points - fractions @ basis
            step = rest @ vector / (vector @ vector)
            fractions[:, axis] = np.clip(fractions[:, axis] + step, -0.5, 0.5)
    return np.linalg.norm(points - fractions @ basis, axis=1)

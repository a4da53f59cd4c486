"""A periodic box, as a value.

Rows a_1 ... a_d of its cell are lattice vectors, rows b_1 ... b_d of `reciprocal` those
of the reciprocal lattice, a_i . b_j = 2 pi delta_ij. The plane waves that fit have the
wave vectors sum_a (m_a + twist_a) b_a with integers m_a: psi gains the factor
exp(2 pi i twist_a) when a particle moves by a_a.
"""

import dataclasses
import itertools
import math
from functools import cached_property
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import finite, positive, whole
from nqs.space.shells import lowest_shells

# Cells by name; rows are lattice vectors, whose length does not matter.
SHAPES: dict[int, dict[str, tuple[tuple[float, ...], ...]]] = {
    1: {"line": ((1.0,),)},
    2: {
        "square": ((1.0, 0.0), (0.0, 1.0)),
        "triangular": ((1.0, 0.0), (0.5, math.sqrt(3) / 2)),
    },
    3: {
        "cubic": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        "bcc": ((-0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0.5, 0.5, -0.5)),
        "fcc": ((0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)),
    },
}
CLOSEST = 0.3  # of the radius that each has: the least distance of `spread_out`


@dataclasses.dataclass(frozen=True)
class Box:
    """A periodic cell in 1, 2 or 3 dimensions.

    Attributes:
      cell: d lattice vectors of d numbers, in length units.

    Raises:
      ValueError: if they are not finite or span no volume.
    """

    cell: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        if not _is_square(self.cell):
            raise ValueError(
                "cell must be d lattice vectors of d numbers, d = 1, 2 or 3, got "
                f"{self.cell!r}"
            )
        for number in itertools.chain(*self.cell):
            finite("cell", number)
        size = float(np.prod(np.linalg.norm(self.vectors, axis=1)))
        if not self.volume > 1e-6 * size:
            raise ValueError(f"cell must span a volume, got {self.cell!r}")

    @classmethod
    def shaped(
        cls, shape: str | tuple[tuple[float, ...], ...], volume: float, d: int
    ) -> Self:
        """A box of a volume, from the name of its shape or lattice vectors to scale.

        Raises:
          ValueError: for an unknown name, lattice vectors that are not d, or a volume
            that is not positive.
        """
        known = SHAPES.get(d, {})
        if isinstance(shape, str) and shape not in known:
            raise ValueError(
                f"cell must be d={d} lattice vectors or one of {', '.join(known)}, "
                f"got {shape!r}"
            )
        positive("volume", volume)
        unit = cls(known[shape] if isinstance(shape, str) else shape)
        if unit.d != d:
            raise ValueError(f"cell must be d={d} lattice vectors, got {shape!r}")
        scaled = unit.vectors * (volume / unit.volume) ** (1 / d)
        return cls(tuple(tuple(row) for row in scaled.tolist()))

    @property
    def d(self) -> int:
        """Dimensions."""
        return len(self.cell)

    @cached_property
    def vectors(self) -> np.ndarray:
        """Lattice vectors, rows of (d, d)."""
        return np.asarray(self.cell, float)

    @cached_property
    def volume(self) -> float:
        """Volume of the cell, an area in two dimensions."""
        return float(abs(np.linalg.det(self.vectors)))

    @cached_property
    def reciprocal(self) -> np.ndarray:
        """Reciprocal lattice vectors, rows of (d, d), a_i . b_j = 2 pi delta_ij."""
        return 2 * math.pi * np.linalg.inv(self.vectors).T

    @cached_property
    def inradius(self) -> float:
        """Radius of the largest sphere in which the nearest image is the only one."""
        return float(np.min(np.linalg.norm(self._neighbors[1:], axis=1))) / 2

    @cached_property
    def shortest(self) -> np.ndarray:
        """Shortest lattice vectors, rows of (d, d)."""
        return reduced(self.vectors)

    @cached_property
    def _neighbors(self) -> np.ndarray:
        """Lattice vectors (k, d), zero first, that can lead to the nearest image.

        Both r, in the cell of reduced vectors, and its nearest image are no longer than
        half of the diagonal, so that no R between them is longer than the diagonal.
        """
        basis = self.shortest
        diagonals = np.array([*itertools.product((-1, 1), repeat=self.d)]) @ basis
        longest = np.max(np.linalg.norm(diagonals, axis=1)) * (1 + 1e-9)
        reach = np.ceil(longest * np.linalg.norm(np.linalg.inv(basis), axis=0))
        grid = itertools.product(*(range(-m, m + 1) for m in reach.astype(int)))
        vectors = np.array(sorted(grid, key=norm)) @ basis
        return vectors[np.linalg.norm(vectors, axis=1) <= longest]

    def wrap(self, x: Array) -> Array:
        """Positions (..., d) moved by lattice vectors into the cell."""
        inverse = jnp.asarray(np.linalg.inv(self.vectors), x.dtype)
        vectors = jnp.asarray(self.vectors, x.dtype)
        return x - jnp.floor(x @ inverse) @ vectors

    def nearest_image(self, r: Array) -> Array:
        """Differences (..., d) moved by lattice vectors to their shortest image."""
        basis = self.shortest
        inverse = jnp.asarray(np.linalg.inv(basis), r.dtype)
        r = r - jnp.round(r @ inverse) @ jnp.asarray(basis, r.dtype)
        if _is_diagonal(basis):
            return r
        shifts = jnp.asarray(self._neighbors, r.dtype)
        images = r[..., None, :] + shifts.reshape(*(1,) * (r.ndim - 1), -1, self.d)
        nearest = jnp.argmin(jnp.sum(images * images, axis=-1), axis=-1)
        return jnp.take_along_axis(images, nearest[..., None, None], axis=-2)[..., 0, :]

    def wave_numbers(
        self, n: int, twist: tuple[float, ...] | None = None
    ) -> np.ndarray:
        """Integers m (n, d) of the n plane waves of lowest |k|, a closed shell.

        Raises:
          ValueError: if the shell is open, or the twist is not d numbers.
        """
        twists = self.checked_twist(twist)
        if n == 0:
            return np.zeros((0, self.d), int)
        numbers, shell = lowest_shells(self.vectors, twists, n_waves=n)
        closed = [0, *np.cumsum(np.bincount(shell)).tolist()]
        if n not in closed:
            below = max(k for k in closed if k < n)
            above = min(k for k in closed if k > n)
            raise ValueError(
                f"{n} particles of one spin are an open shell at twist {twists}; the "
                f"nearest closed shells are {below} and {above}"
            )
        return numbers[:n]

    def closed_shell(self, n: int) -> int:
        """The smallest closed shell of n or more plane waves."""
        if n == 0:
            return 0
        _, shell = lowest_shells(self.vectors, (0.0,) * self.d, n_waves=n)
        return min(k for k in np.cumsum(np.bincount(shell)).tolist() if k >= n)

    def wave_vectors(
        self, n: int, twist: tuple[float, ...] | None = None
    ) -> np.ndarray:
        """Wave vectors (n, d) of the closed shell of `wave_numbers`."""
        twists = np.asarray(self.checked_twist(twist))
        return (self.wave_numbers(n, twist) + twists) @ self.reciprocal

    def checked_twist(self, twist: tuple[float, ...] | None) -> tuple[float, ...]:
        """The twist as d numbers, zeros for None.

        Raises:
          ValueError: if it is not d finite numbers.
        """
        if twist is None:
            return (0.0,) * self.d
        if not (isinstance(twist, tuple) and len(twist) == self.d):
            raise ValueError(
                f"twist must be d={self.d} numbers, fractions of the reciprocal "
                f"lattice vectors, got {twist!r}"
            )
        return tuple(float(finite("twist", t)) for t in twist)


def _is_square(cell: Any) -> bool:
    """Whether it is a tuple of 1 to 3 tuples of as many numbers."""
    rows = cell if isinstance(cell, tuple) else ()
    square = all(isinstance(row, tuple) and len(row) == len(rows) for row in rows)
    return square and len(rows) in (1, 2, 3)


def spread_out(box: Box, key: Array, n_walkers: int, n: int) -> Array:
    """Uniform positions (w, n, d) in the cell, no two particles close.

    Each particle is uniform in its own block of a grid with a random origin; the blocks
    are chosen at random. Walls between them keep particles apart by `CLOSEST` times the
    radius of the ball that each has.
    """
    n_walkers = whole("n_walkers", n_walkers)
    ball = math.pi ** (box.d / 2) / math.gamma(box.d / 2 + 1)
    closest = CLOSEST * (box.volume / (n * ball)) ** (1 / box.d)
    basis = reduced(box.vectors)
    blocks, room = _blocks(basis, n, closest)
    grid = np.stack(np.unravel_index(np.arange(np.prod(blocks)), blocks), axis=-1)
    key_choice, key_inside, key_origin = jax.random.split(key, 3)
    choices = jax.vmap(lambda key: jax.random.permutation(key, len(grid)))(
        jax.random.split(key_choice, n_walkers)
    )
    inside = jax.random.uniform(key_inside, (n_walkers, n, box.d))
    origin = jax.random.uniform(key_origin, (n_walkers, 1, box.d))
    dtype = inside.dtype
    corners = jnp.asarray(grid / blocks, dtype)[choices[:, :n]]
    fractions = origin + corners + inside * jnp.asarray(room, dtype)[None, None, :]
    return box.wrap(fractions @ jnp.asarray(basis, dtype))


def _blocks(basis: np.ndarray, n: int, closest: float) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of blocks (d,) along the axes, and the room between walls, fractions."""
    thickness = 1 / np.linalg.norm(np.linalg.inv(basis), axis=0)  # between faces
    blocks = np.ones(len(basis), int)
    while np.prod(blocks) < n:
        blocks[np.argmax(thickness / (blocks + 1))] += 1
    walls = np.where(blocks > 1, closest / thickness, 0.0)
    return blocks, 1 / blocks - walls


def norm(v) -> float:
    """Length of a vector of numbers."""
    return math.sqrt(sum(float(x) ** 2 for x in v))


def reduced(vectors: np.ndarray) -> np.ndarray:
    """Short vectors (d, d) of the same lattice, shortest first (Minkowski, d <= 3).

    Each is made shorter by sums of the others until none can be.
    """
    basis = np.array(sorted(vectors.tolist(), key=norm))
    d = len(basis)
    while True:
        for i, m in itertools.product(
            reversed(range(d)), itertools.product((-1, 0, 1), repeat=d)
        ):
            step = np.array(m)
            step[i] = 0
            shorter = basis[i] + step @ basis
            if norm(shorter) < norm(basis[i]) * (1 - 1e-12):
                basis[i] = shorter
                break
        else:
            return np.array(sorted(basis.tolist(), key=norm))


def _is_diagonal(basis: np.ndarray) -> bool:
    """Whether the vectors are orthogonal, so that rounding finds the nearest image."""
    gram = basis @ basis.T
    return bool(np.all(np.abs(gram - np.diag(np.diag(gram))) < 1e-12 * np.max(gram)))

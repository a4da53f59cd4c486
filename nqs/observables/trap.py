"""Observables of particles, measured with frozen parameters.

An observable is a function of one configuration, `(ansatz, params, x) -> value`, whose
average over |psi|^2 is wanted: a scalar (), or a profile on a `grid`.
"""

import dataclasses
import math
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.types import Ansatz, Configuration, Params

BALL = {1: 2.0, 2: math.pi, 3: 4 * math.pi / 3}  # volume at radius 1, by dimensions


class Observable(Protocol):
    """A quantity averaged during evaluation.

    For its figure a profile may say more, as plain attributes: `axes`, the texts along
    the axes of its grid, and `label`, what its values are, where "{length}" stands for
    the length unit and "{d}" for the dimensions; `curves` names the rows of a (c, k).
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def grid(self) -> np.ndarray | None:
        """Where a profile is given; None for a scalar.

        (k,) for one curve (k,) or several (c, k); (a, b, 2) for an image (a, b).
        """
        ...

    def __call__(self, ansatz: Ansatz, params: Params, x: Configuration) -> Array:
        """Value () or profile in one configuration."""
        ...


@dataclasses.dataclass(frozen=True)
class MeanSquareRadius:
    """<r^2> of a particle, (1/n) sum_i |x_i|^2, in squared length units."""

    @property
    def name(self) -> str:
        """The key in the results."""
        return "r_squared"

    @property
    def grid(self) -> None:
        """A scalar."""
        return None

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Mean squared distance () from the origin of x (n, d)."""
        return jnp.mean(jnp.sum(x * x, axis=-1))


@dataclasses.dataclass(frozen=True)
class RadialDensity:
    """One-body density averaged over directions, rho(r), with integral n.

    In one dimension r is |x| and the density is that of either side.

    Attributes:
      r_max: end of the last bin, in length units.
      n_bins: equal bins from 0 to r_max.

    Raises:
      ValueError: if either is not positive.
    """

    r_max: float
    n_bins: int = 50

    axes = ("r ({length})",)
    label = "one-body density ({length}$^{{-{d}}}$)"

    def __post_init__(self):
        _check_bins("r_max", self.r_max, self.n_bins)

    @property
    def name(self) -> str:
        """The key in the results."""
        return "density"

    @property
    def grid(self) -> np.ndarray:
        """Bin centers (k,)."""
        return _centers(self.r_max, self.n_bins)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Particles per volume (k,) in shells about the origin, for x (n, d)."""
        r = jnp.sqrt(jnp.sum(x * x, axis=-1))
        return _per_shell(r, self.r_max, self.n_bins, x.shape[-1])


@dataclasses.dataclass(frozen=True)
class Density:
    """One-body density in the plane of the first two axes, with integral n.

    In three dimensions it is integrated over z, in one it is that on the line.

    Attributes:
      extent: the window reaches from -extent to extent along each axis, length units.
      d: dimensions, 1 to 3.
      n_bins: equal bins along each axis.

    Raises:
      ValueError: if extent or n_bins is not positive, or d is not 1, 2 or 3.
    """

    extent: float
    d: int = 2
    n_bins: int = 40

    axes = ("x ({length})", "y ({length})")

    def __post_init__(self):
        _check_bins("extent", self.extent, self.n_bins)
        if self.d not in (1, 2, 3):
            raise ValueError(f"d must be 1, 2 or 3 dimensions, got {self.d!r}")

    @property
    def name(self) -> str:
        """The key in the results."""
        return "density_map"

    @property
    def label(self) -> str:
        """What the colors, or the height of the curve, are."""
        what = "density integrated over z" if self.d == 3 else "one-body density"
        return f"{what} ({{length}}$^{{{{-{min(self.d, 2)}}}}}$)"

    @property
    def grid(self) -> np.ndarray:
        """Bin centers: (k,) on a line, else (k, k, 2), the point of column x, row y."""
        line = _centers(2 * self.extent, self.n_bins) - self.extent
        if self.d == 1:
            return line
        return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Particles per length (k,) or area (k, k) in the bins, for x (n, d).

        Raises:
          ValueError: if x has other dimensions.
        """
        if x.shape[-1] != self.d:
            raise ValueError(f"d={self.d} does not fit positions {x.shape}")
        axes, k = min(self.d, 2), self.n_bins
        width = 2 * self.extent / k
        bins = jnp.floor((x[:, :axes] + self.extent) / width)
        inside = jnp.all((bins >= 0) & (bins < k), axis=-1)
        strides = jnp.asarray([k, 1][-axes:], x.dtype)
        bins = jnp.sum(bins * strides[None, :], axis=-1)
        counts = _histogram(bins, inside, k**axes)
        return counts.reshape((k,) * axes) / width**axes


@dataclasses.dataclass(frozen=True)
class PairCorrelation:
    """Pairs per volume at a separation r, averaged over directions, by their spins.

    rho(r) = <sum_{i<j} delta(|x_i - x_j| - r)> / (area of the sphere of radius r). Its
    integral over the volume is the number of pairs: n_up (n_up - 1) / 2 + n_down
    (n_down - 1) / 2 of equal spin, n_up n_down of opposite spin, n (n - 1) / 2 of
    bosons. In one dimension r is |x_i - x_j|, either side counted.

    Attributes:
      r_max: end of the last bin, in length units.
      n_up: the first n_up particles have spin up; None for bosons.
      n_bins: equal bins from 0 to r_max.

    Raises:
      ValueError: if r_max or n_bins is not positive, or n_up is negative.
    """

    r_max: float
    n_up: int | None = None
    n_bins: int = 50

    axes = ("separation r ({length})",)
    label = "pairs per volume ({length}$^{{-{d}}}$)"

    def __post_init__(self):
        _check_bins("r_max", self.r_max, self.n_bins)
        _check_n_up(self.n_up, optional=True)

    @property
    def name(self) -> str:
        """The key in the results."""
        return "pair_correlation"

    @property
    def grid(self) -> np.ndarray:
        """Bin centers (k,)."""
        return _centers(self.r_max, self.n_bins)

    @property
    def curves(self) -> tuple[str, ...]:
        """What the rows are."""
        return () if self.n_up is None else ("equal spins", "opposite spins")

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """(k,) for bosons, else (2, k): equal and opposite spins, for x (n, d).

        Raises:
          ValueError: if n_up is more than n.
        """
        n, d = x.shape
        i, j = np.triu_indices(n, 1)
        kinds = [slice(None)]
        if self.n_up is not None:
            _check_not_above(self.n_up, n)
            equal = (i < self.n_up) == (j < self.n_up)
            kinds = [equal, ~equal]
        rows = [
            _per_shell(
                jnp.linalg.norm(x[i[kind]] - x[j[kind]], axis=-1),
                self.r_max,
                self.n_bins,
                d,
            )
            for kind in kinds
        ]
        return rows[0] if self.n_up is None else jnp.stack(rows)


@dataclasses.dataclass(frozen=True)
class SpinSquared:
    """<S^2> of fermions with labeled spins, in units of hbar^2: S (S + 1).

    S^2 = S_z (S_z + 1) + n_down - sum_{i up, j down} P_ij, where P_ij exchanges the
    positions of i and j: an exchange of spins alone, times that of all coordinates,
    under which the full wave function is odd. psi is odd within each spin, so every j
    contributes alike, and one of them stands for all:

        S_z (S_z + 1) + n_down (1 - sum_{i up} psi(P_i1 x) / psi(x)).

    For n_down > n_up the two change roles. In a state of the smallest S, where S = S_z,
    the bracket vanishes everywhere, which is the cyclic condition of V. Fock.

    Attributes:
      n_up: the first n_up particles have spin up, the others down.

    Raises:
      ValueError: if n_up is negative.
    """

    n_up: int

    def __post_init__(self):
        _check_n_up(self.n_up)

    @property
    def name(self) -> str:
        """The key in the results."""
        return "spin_squared"

    @property
    def grid(self) -> None:
        """A scalar."""
        return None

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Local value (), the real part where psi is complex, for x (n, d).

        Costs max(n_up, n_down) wave functions, one at a time.

        Raises:
          ValueError: if n_up is more than n.
        """
        n = x.shape[0]
        _check_not_above(self.n_up, n)
        minority, majority = sorted((self.n_up, n - self.n_up))
        s_z = (majority - minority) / 2
        if minority == 0:
            return jnp.full((), s_z * (s_z + 1), x.dtype)
        here = ansatz.apply(params, x)

        def ratio(exchanged):
            there = ansatz.apply(params, x[exchanged])
            sign = jnp.real(there.sign * jnp.conj(here.sign))
            return sign * jnp.exp(there.logabs - here.logabs)

        ratios = jax.lax.map(ratio, jnp.asarray(_exchanges(n, self.n_up)))
        return s_z * (s_z + 1) + minority * (1 - jnp.sum(ratios))


def _exchanges(n: int, n_up: int) -> np.ndarray:
    """Orders (m, n) of n particles, one of the rarer spin exchanged with each other."""
    up, down = np.arange(n_up), np.arange(n_up, n)
    if len(up) < len(down):
        up, down = down, up
    orders = np.tile(np.arange(n), (len(up), 1))
    orders[np.arange(len(up)), up] = down[0]
    orders[:, down[0]] = up
    return orders


def _per_shell(
    r: Array, r_max: float, n_bins: int, d: int, weights: Array | float = 1
) -> Array:
    """How many of the distances r lie in each of the shells (k,), per volume.

    Each counts with its weight.
    """
    volumes = BALL[d] * np.diff(np.linspace(0, r_max, n_bins + 1) ** d)
    bins = jnp.floor(r * (n_bins / r_max))
    counts = _histogram(bins, bins < n_bins, n_bins, weights)
    return counts / jnp.asarray(volumes, r.dtype)


def _histogram(
    bins: Array, inside: Array, n_bins: int, weights: Array | float = 1
) -> Array:
    """Counts (k,) of the bins, whole numbers as floats; NaN is inside of none.

    Adding to the one bin is ten times cheaper than comparing with all of 1600.
    """
    where = jnp.where(inside, bins, n_bins).astype(int)
    return jnp.zeros(n_bins, bins.dtype).at[where].add(weights, mode="drop")


def _centers(length: float, n_bins: int) -> np.ndarray:
    return (np.arange(n_bins) + 0.5) * (length / n_bins)


def _check_bins(name: str, length: float, n_bins: int) -> None:
    if not 0 < length < math.inf:
        raise ValueError(f"{name} must be positive, got {length!r}")
    if not (isinstance(n_bins, int) and n_bins >= 1):
        raise ValueError(f"n_bins must be a positive integer, got {n_bins!r}")


def _check_n_up(n_up: int | None, optional: bool = False) -> None:
    if optional and n_up is None:
        return
    if not (isinstance(n_up, int) and n_up >= 0):
        what = "None for bosons or a number" if optional else "a number"
        raise ValueError(f"n_up must be {what} of spins up >= 0, got {n_up!r}")


def _check_not_above(n_up: int, n: int) -> None:
    if n_up > n:
        raise ValueError(f"n_up must be at most n={n}, got {n_up}")

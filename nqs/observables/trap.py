"""Observables of particles in a trap, measured with frozen parameters."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import positive, whole
from nqs.observables.histograms import RadialBins, centers, histogram
from nqs.space.spins import Spins, check_spins
from nqs.types import Ansatz, Params


@dataclasses.dataclass(frozen=True)
class MeanSquareRadius:
    """<r^2> of a particle, (1/n) sum_i |x_i|^2, in squared length units."""

    name = "r_squared"
    grid = None

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Mean squared distance () from the origin of x (n, d)."""
        return jnp.mean(jnp.sum(x * x, axis=-1))


@dataclasses.dataclass(frozen=True)
class Dipole:
    """Sum of all positions along one axis, length units: of dipole transitions.

    Attributes:
      axis: 0 to 2.
    """

    axis: int = 0

    grid = None

    def __post_init__(self):
        whole("axis", self.axis, 0, 2)

    @property
    def name(self) -> str:
        """With x, y or z."""
        return f"dipole_{'xyz'[self.axis]}"

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Sum () of x (n, d)."""
        return jnp.sum(x[:, self.axis])


@dataclasses.dataclass(frozen=True)
class RadialDensity(RadialBins):
    """One-body density averaged over directions, rho(r), with integral n.

    In one dimension r is |x| and the density is that of either side.

    Attributes:
      r_max: end of the last bin, in length units, positive.
      n_bins: equal bins from 0 to r_max.
    """

    r_max: float
    n_bins: int = 50

    name = "density"
    axes = ("r ({length})",)
    label = "one-body density ({length}$^{{-{d}}}$)"

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Particles per volume (k,) in shells about the origin, for x (n, d)."""
        return self.per_shell(jnp.sqrt(jnp.sum(x * x, axis=-1)), x.shape[-1])


@dataclasses.dataclass(frozen=True)
class Density:
    """One-body density in the plane of the first two axes, with integral n.

    In three dimensions it is integrated over z, in one it is that on the line.

    Attributes:
      extent: the window is -extent to extent along each axis, length units.
      d: dimensions, 1 to 3.
      n_bins: equal bins along each axis.

    Raises:
      ValueError: if extent or n_bins is not positive, or d is not 1, 2 or 3.
    """

    extent: float
    d: int = 2
    n_bins: int = 40

    name = "density_map"
    axes = ("x ({length})", "y ({length})")

    def __post_init__(self):
        positive("extent", self.extent)
        whole("n_bins", self.n_bins)
        whole("d", self.d, 1, 3)

    @property
    def label(self) -> str:
        """Quantity shown by the colors or the height of the curve."""
        quantity = "density integrated over z" if self.d == 3 else "one-body density"
        return f"{quantity} ({{length}}$^{{{{-{min(self.d, 2)}}}}}$)"

    @property
    def grid(self) -> np.ndarray:
        """Bin centers: (k,) on a line, else (k, k, 2), the point of column x, row y."""
        line = centers(2 * self.extent, self.n_bins) - self.extent
        if self.d == 1:
            return line
        return np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Particles per length (k,) or area (k, k) in the bins, for x (n, d)."""
        if x.shape[-1] != self.d:
            raise ValueError(f"x must have shape (n, {self.d}), got {x.shape}")
        axes, k = min(self.d, 2), self.n_bins
        width = 2 * self.extent / k
        bins = jnp.floor((x[:, :axes] + self.extent) / width)
        inside = jnp.all((bins >= 0) & (bins < k), axis=-1)
        strides = jnp.asarray([k, 1][-axes:], x.dtype)
        bins = jnp.sum(bins * strides[None, :], axis=-1)
        counts = histogram(bins, inside, k**axes)
        return counts.reshape((k,) * axes) / width**axes


@dataclasses.dataclass(frozen=True)
class PairCorrelation(RadialBins):
    """Pairs per volume at a separation r, averaged over directions, by their spins.

    rho(r) = <sum_{i<j} delta(|x_i - x_j| - r)> / (area of the sphere of radius r). Its
    integral over the volume is the number of pairs: n_up (n_up - 1) / 2 + n_down
    (n_down - 1) / 2 of equal spin, n_up n_down of opposite spin, n (n - 1) / 2 of
    bosons. In one dimension r is |x_i - x_j|, either side counted.

    Attributes:
      r_max: end of the last bin, in length units, positive.
      spins: of the particles; None for bosons.
      n_bins: equal bins from 0 to r_max.
    """

    r_max: float
    spins: Spins | None = None
    n_bins: int = 50

    name = "pair_correlation"
    axes = ("separation r ({length})",)
    label = "pairs per volume ({length}$^{{-{d}}}$)"

    @property
    def curves(self) -> tuple[str, ...]:
        """Names of the rows."""
        return () if self.spins is None else ("equal spins", "opposite spins")

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """(k,) for bosons, else (2, k): equal and opposite spins, for x (n, d)."""
        n, d = x.shape
        i, j = np.triu_indices(n, 1)

        def rho(pairs):
            r = jnp.linalg.norm(x[i[pairs]] - x[j[pairs]], axis=-1)
            return self.per_shell(r, d)

        if self.spins is None:
            return rho(slice(None))
        check_spins(self.spins, n)
        equal = self.spins.equal[i, j]
        return jnp.stack([rho(equal), rho(~equal)])

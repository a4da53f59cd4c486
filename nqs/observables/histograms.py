"""Histograms of distances, as densities per volume."""

import math

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import positive, whole

BALL = {1: 2.0, 2: math.pi, 3: 4 * math.pi / 3}  # volume at radius 1, by dimensions


def histogram(
    bins: Array, inside: Array, n_bins: int, weights: Array | float = 1
) -> Array:
    """Counts (k,) of the bins, whole numbers as floats; NaN is in no bin."""
    # adding to one bin is ten times faster than comparing with all of 1600
    where = jnp.where(inside, bins, n_bins).astype(int)
    return jnp.zeros(n_bins, bins.dtype).at[where].add(weights, mode="drop")


def centers(length: float, n_bins: int) -> np.ndarray:
    """Centers (k,) of equal bins from 0 to a length."""
    return (np.arange(n_bins) + 0.5) * (length / n_bins)


class RadialBins:
    """Equal bins of distances from 0 to `r_max`: the grid of a profile."""

    r_max: float
    n_bins: int

    def __post_init__(self):
        positive("r_max", self.r_max)
        whole("n_bins", self.n_bins)

    @property
    def grid(self) -> np.ndarray:
        """Bin centers (k,)."""
        return centers(self.r_max, self.n_bins)

    def per_shell(self, r: Array, d: int, weights: Array | float = 1) -> Array:
        """Weighted number of the distances r in each shell (k,), per volume."""
        r_max, n_bins = self.r_max, self.n_bins
        volumes = BALL[d] * np.diff(np.linspace(0, r_max, n_bins + 1) ** d)
        bins = jnp.floor(r * (n_bins / r_max))
        counts = histogram(bins, bins < n_bins, n_bins, weights)
        return counts / jnp.asarray(volumes, r.dtype)

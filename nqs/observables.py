"""Observables of particles, measured with frozen parameters.

An observable is a function of one configuration, `(ansatz, params, x) -> value`, whose
average over |psi|^2 is wanted: a scalar (), or a profile (k,) on its `grid` (k,).
"""

import dataclasses
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.types import Ansatz, Configuration, Params


class Observable(Protocol):
    """What evaluation averages besides the energy."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def grid(self) -> np.ndarray | None:
        """Where a profile (k,) is given; None for a scalar."""
        ...

    def __call__(self, ansatz: Ansatz, params: Params, x: Configuration) -> Array:
        """Value () or (k,) in one configuration."""
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

    def __post_init__(self):
        if not 0 < self.r_max < float("inf"):
            raise ValueError(f"r_max must be positive, got {self.r_max!r}")
        if not (isinstance(self.n_bins, int) and self.n_bins >= 1):
            raise ValueError(f"n_bins must be a positive integer, got {self.n_bins!r}")

    @property
    def name(self) -> str:
        """The key in the results."""
        return "density"

    @property
    def grid(self) -> np.ndarray:
        """Bin centers (k,)."""
        return (np.arange(self.n_bins) + 0.5) * (self.r_max / self.n_bins)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Particles per volume (k,) in shells about the origin, for x (n, d)."""
        d = x.shape[-1]
        edges = np.linspace(0, self.r_max, self.n_bins + 1)
        ball = {1: 2.0, 2: np.pi, 3: 4 * np.pi / 3}[d]
        volumes = jnp.asarray(ball * np.diff(edges**d), x.dtype)
        r = jnp.sqrt(jnp.sum(x * x, axis=-1))
        bins = jnp.floor(r * (self.n_bins / self.r_max))  # as floats: NaN is in none
        inside = bins[:, None] == jnp.arange(self.n_bins, dtype=x.dtype)[None, :]
        return jnp.sum(inside, axis=0, dtype=x.dtype) / volumes

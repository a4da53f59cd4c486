"""Short-ranged pair functions, summed over all periodic images in a cube."""

import dataclasses
import itertools
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

# A Gaussian beyond this many of its ranges counts as zero, 1e-12 of its height.
NEGLIGIBLE_GAUSSIAN = 5.26
# 1 / cosh^2 beyond this argument counts as zero, 1e-8.
NEGLIGIBLE_TAIL = 9.9


@dataclasses.dataclass(frozen=True)
class PeriodicGaussian:
    """height exp(-r^2 / range^2), summed over all images in a cube.

    The sum over images of a cube is a product of sums over those of a line.
    """

    height: float
    range: float
    length: float  # edge of the cube

    def __call__(self, difference: Array) -> Array:
        """Values (...) at differences (..., 3)."""
        n = math.ceil(NEGLIGIBLE_GAUSSIAN * self.range / self.length - 0.5)
        nearest = difference - self.length * jnp.round(difference / self.length)
        images = [
            jnp.exp(-(((nearest + m * self.length) / self.range) ** 2))
            for m in range(-n, n + 1)
        ]
        axes = sum(images[1:], images[0])
        return self.height * axes[..., 0] * axes[..., 1] * axes[..., 2]

    def transform(self, k: np.ndarray) -> np.ndarray:
        """Fourier transform (...) over the cube at k (..., 3)."""
        square = np.sum(np.square(k), axis=-1) * self.range**2
        volume = math.pi**1.5 * self.range**3
        return self.height * volume * np.exp(-square / 4)


@dataclasses.dataclass(frozen=True)
class PoeschlTeller:
    """-2 mu^2 / cosh^2(mu r), summed over all images in a cube."""

    mu: float  # inverse range, two over the effective range
    length: float  # edge of the cube

    def __call__(self, difference: Array) -> Array:
        """Values (...) at differences (..., 3)."""
        n = math.ceil(NEGLIGIBLE_TAIL / (self.mu * self.length) - 0.5)
        nearest = difference - self.length * jnp.round(difference / self.length)
        shifts = list(itertools.product(range(-n, n + 1), repeat=3))
        shifts = self.length * jnp.asarray(shifts, difference.dtype)
        shifts = shifts.reshape(*(1,) * (difference.ndim - 1), -1, 3)
        r = jnp.linalg.norm(nearest[..., None, :] + shifts, axis=-1)
        return -2 * self.mu**2 * jnp.sum(1 / jnp.cosh(self.mu * r) ** 2, axis=-1)

    def transform(self, k: np.ndarray) -> np.ndarray:
        """Fourier transform (...) over the cube at k (..., 3).

        -(2 pi^3 / mu) (y coth y - 1) / (y sinh y) with y = pi |k| / 2 mu, from the
        integral of cos(k r) / cosh^2(mu r) over a line.
        """
        y = math.pi * np.linalg.norm(k, axis=-1) / (2 * self.mu)
        large = np.maximum(y, 0.01)
        ratio = (large / np.tanh(large) - 1) / (large * np.sinh(large))
        ratio = np.where(y < 0.01, 1 / 3 - 7 * y**2 / 90, ratio)
        return -2 * math.pi**3 / self.mu * ratio

"""A move of electrons about nuclei: short steps near them, long ones far away."""

import dataclasses

import jax.numpy as jnp
from jax import Array

from nqs.moves import normal_like
from nqs.space.nuclei import Nuclei


@dataclasses.dataclass(frozen=True)
class AboutNuclei:
    """Displace all electrons at once, by steps as wide as their distance from nuclei.

    The standard deviation is width s_i(x), 1 / s_i^2 = sum_I 1 / (r_iI^2 + 1 / Z_I^2):
    1s electrons of heavy atoms move by parts of 1 / Z, valence electrons by parts of
    their distance.

    Attributes:
      nuclei: their charges and positions.
    """

    nuclei: Nuclei

    def moves_per_sweep(self, x: Array) -> int:
        """One."""
        return 1

    def scales(self, x: Array) -> Array:
        """s_i (n, 1), bohr, at x (n, 3)."""
        square = jnp.sum(self.nuclei.displacements(x) ** 2, axis=-1)
        inverse = 1 / (square + 1 / self.nuclei.per_nucleus(x) ** 2)
        return 1 / jnp.sqrt(jnp.sum(inverse, axis=-1, keepdims=True))

    def __call__(self, key: Array, x: Array, width: Array) -> tuple[Array, Array]:
        """Propose x + width s(x) xi, for x (n, 3)."""
        xi = normal_like(key, x)
        here = self.scales(x)
        x_new = x + width * here * xi
        ratio = here / self.scales(x_new)
        # xi is that of the move, xi here / there that of its reverse
        square = jnp.sum(xi**2 * (1 - ratio**2)) / 2
        return x_new, square + x.shape[1] * jnp.sum(jnp.log(ratio))

"""Slater determinants of plane waves, for fermions in a periodic box."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.slater import log_determinants
from nqs.box import Box
from nqs.types import LogPsi


class PlaneWaveSlater(nn.Module):
    """det[exp(i k . x_i), i up] det[exp(i k . x_i), i down], the Hartree-Fock state.

    Each spin fills the closed shell of the lowest |k| that the box and the twist allow.
    Without a twist k and -k come in pairs, and psi is real: their cosine and sine. A
    twist makes psi complex.

    Attributes:
      n_up: the first n_up particles have spin up, the others down.
      box: the periodic cell.
      twist: of k, in fractions of the reciprocal lattice vectors; None for none.

    Raises:
      ValueError: where a spin's shell is open.
    """

    n_up: int
    box: Box
    twist: tuple[float, ...] | None = None

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        orbitals = partial(plane_waves, box=self.box, twist=self.twist)
        return log_determinants(orbitals, x, self.n_up, jnp.zeros((), x.dtype))


def plane_waves(
    x: Array,
    factors: Array | None,
    box: Box,
    twist: tuple[float, ...] | None = None,
) -> Array:
    """The m lowest plane waves (k, m, m) at m positions x (m, d), rows are particles.

    Real, 1, sqrt(2) cos and sqrt(2) sin, without a twist; exp(i k . x) with one. Takes
    a cos and a sin for each pair k, -k, or each k, and each particle.

    Factors (k, m, m) change with the particles' surroundings, and must leave |psi| as
    it is when all particles move together. So a cosine and its sine share a complex
    one: that of the cosine is its real part, and that of the sine, less one, its
    imaginary part.

    Raises:
      ValueError: if m waves are an open shell.
    """
    m = x.shape[0]
    if any(box.checked_twist(twist)):
        phases = x @ jnp.asarray(box.wave_vectors(m, twist).T, x.dtype)
        waves = jax.lax.complex(jnp.cos(phases), jnp.sin(phases))[None]
        return waves if factors is None else factors * waves
    numbers = box.wave_numbers(m)
    half = np.array([k for k in numbers.tolist() if k > [0] * box.d], int)
    one = jnp.ones((1, m, 1), x.dtype)
    if not len(half):
        return one if factors is None else factors
    phases = x @ jnp.asarray((half @ box.reciprocal).T, x.dtype)
    cos, sin = (
        np.sqrt(2.0) * jnp.cos(phases)[None],
        np.sqrt(2.0) * jnp.sin(phases)[None],
    )
    if factors is not None:
        one, real, imaginary = jnp.split(factors, [1, 1 + len(half)], axis=2)
        imaginary = imaginary - 1
        cos, sin = real * cos - imaginary * sin, real * sin + imaginary * cos
    return jnp.concatenate([one, cos, sin], axis=2)

"""Slater determinants of plane waves, for fermions in a periodic box."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.slater import log_determinants
from nqs.laplacian.waves import sin_and_cos
from nqs.space.box import Box
from nqs.space.spins import Spins
from nqs.types import LogPsi


class PlaneWaveSlater(nn.Module):
    """det[exp(i k . x_i), i up] det[exp(i k . x_i), i down], the Hartree-Fock state.

    Each spin fills the closed shell of the lowest |k|. Without a twist psi is real, the
    cosine and sine of k and -k; a twist makes psi complex.

    Attributes:
      spins: of the particles.
      box: the periodic cell.
      twist: of k, in fractions of the reciprocal lattice vectors; None for none.

    Raises:
      ValueError: where a spin's shell is open.
    """

    spins: Spins
    box: Box
    twist: tuple[float, ...] | None = None

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        orbitals = partial(plane_waves, box=self.box, twist=self.twist)
        return log_determinants(orbitals, x, self.spins, jnp.zeros((), x.dtype))


def plane_waves(
    x: Array,
    factors: Array | None,
    box: Box,
    twist: tuple[float, ...] | None = None,
    m: int | None = None,
) -> Array:
    """The m lowest plane waves (k, r, m) at r positions x (r, d), rows are particles.

    m is r by default. Real, 1, sqrt(2) cos and sqrt(2) sin, without a twist; else
    exp(i k . x). Factors (k, r, m) keep |psi| invariant under translations, because a
    cosine and its sine share a complex one: the factor of the cosine is its real part,
    that of the sine, less one, its imaginary part.

    Raises:
      ValueError: if m waves are an open shell.
    """
    m = x.shape[0] if m is None else m
    if any(box.checked_twist(twist)):
        phases = x @ jnp.asarray(box.wave_vectors(m, twist).T, x.dtype)
        sin, cos = sin_and_cos(phases)
        waves = jax.lax.complex(cos, sin)[None]
        return waves if factors is None else factors * waves
    # 1, cosines and sines as cosines of shifted phases
    k, h = real_wave_vectors(m, box), (m - 1) // 2
    shift = np.repeat([0, np.pi / 2], [1 + h, h])[None]
    size = jnp.asarray(np.repeat([1, np.sqrt(2)], [1, 2 * h]), x.dtype)[None]
    phases = x @ jnp.asarray(k.T, x.dtype) - jnp.asarray(shift, x.dtype)
    sin, cos = sin_and_cos(phases)
    waves = (size * cos)[None]
    if factors is None:
        return waves
    shifted = (-size * sin)[None]  # by a right angle
    first, second = np.eye(m)[:, 1 : 1 + h], np.eye(m)[:, 1 + h :]
    zero = np.zeros((m, 1))
    real = np.concatenate([np.eye(m)[:, :1], first, first], axis=1)
    imaginary = np.concatenate([zero, second, second], axis=1)
    real, imaginary = (jnp.asarray(a, x.dtype) for a in (real, imaginary))
    less_one = jnp.sum(imaginary, axis=0)[None, None, :]
    return (factors @ real) * waves + (factors @ imaginary - less_one) * shifted


def real_wave_vectors(m: int, box: Box) -> np.ndarray:
    """Wave vectors (m, d) of 1, of the cosines and of the sines, as in `plane_waves`.

    Raises:
      ValueError: if m waves are an open shell.
    """
    numbers = box.wave_numbers(m)
    half = np.array([k for k in numbers.tolist() if k > [0] * box.d], int)
    half = half.reshape(-1, box.d)
    return np.concatenate([np.zeros((1, box.d)), half, half]) @ box.reciprocal

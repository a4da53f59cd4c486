"""Message-passing neural backflow.

h_i <- h_i + f(W h_i + V sum_j f(W_i h_i + W_j h_j + W_e e_ij) / n)

collects features of all particles in h_i; e_ij are features of the pair. The last h_i
determine a backflow displacement, factors of the orbitals and a Jastrow term, all of
them initially zero. G. Pescia et al., Phys. Rev. B 110, 035108 (2024); D. Luo and B. K.
Clark, Phys. Rev. Lett. 122, 226401 (2019).
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.jastrow import joined_waves, squared_length
from nqs.ansatze.layers import (
    check_elementwise,
    check_integers,
    different_factors,
    named_activation,
    oscillator_lengths,
    zero_dense,
)
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.plane_waves import plane_waves
from nqs.ansatze.slater import log_determinants, oscillator_orbitals
from nqs.checks import positives
from nqs.laplacian.messages import message_sum
from nqs.laplacian.pairs import by_one, relative_features
from nqs.laplacian.waves import pair_waves, squared_distance
from nqs.space.box import Box
from nqs.space.spins import Spins, check_spins
from nqs.types import LogPsi


class MessagePassing(nn.Module):
    """Particle features after several rounds of message passing.

    Attributes:
      layers: rounds of messages.
      width: of particle features and messages.
      activation: name of a smooth function of `jax.nn`, or a callable.
      relative: pairs are functions of x_i - x_j, as in `message_sum`.
      pair_width: of a hidden layer for the features of a pair; 0 for none.
    """

    layers: int = 2
    width: int = 32
    activation: str | Callable = "silu"
    relative: bool = False
    pair_width: int = 0

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, layers=1, width=1, pair_width=0)

    @nn.compact
    def __call__(self, particles: Array, pairs: Array) -> Array:
        """Features (n, width) from those of particles (n, k) and of pairs (n, n, m)."""
        f = named_activation(self.activation)
        dense = partial(nn.Dense, self.width, param_dtype=particles.dtype)
        h = dense(use_bias=False)(particles)
        pairs = by_one(pairs) if self.relative else pairs
        if self.pair_width:
            pairs = f(nn.Dense(self.pair_width, param_dtype=pairs.dtype)(pairs))
        for _ in range(self.layers):
            of_i, of_j = dense()(h), dense(use_bias=False)(h)
            of_pairs = dense(use_bias=False)(pairs)
            gathered = jnp.zeros_like(h)
            if len(h) > 1:
                gathered = message_sum(f, self.relative)(of_i, of_j, of_pairs)
            h = h + f(dense()(h) + dense(use_bias=False)(gathered))
        return h


class Backflow(LayerwiseDerivatives, nn.Module):
    """Slater determinants at backflow coordinates, in a trap or in a periodic box.

    psi = exp(sum_i J(h_i)) sum_k prod_spin det[(1 + F_k(h_i)) phi(x_i + D(h_i))], with
    h from `MessagePassing`, smooth where particles meet: a cusp takes a Jastrow factor.
    Orbitals phi are those of the oscillator, with its envelope for bosons, or the plane
    waves of a box, where |psi| is periodic and invariant under translations.

    Attributes:
      spins: of the particles; None for bosons.
      omega: trap frequency, one number or one per axis, hartree; unused in a box.
      layers: rounds of messages.
      width: of particle features and messages.
      determinants: terms of the sum over k.
      activation: name of a smooth function of `jax.nn`, or a callable.
      box: the periodic cell; None for the trap.
      twist: of the plane waves, in fractions of the reciprocal lattice vectors.
      ranges: of Gaussians among the features of a pair in a box, in length units.
      flip_symmetric: psi of as many spins up as down is even under a flip of all spins,
        as singlets are; triplets, for example, require False, which adds the spin to
        the features of a particle.
      pair_width: of a hidden layer for the features of a pair; 0 for none.

    Raises:
      ValueError: unless sizes are positive integers and ranges are positive, and for a
        twist without a box or without spins.
    """

    spins: Spins | None = None
    omega: float | tuple[float, ...] = 1.0
    layers: int = 2
    width: int = 32
    determinants: int = 1
    activation: str | Callable = "silu"
    box: Box | None = None
    twist: tuple[float, ...] | None = None
    ranges: tuple[float, ...] = ()
    flip_symmetric: bool = True
    pair_width: int = 0

    def __post_init__(self):
        super().__post_init__()
        check_backflow(self, determinants=1, pair_width=0)
        positives("omega", self.omega)
        if self.twist is not None and (self.box is None or self.spins is None):
            raise ValueError(
                f"twist must be None without a box or spins, got {self.twist!r}"
            )

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        n, d = x.shape
        if self.box is None:
            omegas = np.broadcast_to(np.asarray(self.omega, float), (d,))
            x = oscillator_lengths(x, self.omega)
            particles, pairs = trapped_features(x, self.spins)
            orbitals = partial(oscillator_orbitals, omegas=omegas)
        else:
            particles = jnp.ones((n, 1), x.dtype)  # constant: translation invariance
            of_pairs = periodic_pairs(self.box, self.ranges, spin_signs(n, self.spins))
            pairs = of_pairs(joined_waves(self.box, x))
            orbitals = partial(plane_waves, box=self.box, twist=self.twist)
        if not self.flip_symmetric:
            signs = jnp.asarray(spin_signs(n, self.spins), x.dtype)
            particles = jnp.concatenate([particles, signs[:, None]], axis=-1)
        h = message_passing(self, self.pair_width)(particles, pairs)
        q = x + zero_dense(d, x)(h)
        logabs = jnp.sum(zero_dense(1, x)(h))
        if self.box is None:
            log_alpha = self.param("log_alpha", nn.initializers.zeros, (), x.dtype)
            q = jnp.exp(log_alpha / 2) * q
            logabs = logabs - jnp.sum(q * q) / 2
        if self.spins is None:
            return LogPsi(jnp.ones_like(logabs), logabs)
        shape = n, self.determinants, max(self.spins.up, self.spins.down)
        if self.determinants > 1:
            factors = different_factors(shape[1] * shape[2], h, 0.1).reshape(shape)
        else:
            factors = 1 + zero_dense(shape[2], x, bias=True)(h)[:, None]
        return log_determinants(orbitals, q, self.spins, logabs, factors)


def check_backflow(ansatz: Any, **least: int) -> None:
    """Check the settings of message passing, and further integers of at least these."""
    check_integers(ansatz, layers=1, width=1, **least)
    positives("ranges", ansatz.ranges)
    check_elementwise(ansatz.activation)


def message_passing(ansatz: Any, pair_width: int = 0) -> MessagePassing:
    """Message passing with the settings of the ansatz."""
    settings = ansatz.layers, ansatz.width, ansatz.activation
    return MessagePassing(*settings, relative=True, pair_width=pair_width)


def spin_signs(n: int, spins: Spins | None) -> tuple[int, ...]:
    """Spins (n,), 1 or -1; all 1 for bosons."""
    if spins is None:
        return (1,) * n
    check_spins(spins, n)
    return tuple(spins.signs.tolist())


def trapped_features(q: Array, spins: Spins | None) -> tuple[Array, Array]:
    """Displacements, lengths sqrt(1 + r^2) - 1 and products of spins in a trap.

    Of particles (n, d + 1), without spins, and of pairs (n, n, d + 2).
    """
    particles = jnp.concatenate([q, _smooth_length(squared_length(q))], axis=-1)
    return particles, _trapped_pairs(spin_signs(q.shape[0], spins))(q)


@functools.cache
def _trapped_pairs(signs: tuple[int, ...]) -> Callable[[Array], Array]:
    product = np.outer(signs, signs)[:, :, None]

    def of_pairs(one: Array, other: Array) -> Array:
        difference = one - other
        distance = _smooth_length(squared_length(difference))
        by_spin = jnp.asarray(product, one.dtype)
        return jnp.concatenate([difference, distance, by_spin], axis=-1)

    return relative_features(of_pairs)


@functools.cache
def periodic_pairs(
    box: Box,
    ranges: tuple[float, ...],
    signs: tuple[int, ...] | None = None,
    odd: bool = True,
) -> Callable[[Array], Array]:
    """Smooth periodic features of pairs (n, n, m) from `joined_waves` of the particles.

    Sin (if odd) and 1 - cos of the displacement, sqrt(1 + r^2) - 1 of the distance, and
    exp(-r^2 / range^2); with spins 1 or -1 their product, alone and times the latter.
    """

    def of_pairs(one: Array, other: Array) -> Array:
        pair = pair_waves(one, other)
        features = [2 * pair.sin * pair.cos] if odd else []
        # without the barrier XLA computes the distance again for every feature
        square = jax.lax.optimization_barrier(squared_distance(box, pair))
        near = [jnp.exp(-square / length**2)[..., None] for length in ranges]
        features += [2 * pair.sin * pair.sin, _smooth_length(square)]
        if signs is None:
            return jnp.concatenate([*features, *near], axis=-1)
        sign = jnp.asarray(np.outer(signs, signs)[:, :, None], one.dtype)
        by_spin = [sign * gaussian for gaussian in near]
        return jnp.concatenate([*features, sign, *near, *by_spin], axis=-1)

    return relative_features(of_pairs)


def _smooth_length(square: Array) -> Array:
    """sqrt(1 + r^2) - 1 (..., 1) of squares r^2 (...)."""
    return jnp.sqrt(1 + square[..., None]) - 1

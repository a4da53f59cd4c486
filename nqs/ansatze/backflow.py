"""Message-passing neural backflow.

h_i <- h_i + f(W h_i + V sum_j f(W_i h_i + W_j h_j + W_e e_ij) / n)

collects features of all particles in h_i; e_ij are features of the pair. The last h_i
determine a backflow displacement, factors of the orbitals and a Jastrow term. All of
them start at zero, so that the first wave function is the Slater determinant. G.
Pescia et al., Phys. Rev. B 110, 035108 (2024); D. Luo and B. K. Clark, Phys. Rev. Lett.
122, 226401 (2019).
"""

import functools
from collections.abc import Callable
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.jastrow import squared_length
from nqs.ansatze.layers import check_elementwise, named_activation
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.plane_waves import plane_waves
from nqs.ansatze.slater import log_determinants, oscillator_orbitals
from nqs.checks import positive
from nqs.laplacian.messages import message_sum
from nqs.laplacian.pairs import relative_features
from nqs.laplacian.waves import pair_waves, squared_distance, waves
from nqs.space.box import Box
from nqs.space.spins import Spins, check_spins
from nqs.types import LogPsi


class MessagePassing(nn.Module):
    """Particle features after several rounds of message passing.

    Attributes:
      layers: rounds of messages.
      width: of particle features and messages.
      activation: name of a smooth function of `jax.nn`, or a callable.
      relative: pairs are functions of x_i - x_j, which makes a forward Laplacian of
        the message passing cheaper; the Laplacian is wrong if they are not.
    """

    layers: int = 2
    width: int = 32
    activation: str | Callable = "silu"
    relative: bool = False

    @nn.compact
    def __call__(self, particles: Array, pairs: Array) -> Array:
        """Features (n, width) from those of particles (n, k) and of pairs (n, n, m).

        W_i, W_j and W_e act separately, which equals one matrix on the concatenated
        features, with n instead of n^2 products for the first two.
        """
        dtype = particles.dtype
        f = named_activation(self.activation)

        def dense(bias: bool = False) -> nn.Dense:
            return nn.Dense(self.width, use_bias=bias, param_dtype=dtype)

        h = dense()(particles)
        for _ in range(self.layers):
            projections = dense(bias=True)(h), dense()(h), dense()(pairs)
            gathered = jnp.zeros_like(h)
            if len(h) > 1:
                gathered = message_sum(f, self.relative)(*projections)
            h = h + f(dense(bias=True)(h) + dense()(gathered))
        return h


class Backflow(LayerwiseDerivatives, nn.Module):
    """Slater determinants at backflow coordinates, in a trap or in a periodic box.

    psi = exp(sum_i J(h_i)) sum_k prod_spin det[(1 + F_k(h_i)) phi(x_i + D(h_i))], with
    h from `MessagePassing`. Its features are smooth where particles meet, so that a
    cusp comes from a Jastrow factor alone. Orbitals phi are those of the oscillator,
    which is also the envelope of bosons, or the plane waves of a box. There all
    features are periodic and depend on displacements alone, so that psi is periodic and
    |psi| invariant under a common translation.

    Attributes:
      spins: of the particles; None for bosons.
      omega: trap frequency, one number or one per axis, hartree; unused in a box.
      layers: rounds of messages.
      width: of particle features and messages.
      determinants: terms of the sum over k.
      activation: name of a smooth function of `jax.nn`, or a callable.
      box: the periodic cell; None for the trap.
      twist: of the plane waves, in fractions of the reciprocal lattice vectors.
      ranges: of Gaussians among the features of a pair in a box, in length units; they
        resolve how particles meet.

    Raises:
      ValueError: unless sizes are positive integers and ranges are positive, and for a
        twist without a box.
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

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self.ranges)
        if self.twist is not None and (self.box is None or self.spins is None):
            raise ValueError("a twist needs a box, and a determinant to act on")
        for field in ("layers", "width", "determinants"):
            value = getattr(self, field)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{field} must be a positive integer, got {value!r}")
        check_elementwise(self.activation)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        n, d = x.shape
        omegas = np.broadcast_to(np.asarray(self.omega, float), (d,))
        if self.box is None:
            roots = jnp.asarray(np.sqrt(omegas), x.dtype)[None, :]
            x = roots * x
            particles, pairs = features(x, self.spins)
            orbitals = partial(oscillator_orbitals, omegas=omegas)
        else:
            particles, pairs = periodic_features(x, self.spins, self.box, self.ranges)
            orbitals = partial(plane_waves, box=self.box, twist=self.twist)
        passing = MessagePassing(self.layers, self.width, self.activation, True)
        h = passing(particles, pairs)

        def from_zero(k: int, bias: bool = False) -> nn.Dense:
            return nn.Dense(
                k, use_bias=bias, kernel_init=nn.initializers.zeros, param_dtype=x.dtype
            )

        if self.box is None:
            log_alpha = self.param("log_alpha", nn.initializers.zeros, (), x.dtype)
            q = jnp.exp(log_alpha / 2) * (x + from_zero(d)(h))
            logabs = jnp.sum(from_zero(1)(h)) - jnp.sum(q * q) / 2
        else:
            q = x + from_zero(d)(h)
            logabs = jnp.sum(from_zero(1)(h))
        if self.spins is None:
            return LogPsi(jnp.ones_like(logabs), logabs)
        n_orbitals = max(self.spins.up, self.spins.down)
        factors = from_zero(self.determinants * n_orbitals, bias=True)(h)
        factors = 1 + factors.reshape(n, self.determinants, n_orbitals)
        return log_determinants(orbitals, q, self.spins, logabs, factors)


def spin_products(n: int, spins: Spins | None) -> np.ndarray:
    """Products (n, n) of the spins, 1 or -1; all 1 for bosons."""
    if spins is None:
        return np.ones((n, n))
    check_spins(spins, n)
    return np.outer(spins.signs, spins.signs)


def features(q: Array, spins: Spins | None) -> tuple[Array, Array]:
    """Smooth features of particles (n, d + 1) and pairs (n, n, d + 2).

    Displacements in oscillator lengths, the distance sqrt(1 + r^2) - 1, which is smooth
    at r = 0, and the product of the spins.
    """
    particles = jnp.concatenate([q, _smooth_length(squared_length(q))], axis=-1)
    return particles, _trapped_pairs(q.shape[0], spins)(q)


def periodic_features(
    x: Array, spins: Spins | None, box: Box, ranges: tuple[float, ...] = ()
) -> tuple[Array, Array]:
    """Smooth periodic features of particles (n, 1) and pairs (n, n, 2 d + 2 + 2 k).

    Sin and 1 - cos of the phases of the displacement, sqrt(1 + r^2) - 1 of the periodic
    distance, the product of the spins, and exp(-r^2 / range^2) for k ranges, with and
    without that product. One-particle features are constant, for translation
    invariance. Sin and cos of a difference are products of n d of the particles.
    """
    n = x.shape[0]
    phases = jnp.concatenate(waves(box, x), axis=-1)
    return jnp.ones((n, 1), x.dtype), _periodic_pairs(n, spins, box, ranges)(phases)


@functools.cache
def _trapped_pairs(n: int, spins: Spins | None) -> Callable[[Array], Array]:
    product = spin_products(n, spins)[:, :, None]

    def of_pairs(one: Array, other: Array) -> Array:
        difference = one - other
        distance = _smooth_length(squared_length(difference))
        by_spin = jnp.asarray(product, one.dtype)
        return jnp.concatenate([difference, distance, by_spin], axis=-1)

    return relative_features(of_pairs)


@functools.cache
def _periodic_pairs(
    n: int, spins: Spins | None, box: Box, ranges: tuple[float, ...]
) -> Callable[[Array], Array]:
    product = spin_products(n, spins)[:, :, None]

    def of_pairs(one: Array, other: Array) -> Array:
        pair = pair_waves(one, other)
        phases = (2 * pair.sin * pair.cos, 2 * pair.sin * pair.sin)
        # XLA would find it again for every feature that it joins.
        square = jax.lax.optimization_barrier(squared_distance(box, pair))
        sign = jnp.asarray(product, one.dtype)
        near = gaussians(square, ranges)
        by_spin = [sign * gaussian for gaussian in near]
        lengths = [_smooth_length(square), sign, *near, *by_spin]
        return jnp.concatenate([*phases, *lengths], axis=-1)

    return relative_features(of_pairs)


def check_ranges(ranges: tuple[float, ...]) -> None:
    """Refuse ranges that are not positive."""
    for length in ranges:
        positive("ranges", length)


def gaussians(square: Array, ranges: tuple[float, ...]) -> list[Array]:
    """exp(-r^2 / range^2) (..., 1) of squares r^2 (...), for each range."""
    return [jnp.exp(-square / length**2)[..., None] for length in ranges]


def _smooth_length(square: Array) -> Array:
    """sqrt(1 + r^2) - 1 (..., 1) of squares r^2 (...)."""
    return jnp.sqrt(1 + square[..., None]) - 1

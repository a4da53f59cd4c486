"""Momentum distribution of particles in a periodic box."""

import dataclasses
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import whole
from nqs.observables.periodic import (
    WaveShells,
    check_positions,
    shell_average,
    waves_of_shells,
)
from nqs.space.box import Box
from nqs.space.spins import Spins
from nqs.types import Ansatz, Params


@dataclasses.dataclass(frozen=True)
class MomentumDistribution(WaveShells):
    """Occupation n(k) of the plane waves, averaged over spins and over each shell.

    A particle i is moved by a displacement s drawn uniformly in the cell,

        n(k) = <sum_i psi(..., x_i + s, ...) / psi(x) exp(-i k . s)> / (spins present),

    so that an orbital which both spins occupy, or the only one, counts 1. W. L.
    McMillan, Phys. Rev. 138, A442 (1965). The sum is over n_moved consecutive i from a
    random one on, with a common s, times n / n_moved. As an observable has no random
    key, i and s are drawn with a hash of the bits of x: a walker that did not move
    repeats them.

    Attributes:
      box: the periodic cell.
      spins: of the particles.
      twist: that of psi; the wave vectors are sum_a (m_a + twist_a) b_a.
      n_shells: shells of the smallest |k|, 0 included; often of one vector if twisted.
      n_moved: displaced particles, at most.

    Raises:
      ValueError: if the twist is not d numbers, or n_shells or n_moved is not positive.
    """

    box: Box
    spins: Spins
    twist: tuple[float, ...] | None = None
    n_shells: int = 12
    n_moved: int = 4

    name = "momentum_distribution"
    label = "momentum distribution n(k)"

    def __post_init__(self):
        whole("n_shells", self.n_shells)
        whole("n_moved", self.n_moved)
        self.box.checked_twist(self.twist)

    @cached_property
    def _waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of the twist, and the average over shells."""
        twists = self.box.checked_twist(self.twist)
        numbers, shell = waves_of_shells(self.box, self.n_shells, self.twist)
        vectors = (numbers + np.asarray(twists)) @ self.box.reciprocal
        return vectors, shell_average(shell)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values n (k,), the real part where psi is complex, for x (n, d)."""
        check_positions(self.spins, self.box, x)
        vectors, average = (jnp.asarray(table, x.dtype) for table in self._waves)
        key_s, key_i = jax.random.split(hashed_key(x))
        s = displacement(self.box, key_s, x.dtype)
        here = ansatz.apply(params, x)

        first = jax.random.randint(key_i, (), 0, len(x))
        moved = (first + jnp.arange(min(self.n_moved, len(x)))) % len(x)
        ratio = len(x) * jnp.mean(
            jax.lax.map(
                lambda i: ansatz.apply(params, x.at[i].add(s)).over(here), moved
            )
        )
        phases = vectors @ s
        occupations = ratio.real * jnp.cos(phases) + ratio.imag * jnp.sin(phases)
        species = (self.spins.up > 0) + (self.spins.down > 0)
        return occupations @ average / species


def displacement(box: Box, key: Array, dtype: Any) -> Array:
    """A vector (d,) uniform in the cell."""
    fractions = jax.random.uniform(key, (box.d,), dtype)
    return fractions @ jnp.asarray(box.vectors, dtype)


def hashed_key(x: Array) -> Array:
    """A random key from a hash of x (n, d), independent after a change of one bit."""
    words = jax.lax.bitcast_convert_type(x, jnp.uint32).reshape(-1)
    key = jax.random.key(0)
    # odd, so that no change of one word is lost
    factors = jax.random.bits(key, (2, words.size), jnp.uint32) | jnp.uint32(1)
    for word in jnp.sum(factors * words[None, :], axis=1, dtype=jnp.uint32):
        key = jax.random.fold_in(key, word)
    return key

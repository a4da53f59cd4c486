"""Spin-independent backflow, for forces that exchange spins.

The network treats all particles alike, so that an exchange of two positions swaps two
rows of a table of orbitals: psi with any two spins exchanged needs no new evaluation of
the network. Such determinants of closed shells, or of pairs in a symmetric pair
function, are singlets. Spins enter by a factor of pairs,

    exp(sum_{a<b} s_a s_b w(r_ab)),    s = 1 for up and -1 for down,

and by the operator of `singlet_operator` on the even part of the motion of a pair, a
scalar of spin, which begins a product of pair operators as in the theory of nuclei (V.
R. Pandharipande and R. B. Wiringa, Rev. Mod. Phys. 51, 821 (1979)).

The pairing state is the determinant of phi(i, j) over i up and j down (J. P. Bouchaud,
A. Georges and C. Lhuillier, J. Phys. France 49, 553 (1988)), here with

    phi(a, b) = sum_k c_k p_k(a) p_k(b) + sum_m g_m(r_ab) f_m(h_a) f_m(h_b),

plane waves p_k at backflow coordinates and even functions g_m of the distance times
factors of both surroundings. With c_k = 1 for a closed shell and g_m = 0 it is the
product of two Slater determinants, the initial state.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.backflow import check_backflow, message_passing, periodic_pairs
from nqs.ansatze.jastrow import joined_waves
from nqs.ansatze.layers import different_factors, named_activation, zero_dense
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.plane_waves import plane_waves, real_wave_vectors
from nqs.ansatze.singlet_operator import (
    Table,
    exchanged,
    mixed_orbitals,
    mixed_pairs,
    pair_table,
    row_table,
)
from nqs.laplacian.pairs import by_both, by_one
from nqs.laplacian.products import pair_products
from nqs.space.box import Box
from nqs.space.spins import Spins, check_spins
from nqs.types import LogPsi, Params

OPEN_SHELL = 0.3  # first weight of the waves of an open shell in a pair


class SingletBackflow(LayerwiseDerivatives, nn.Module):
    """Determinants of particles in a box with spin-independent backflow.

    Attributes:
      spins: of the particles.
      box: the periodic cell.
      pairing: a determinant of pairs instead of one of orbitals for each spin; takes
        any number of pairs, and unpaired spins up in a closed shell.
      layers: rounds of messages.
      width: of particle features and messages.
      channels: functions g_m of a pair, in phi or in u.
      ranges: of Gaussians among the features of a pair, in length units, such as that
        of the force.
      activation: name of a smooth function of `jax.nn`, or a callable.

    Raises:
      ValueError: unless sizes are positive integers and ranges are positive.
    """

    spins: Spins
    box: Box
    pairing: bool = False
    layers: int = 2
    width: int = 32
    channels: int = 8
    ranges: tuple[float, ...] = (2.0,)
    activation: str | Callable = "silu"

    def __post_init__(self):
        super().__post_init__()
        check_backflow(self, channels=1)

    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d).

        Raises:
          ValueError: for an open shell, or more spins down than up in a pairing state.
        """
        spins, tables = self.spins, self._tables(x)
        signs = jnp.asarray(spins.signs, x.dtype)
        logabs = tables.logabs + signs @ (tables.spin_factor @ signs) / 2
        if min(spins.up, spins.down) > 0:
            sign, log = tables.mixed(spins.up)
        else:
            (matrix,) = (m for m in tables.matrices(spins.up) if m.size)
            sign, log = jnp.linalg.slogdet(matrix)
        return LogPsi(sign, logabs + log)

    @nn.nowrap
    def exchange_ratios(self, params: Params, x: Array) -> Array:
        """psi(x') / psi(x) (up, down), positions of i up and j down exchanged."""
        ratios = self.apply(params, x, method="_exchange_ratios")
        assert isinstance(ratios, Array)
        return ratios

    def _exchange_ratios(self, x: Array) -> Array:
        n_up, tables = self.spins.up, self._tables(x)
        w = tables.spin_factor
        v = w @ jnp.asarray(self.spins.signs, x.dtype)
        # the terms s_a s_b w_ab with one of the two particles change
        change = v[:n_up, None] - v[None, n_up:] + 2 * w[:n_up, n_up:]
        factor = jnp.exp(-2 * change)
        if min(n_up, self.spins.down) == 0:
            return factor
        minors, _ = tables.minors(n_up)
        now = tables.operator(minors, tables.mixing[n_up:, :n_up])

        def then(i, j, order):
            new, scale = tables.exchanged(minors, i, j)
            u = tables.mixing[order[n_up:]][:, order[:n_up]]
            return scale * tables.operator(new, u)

        i, j, orders = _exchanges(self.spins)
        return factor * jax.vmap(jax.vmap(then))(i, j, orders) / now

    @nn.compact
    def _tables(self, x: Array) -> "Tables":
        n, d = x.shape
        check_spins(self.spins, n)
        n_up, n_down = self.spins.up, self.spins.down
        if self.pairing and n_down > n_up:
            raise ValueError(
                f"spins must have up >= down for pairing=True, got {self.spins}"
            )
        phases = joined_waves(self.box, x)
        all_features = periodic_pairs(self.box, self.ranges)(phases)
        even_features = periodic_pairs(self.box, self.ranges, odd=False)(phases)
        h = message_passing(self)(jnp.ones((n, 1), x.dtype), all_features)
        q = x + zero_dense(d, x)(h)
        logabs = jnp.sum(zero_dense(1, x)(h))
        hidden = nn.Dense(self.width // 2, param_dtype=x.dtype)(by_one(even_features))
        hidden = named_activation(self.activation)(hidden)
        apart = jnp.asarray(1 - np.eye(n), x.dtype)
        spin_factor = apart * by_both(zero_dense(1, x)(hidden))[:, :, 0]

        def of_pairs():
            near = different_factors(self.channels, h)
            g = zero_dense(self.channels, x)(hidden)
            return pair_products(near, g)

        if not self.pairing:
            factors = 1 + zero_dense(max(n_up, n_down), x, bias=True)(h)
            both = tuple(waves(q, self.box, m, factors) for m in (n_up, n_down))
            return Tables(both, None, spin_factor, of_pairs(), logabs)
        m = self.box.closed_shell(n_up)  # with fewer waves psi would vanish
        paired = waves(q, self.box, m, 1 + zero_dense(m, x, bias=True)(h))
        start, shell = _shell_weights(m, self.box, n_down)
        c = self.param("weights", lambda _: jnp.asarray(start, x.dtype))[shell]
        pairs = (c[None] * paired) @ paired.T + of_pairs()
        unpaired = (waves(q, self.box, n_up - n_down),)
        return Tables(unpaired, pairs, spin_factor, of_pairs(), logabs)


class Tables(NamedTuple):
    """The parts of psi, all of them independent of spin."""

    # (n, n_up), (n, n_down); of unpaired in a pairing state
    orbitals: tuple[Array, ...]
    pairs: Array | None  # phi (n, n) in a pairing state
    spin_factor: Array  # w (n, n)
    mixing: Array  # u (n, n) of the singlet operator
    logabs: Array  # () the remaining part of log|psi|

    def matrices(self, n_up: int) -> list[Array]:
        """Of a pairing state one matrix (n_up, n_up), else one for each spin."""
        if self.pairs is None:
            up, down = self.orbitals
            return [up[:n_up], down[n_up:]]
        (unpaired,) = self.orbitals
        return [jnp.concatenate([self.pairs[:n_up, n_up:], unpaired[:n_up]], axis=1)]

    def mixed(self, n_up: int) -> LogPsi:
        """The operator of singlets on determinants, of pairs or of orbitals."""
        minors, (sign, logabs) = self.minors(n_up)
        mixed = self.operator(minors, self.mixing[n_up:, :n_up])
        return LogPsi(sign * jnp.sign(mixed), logabs + jnp.log(jnp.abs(mixed)))

    def minors(self, n_up: int) -> tuple[tuple[Table, ...], LogPsi]:
        """Tables of minors, one of pairs or two of orbitals, and the determinants."""
        phi = self.pairs
        if phi is None:
            up, down = self.orbitals
            of_up, (sign, logabs) = row_table(up[n_up:], up[:n_up])
            of_down, det = row_table(down[:n_up], down[n_up:])
            return (of_up, of_down), LogPsi(sign * det.sign, logabs + det.logabs)
        (matrix,) = self.matrices(n_up)
        rows = jnp.concatenate([phi[n_up:, n_up:], self.orbitals[0][n_up:]], axis=1)
        corner = phi[n_up:, :n_up]
        table, det = pair_table(matrix, rows, phi[:n_up, :n_up], corner)
        return (table,), det

    def operator(self, minors: tuple[Table, ...], u: Array) -> Array:
        """The operator over the determinants, times the fractions of their tables."""
        if self.pairs is None:
            of_up, of_down = minors
            return mixed_orbitals(u, of_up, of_down.transposed)
        return mixed_pairs(u, *minors)

    def exchanged(
        self, minors: tuple[Table, ...], i: Array, j: Array
    ) -> tuple[tuple[Table, ...], Array]:
        """Tables after the exchange of i up and j down, and the scale () of psi."""
        if self.pairs is not None:
            (table,) = minors
            new, scale = exchanged(table, 2, j, i)
            return (new,), scale
        of_up, scale = exchanged(minors[0], 1, j, i)
        of_down, other = exchanged(minors[1], 1, i, j)
        return (of_up, of_down), scale * other


def waves(q: Array, box: Box, m: int, factors: Array | None = None) -> Array:
    """The m lowest plane waves (n, m) at q (n, d), times factors (n, m or more)."""
    if m == 0:
        return jnp.zeros((len(q), 0), q.dtype)
    own = None if factors is None else factors[None, :, :m]
    return plane_waves(q, own, box, None, m)[0]


def _shell_weights(m: int, box: Box, n_down: int) -> tuple[np.ndarray, np.ndarray]:
    """First weights (shells,) of m plane waves, and the shell (m,) of each wave."""
    squares = np.sum(real_wave_vectors(m, box) ** 2, axis=1)
    size = squares.max() or 1.0
    shells, shell = np.unique(np.round(squares / size, 9), return_inverse=True)
    open_shell = (np.arange(len(shells)) == len(shells) - 1) & (m > n_down)
    return np.where(open_shell, OPEN_SHELL, 1.0), shell


def _exchanges(spins: Spins) -> tuple[Array, Array, Array]:
    """Numbers i and j (up, down) of each spin, and all particles (..., n) in order."""
    orders = np.tile(np.arange(spins.n), (spins.up, spins.down, 1))
    i, j = spins.opposite_pairs
    for index in np.ndindex(i.shape):
        orders[index][[i[index], j[index]]] = j[index], i[index]
    return jnp.asarray(i), jnp.asarray(j - spins.up), jnp.asarray(orders)

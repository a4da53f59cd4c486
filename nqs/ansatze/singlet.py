"""Spin-independent backflow, for forces that exchange spins.

A network that treats all particles alike makes an exchange of two positions an
exchange of two rows of a table of orbitals: psi with any two spins exchanged needs no
new evaluation of the network. Such determinants of closed shells, or of pairs in a
symmetric pair function, are singlets. Only a factor of pairs depends on spins,

    exp(sum_{a<b} s_a s_b w(r_ab)),    s = 1 for up and -1 for down,

which distinguishes opposite from equal spins.

A force on singlets acts on the even part of a pair's motion alone, which no factor of
psi separates from the odd part. The projector on singlets Q_ij = (1 - P_ij) / 2, with
P_ij the exchange of both spins, does: determinants D become

    (1 + sum_{i<j} u_ij Q_ij + 1/2 sum u_ij u_kl Q_ij Q_kl) D,

the last sum over pairs without a common particle (`singlet_operator`). The operator
is a scalar of spin, and keeps a singlet one. It is the beginning of a product
of pair operators, as in the theory of nuclei (V. R. Pandharipande and R. B. Wiringa,
Rev. Mod. Phys. 51, 821 (1979)), on top of a product over all pairs, the factor above
and exp of the features of all particles. To first order it is

    (1 + sum_{i up, j down} u_ij (1 + r_ij) / 2) D

with the ratio r_ij that the exchange of two positions makes of D: equal spins drop out.

The pairing state is the determinant of phi(i, j) over i up and j down (J. P. Bouchaud,
A. Georges and C. Lhuillier, J. Phys. France 49, 553 (1988)), here with

    phi(a, b) = sum_k c_k p_k(a) p_k(b) + sum_m g_m(r_ab) f_m(h_a) f_m(h_b),

plane waves p_k at backflow coordinates and even functions g_m of the distance times
factors of both surroundings. With c_k = 1 for a closed shell and nothing else it is the
product of two Slater determinants, with which it starts.
"""

import functools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.backflow import (
    MessagePassing,
    _smooth_length,
    check_ranges,
    gaussians,
)
from nqs.ansatze.layers import check_elementwise, named_activation
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.plane_waves import plane_waves, real_wave_vectors
from nqs.ansatze.singlet_operator import (
    mixed_orbitals,
    mixed_pairs,
    pair_table,
    row_table,
)
from nqs.laplacian.pairs import relative_features
from nqs.laplacian.waves import pair_waves, squared_distance, waves
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
      ranges: of Gaussians among the features of a pair, in length units; that of the
        force is a good one.
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
        for field in ("layers", "width", "channels"):
            value = getattr(self, field)
            if not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{field} must be a positive integer, got {value!r}")
        check_ranges(self.ranges)
        check_elementwise(self.activation)

    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d).

        Raises:
          ValueError: for an open shell, or more spins down than up in a pairing state.
        """
        spins, tables = self.spins, self._tables(x)
        signs = jnp.asarray(spins.signs, x.dtype)
        logabs = tables.logabs + signs @ (tables.spin_factor @ signs) / 2
        psi = LogPsi(jnp.ones((), x.dtype), logabs)
        if min(spins.up, spins.down) > 0:
            sign, log = self._mixed(tables)
            return LogPsi(sign, logabs + log)
        for matrix in tables.matrices(spins.up):
            if matrix.size:
                sign, log = jnp.linalg.slogdet(matrix)
                psi = LogPsi(psi.sign * sign, psi.logabs + log)
        return psi

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
        # of all s_a s_b w_ab those with one of the two particles change
        change = v[:n_up, None] - v[None, n_up:] + 2 * w[:n_up, n_up:]
        factor = jnp.exp(-2 * change)
        if min(n_up, self.spins.down) == 0:
            return factor
        each = jax.vmap(jax.vmap(lambda order: self._mixed(tables.ordered(order))))
        now, then = self._mixed(tables), each(_exchanged_orders(self.spins))
        return factor * then.sign * now.sign * jnp.exp(then.logabs - now.logabs)

    @nn.nowrap
    def _mixed(self, tables: "Tables") -> LogPsi:
        """The operator of singlets on determinants."""
        return (self._mixed_pairs if self.pairing else self._mixed_orbitals)(tables)

    @nn.nowrap
    def _mixed_orbitals(self, tables: "Tables") -> LogPsi:
        """The operator of singlets on determinants of orbitals."""
        n_up = self.spins.up
        up, down = tables.orbitals
        of_up, det_up = row_table(up[n_up:], up[:n_up])
        of_down, det_down = row_table(down[:n_up], down[n_up:])
        u = tables.mixing[n_up:, :n_up]
        mixed = mixed_orbitals(u, of_up, of_down.transposed)
        sign = det_up.sign * det_down.sign * jnp.sign(mixed)
        logabs = det_up.logabs + det_down.logabs + jnp.log(jnp.abs(mixed))
        return LogPsi(sign, logabs)

    @nn.nowrap
    def _mixed_pairs(self, tables: "Tables") -> LogPsi:
        """The operator of singlets on a determinant of pairs."""
        n_up, phi = self.spins.up, tables.pairs
        assert phi is not None
        (matrix,) = tables.matrices(n_up)
        rows = jnp.concatenate([phi[n_up:, n_up:], tables.orbitals[0][n_up:]], axis=1)
        table, det = pair_table(matrix, rows, phi[:n_up, :n_up], phi[n_up:, :n_up])
        mixed = mixed_pairs(tables.mixing[n_up:, :n_up], table)
        return LogPsi(det.sign * jnp.sign(mixed), det.logabs + jnp.log(jnp.abs(mixed)))

    @nn.compact
    def _tables(self, x: Array) -> "Tables":
        n, d = x.shape
        check_spins(self.spins, n)
        n_up, n_down = self.spins.up, self.spins.down
        phases = jnp.concatenate(waves(self.box, x), axis=-1)
        all_features, even_features = _pair_features(self.box, self.ranges)
        passing = MessagePassing(self.layers, self.width, self.activation, True)
        h = passing(jnp.ones((n, 1), x.dtype), all_features(phases))
        f = named_activation(self.activation)

        def dense(k: int, bias: bool = False, zero: bool = True) -> nn.Dense:
            init = nn.initializers.zeros if zero else nn.initializers.lecun_normal()
            return nn.Dense(k, use_bias=bias, param_dtype=x.dtype, kernel_init=init)

        def orbitals(m, factors=None):
            if m == 0:
                return jnp.zeros((n, 0), x.dtype)
            own = None if factors is None else factors[None, :, :m]
            return plane_waves(q, own, self.box, None, m)[0]

        q = x + dense(d)(h)
        logabs = jnp.sum(dense(1)(h))
        hidden = dense(self.width // 2, bias=True, zero=False)(even_features(phases))
        hidden = f(hidden)
        apart = jnp.asarray(1 - np.eye(n), x.dtype)
        spin_factor = apart * dense(1)(hidden)[:, :, 0]

        def of_pairs():
            near = 1 + dense(self.channels, bias=True)(h)
            g = dense(self.channels)(hidden)
            return jnp.sum(g * near[:, None] * near[None], axis=-1)

        if not self.pairing:
            factors = 1 + dense(max(n_up, n_down), bias=True)(h)
            both = orbitals(n_up, factors), orbitals(n_down, factors)
            return Tables(both, None, spin_factor, of_pairs(), logabs)
        if n_down > n_up:
            raise ValueError(
                f"a pairing state needs n_up >= n_down, got {n_up} and {n_down}"
            )
        m = self.box.closed_shell(n_up)  # with fewer waves psi would vanish
        waves_of_pairs = orbitals(m, 1 + dense(m, bias=True)(h))
        start, shell = _shell_weights(m, self.box, n_down)
        c = self.param("weights", lambda _: jnp.asarray(start, x.dtype))[shell]
        pairs = (c[None] * waves_of_pairs) @ waves_of_pairs.T + of_pairs()
        unpaired = (orbitals(n_up - n_down),)
        return Tables(unpaired, pairs, spin_factor, of_pairs(), logabs)


class Tables(NamedTuple):
    """The parts of psi, all of them independent of spin.

    Attributes:
      orbitals: of each spin at all particles, (n, n_up) and (n, n_down); in a pairing
        state those of the unpaired (n, n_up - n_down).
      pairs: in a pairing state the function phi (n, n) of two particles.
      spin_factor: w (n, n).
      mixing: u (n, n) of the operator on determinants.
      logabs: () the remaining part of log|psi|.
    """

    orbitals: tuple[Array, ...]
    pairs: Array | None
    spin_factor: Array
    mixing: Array
    logabs: Array

    def matrices(self, n_up: int) -> list[Array]:
        """Of a pairing state one matrix (n_up, n_up), else one for each spin."""
        if self.pairs is None:
            up, down = self.orbitals
            return [up[:n_up], down[n_up:]]
        (unpaired,) = self.orbitals
        return [jnp.concatenate([self.pairs[:n_up, n_up:], unpaired[:n_up]], axis=1)]

    def ordered(self, order: Array) -> "Tables":
        """The tables for another order (n,) of the particles, same spin factor."""
        return self._replace(
            orbitals=tuple(table[order] for table in self.orbitals),
            pairs=None if self.pairs is None else self.pairs[order][:, order],
            mixing=self.mixing[order][:, order],
        )


def _shell_weights(m: int, box: Box, n_down: int) -> tuple[np.ndarray, np.ndarray]:
    """First weights (shells,) of m plane waves, and the shell (m,) of each wave.

    One weight per shell, so that none of its waves is preferred.
    """
    squares = np.sum(real_wave_vectors(m, box) ** 2, axis=1)
    size = squares.max() or 1.0
    shells, shell = np.unique(np.round(squares / size, 9), return_inverse=True)
    open_shell = (np.arange(len(shells)) == len(shells) - 1) & (m > n_down)
    return np.where(open_shell, OPEN_SHELL, 1.0), shell


def _exchanged_orders(spins: Spins) -> Array:
    """Particles (up, down, n) in order, with i up and j down exchanged."""
    orders = np.tile(np.arange(spins.n), (spins.up, spins.down, 1))
    i, j = spins.opposite_pairs
    for index in np.ndindex(i.shape):
        orders[index][[i[index], j[index]]] = j[index], i[index]
    return jnp.asarray(orders)


@functools.cache
def _pair_features(box: Box, ranges: tuple[float, ...]) -> tuple[Callable, Callable]:
    """Features of pairs: all (n, n, 2 d + 1 + k), and the even ones without the sines.

    Sin and 1 - cos of the phases of the displacement, sqrt(1 + r^2) - 1 and
    exp(-r^2 / range^2) of the periodic distance.
    """

    def of_pairs(one: Array, other: Array, odd: bool) -> Array:
        pair = pair_waves(one, other)
        square = jax.lax.optimization_barrier(squared_distance(box, pair))
        near = gaussians(square, ranges)
        even = [2 * pair.sin * pair.sin, _smooth_length(square), *near]
        sines = [2 * pair.sin * pair.cos] if odd else []
        return jnp.concatenate([*sines, *even], axis=-1)

    whole, even = (partial(of_pairs, odd=odd) for odd in (True, False))
    return relative_features(whole), relative_features(even)

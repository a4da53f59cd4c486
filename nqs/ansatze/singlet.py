"""Backflow that knows no spins, for forces that exchange them.

A network that sees all particles alike makes orbitals that change places with them: an
exchange of two positions is an exchange of two rows of a table, and psi with any two
spins exchanged costs no new network. Such determinants of closed shells, or of pairs in
a symmetric pair function, are singlets. What depends on spins is a factor of pairs,

    exp(sum_{a<b} s_a s_b w(r_ab)),    s = 1 for up and -1 for down,

which tells opposite from equal spins.

Only the even part of a pair's motion feels a force on singlets, and no factor of psi
tells it from the odd part. With Q_ij = (1 - P_ij) / 2 the projector on singlets, P_ij
the exchange of both spins, the determinants D of orbitals become

    (1 + sum_{i<j} u_ij Q_ij) D = (1 + sum_{i up, j down} u_ij (1 + r_ij) / 2) D,

where r_ij is the ratio that the exchange of two positions makes of D, and equal spins
drop out. The operator is a scalar of spin, and keeps a singlet one. It is the first
order of the product of pair operators in the theory of nuclei (V. R. Pandharipande and
R. B. Wiringa, Rev. Mod. Phys. 51, 821 (1979)), on top of a product over all pairs, the
factor above and exp of the features of all particles.

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
from nqs.ansatze.ffnn import check_elementwise, named_activation
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.plane_waves import plane_waves, real_wave_vectors
from nqs.box import Box, pair_waves
from nqs.pairs import relative_features
from nqs.types import LogPsi, Params

OPEN_SHELL = 0.3  # first weight of the waves of an open shell in a pair


class SingletBackflow(LayerwiseDerivatives, nn.Module):
    """Determinants of particles in a box whose backflow knows no spins.

    Attributes:
      n_up: the first n_up particles have spin up, the others down.
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
      ValueError: for sizes that are no positive integers, ranges that are not positive.
    """

    n_up: int
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
        n_up, n = self.n_up, x.shape[0]
        tables = self._tables(x)
        signs = spin_signs(n, n_up, x.dtype)
        logabs = tables.logabs + signs @ (tables.spin_factor @ signs) / 2
        psi = LogPsi(jnp.ones((), x.dtype), logabs)
        if min(n_up, n - n_up) > 0:
            if self.pairing:
                return self._sum_of_pairings(tables, logabs)
            mixed = self._mixed(tables)[0]
            psi = LogPsi(jnp.sign(mixed), logabs + jnp.log(jnp.abs(mixed)))
        for matrix in tables.matrices(n_up):
            if matrix.size:
                sign, log = jnp.linalg.slogdet(matrix)
                psi = LogPsi(psi.sign * sign, psi.logabs + log)
        return psi

    @nn.nowrap
    def exchange_ratios(self, params: Params, x: Array) -> Array:
        """psi(x') / psi(x) (n_up, n_down), positions of i up and j down exchanged."""
        ratios = self.apply(params, x, method="_exchange_ratios")
        assert isinstance(ratios, Array)
        return ratios

    def _exchange_ratios(self, x: Array) -> Array:
        n_up, n = self.n_up, x.shape[0]
        tables = self._tables(x)
        w = tables.spin_factor
        v = w @ spin_signs(n, n_up, x.dtype)
        # of all s_a s_b w_ab those change that know one of the two
        change = v[:n_up, None] - v[None, n_up:] + 2 * w[:n_up, n_up:]
        factor = jnp.exp(-2 * change)
        if min(n_up, n - n_up) == 0:
            return factor
        if not self.pairing:
            mixed, ratios, *replaced = self._mixed(tables)
            return factor * self._exchanged(tables, ratios, *replaced) / mixed

        def determinants(order):
            mixed, matrix = self._mixed_pairs(tables.ordered(order))
            sign, log = jnp.linalg.slogdet(matrix)
            return mixed * sign, log

        now, log = determinants(jnp.arange(n))
        each = jax.vmap(jax.vmap(determinants))
        then, logs = each(_exchanged_orders(n, n_up))
        return factor * then / now * jnp.exp(logs - log)

    @nn.nowrap
    def _mixed(self, tables: "Tables") -> tuple[Array, ...]:
        """What the operator of singlets makes of the determinants, and of what.

        Returns:
          1 + sum_ij u_ij (1 + r_ij) / 2 over i up and j down, (); the ratios r (n_up,
          n_down) of exchanges; and rows x of the two matrices in terms of the rows of
          the spin, (n, n_up) and (n, n_down): a determinant whose row s becomes x is
          multiplied by element (x, s).
        """
        up, down = tables.orbitals
        n_up, u = self.n_up, tables.mixing
        of_up, of_down = (
            up @ jnp.linalg.inv(up[:n_up]),
            down @ jnp.linalg.inv(down[n_up:]),
        )
        ratios = of_up[n_up:].T * of_down[:n_up]
        mixed = 1 + jnp.sum(u[:n_up, n_up:] * (1 + ratios)) / 2
        return mixed, ratios, of_up, of_down

    @nn.nowrap
    def _sum_of_pairings(self, tables: "Tables", logabs: Array) -> LogPsi:
        """The operator on a determinant of pairs, as a sum of exchanged determinants.

        The first determinant is nothing special in this sum: psi is smooth where it
        vanishes, and so are the derivatives.
        """
        n_up, u, n = self.n_up, tables.mixing, len(tables.mixing)
        orders = _exchanged_orders(n, n_up).reshape(-1, n)
        orders = jnp.concatenate([jnp.arange(n)[None], orders])
        matrices = jax.vmap(lambda order: tables.ordered(order).matrices(n_up)[0])
        signs, logs = jnp.linalg.slogdet(matrices(orders))
        of_pairs = u[:n_up, n_up:].reshape(-1) / 2
        weights = jnp.concatenate([1 + jnp.sum(of_pairs, keepdims=True), of_pairs])
        largest = jax.lax.stop_gradient(jnp.max(logs))
        total = jnp.sum(weights * signs * jnp.exp(logs - largest))
        return LogPsi(jnp.sign(total), logabs + largest + jnp.log(jnp.abs(total)))

    @nn.nowrap
    def _mixed_pairs(self, tables: "Tables") -> tuple[Array, Array]:
        """What the operator of singlets makes of a determinant of pairs, and of what.

        An exchange of i and j replaces row i and column j of the matrix M. Of the new
        row alone the determinant gets a factor t, of the new column alone s, of both

            r_ij = t s + (M^-1)_ji (phi(j, i) - sum_ab phi(j, a) (M^-1)_ab phi(b, i)),

        since their common element is phi(j, i). Where det M vanishes the terms of r
        cancel: its derivatives would be wrong there, its values are not.

        Returns:
          1 + sum_ij u_ij (1 + r_ij) / 2 over i up and j down, (), and M (n_up, n_up).
        """
        n_up, u, phi = self.n_up, tables.mixing, tables.pairs
        assert phi is not None
        n_down = len(phi) - n_up
        (matrix,) = tables.matrices(n_up)
        inverse = jnp.linalg.inv(matrix)
        columns = phi[:n_up, :n_up]
        rows = jnp.concatenate([phi[n_up:, n_up:], tables.orbitals[0][n_up:]], axis=1)
        t = rows @ inverse
        s = (inverse @ columns)[:n_down]
        ratios = t * s + inverse[:n_down] * (phi[n_up:, :n_up] - t @ columns)
        return 1 + jnp.sum(u[n_up:, :n_up] * (1 + ratios)) / 2, matrix

    @nn.nowrap
    def _exchanged(
        self, tables: "Tables", ratios: Array, of_up: Array, of_down: Array
    ) -> Array:
        """The same after each exchange, times its ratio, (n_up, n_down).

        A row that was replaced changes the others by a matrix of rank one. Times the
        ratio there is no division by a number that may vanish.
        """
        n_up, n, u = self.n_up, len(of_up), tables.mixing

        def after(a, b, order):
            ups, downs = order[:n_up], order[n_up:]

            def rows(t, new, slot, at):  # those of `at` after slot became `new`
                tilt = t[new] - jax.nn.one_hot(slot, t.shape[1], dtype=t.dtype)
                return t[new, slot] * t[at] - t[at, slot][:, None] * tilt[None]

            into_up = rows(of_up, n_up + b, a, downs)  # (n_down, n_up)
            into_down = rows(of_down, a, b, ups)  # (n_up, n_down)
            both = ratios[a, b] + into_up.T * into_down
            return ratios[a, b] + jnp.sum(u[ups][:, downs] * both) / 2

        each = jax.vmap(jax.vmap(after, (None, 0, 0)), (0, None, 0))
        orders = _exchanged_orders(n, n_up)
        return each(jnp.arange(n_up), jnp.arange(n - n_up), orders)

    @nn.compact
    def _tables(self, x: Array) -> "Tables":
        n, d = x.shape
        n_down = n - self.n_up
        waves = jnp.concatenate(self.box.waves(x), axis=-1)
        all_features, even_features = _pair_features(self.box, self.ranges)
        passing = MessagePassing(self.layers, self.width, self.activation, True)
        h = passing(jnp.ones((n, 1), x.dtype), all_features(waves))
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
        hidden = dense(self.width // 2, bias=True, zero=False)(even_features(waves))
        hidden = f(hidden)
        apart = jnp.asarray(1 - np.eye(n), x.dtype)
        spin_factor = apart * dense(1)(hidden)[:, :, 0]

        def of_pairs():
            near = 1 + dense(self.channels, bias=True)(h)
            g = dense(self.channels)(hidden)
            return jnp.sum(g * near[:, None] * near[None], axis=-1)

        if not self.pairing:
            factors = 1 + dense(max(self.n_up, n_down), bias=True)(h)
            both = orbitals(self.n_up, factors), orbitals(n_down, factors)
            return Tables(both, None, spin_factor, of_pairs(), logabs)
        if n_down > self.n_up:
            raise ValueError(
                f"a pairing state needs n_up >= n_down, got {self.n_up} and {n_down}"
            )
        m = self.box.closed_shell(max(1, n_down))
        waves_of_pairs = orbitals(m, 1 + dense(m, bias=True)(h))
        # a weight for every shell, so that none of its waves is preferred
        squares = np.sum(real_wave_vectors(m, self.box) ** 2, axis=1)
        size = squares.max() or 1.0
        shells, shell = np.unique(np.round(squares / size, 9), return_inverse=True)
        open_shell = (np.arange(len(shells)) == len(shells) - 1) & (m > n_down)
        start = jnp.asarray(np.where(open_shell, OPEN_SHELL, 1.0), x.dtype)
        c = self.param("weights", lambda _: start)[shell]
        pairs = (c[None] * waves_of_pairs) @ waves_of_pairs.T + of_pairs()
        unpaired = (orbitals(self.n_up - n_down),)
        return Tables(unpaired, pairs, spin_factor, of_pairs(), logabs)


class Tables(NamedTuple):
    """What psi is made of, all of it blind to spins.

    Attributes:
      orbitals: of each spin at all particles, (n, n_up) and (n, n_down); in a pairing
        state those of the unpaired (n, n_up - n_down).
      pairs: in a pairing state the function phi (n, n) of two particles.
      spin_factor: w (n, n).
      mixing: u (n, n) of the operator on determinants.
      logabs: () what log|psi| has besides.
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
        """Those of the particles in another order (n,), factors of psi left alone."""
        return self._replace(
            orbitals=tuple(table[order] for table in self.orbitals),
            pairs=None if self.pairs is None else self.pairs[order][:, order],
            mixing=self.mixing[order][:, order],
        )


def spin_signs(n: int, n_up: int, dtype) -> Array:
    """1 for the first n_up of n particles, -1 for the others."""
    return jnp.asarray(np.where(np.arange(n) < n_up, 1.0, -1.0), dtype)


def _exchanged_orders(n: int, n_up: int) -> Array:
    """Particles (n_up, n_down, n) in order, with i up and j down exchanged."""
    orders = np.tile(np.arange(n), (n_up, n - n_up, 1))
    for i, j in np.ndindex(n_up, n - n_up):
        orders[i, j, [i, n_up + j]] = n_up + j, i
    return jnp.asarray(orders)


@functools.cache
def _pair_features(box: Box, ranges: tuple[float, ...]) -> tuple[Callable, Callable]:
    """Features of pairs: all (n, n, 2 d + 1 + k), and the even ones without the sines.

    Sin and 1 - cos of the phases of the displacement, sqrt(1 + r^2) - 1 and
    exp(-r^2 / range^2) of the periodic distance.
    """

    def of_pairs(one: Array, other: Array, odd: bool) -> Array:
        pair = pair_waves(one, other)
        square = jax.lax.optimization_barrier(box.squared_distance(pair))
        near = gaussians(square, ranges)
        even = [2 * pair.sin * pair.sin, _smooth_length(square), *near]
        sines = [2 * pair.sin * pair.cos] if odd else []
        return jnp.concatenate([*sines, *even], axis=-1)

    whole, even = (partial(of_pairs, odd=odd) for odd in (True, False))
    return relative_features(whole), relative_features(even)

"""The restricted Boltzmann machine of lattice sites."""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.log_derivatives import of_layer, of_parameter
from nqs.ansatze.site_features import check_integers, n_features, product, site_features
from nqs.capabilities import OuterProducts
from nqs.space.lattice import Lattice
from nqs.types import LogPsi, Params


class Machine(NamedTuple):
    """Parameters as numbers of psi, real or complex, with s sites and f features.

    Attributes:
      visible: (s, f).
      hidden: (m,).
      weights: (s, f, m).
    """

    visible: Array
    hidden: Array
    weights: Array


class Tables(NamedTuple):
    """Changes of one site, shared by all walkers.

    With two levels the step from level 0 to 1: bias (s,) and theta (s, m). With q
    levels the steps from each level to each other: (s, q, q) and (s, q, q, m).
    """

    machine: Machine
    bias: Array
    theta: Array
    grow: Array  # exp(theta)
    shrink: Array  # exp(-theta)
    moderate: Array  # () whether no power of a theta overflows, in any configuration


class Hidden(NamedTuple):
    """Hidden units (m,) of one walker.

    `up` and `down` are the probabilities exp(+-theta) / 2 cosh(theta) of the hidden
    spins, so that cosh(theta + step) / cosh(theta) = exp(step) up + exp(-step) down,
    without cancellation where theta is real.
    """

    theta: Array
    up: Array
    down: Array


def hidden_units(theta: Array) -> Hidden:
    """The probabilities of the hidden spins at theta."""
    return Hidden(theta, *(1 / (1 + jnp.exp(-2 * t)) for t in (theta, -theta)))


def large_part(theta: Array) -> tuple[Array, Array]:
    """2 cosh(theta) = exp(large) small, where neither factor overflows."""
    large = jnp.where(jnp.real(theta) < 0, -theta, theta)
    return large, 1 + jnp.exp(-2 * large)


class BinaryRBM(nn.Module):
    """psi(x) = exp(sum_i a_i v_i) prod_j 2 cosh(b_j + sum_i w_ij v_i).

    The visible units v are the spins sigma^z of two levels; with more levels each site
    has one unit a level, 1 for the level that it is in and else 0. The hidden units are
    summed over in closed form.

    A change of one site adds a step to theta that depends on the site alone, so that
    ratios of psi take a table of exp(+-step) and the `Hidden` units of a walker. Where
    an exponential could overflow, they are computed from theta, which is exact for
    weights of every size and takes about four times as long.

    Attributes:
      alpha: hidden units a site; with a lattice, filters (see there).
      levels: q of each site.
      complex: complex weights, kept as pairs of real and imaginary part; psi is
        complex.
      lattice: makes psi invariant: each of alpha filters has one hidden unit for every
        translation of the lattice, with its weights shifted. None for free weights.
      point_group: one for every rotation and reflection as well.
      stddev: of the random initial weights and hidden biases.

    Raises:
      ValueError: if alpha is not positive, there are not two levels, or a point group
        is asked for without its lattice.

    Reference: G. Carleo and M. Troyer, Science 355, 602 (2017).
    """

    alpha: int = 1
    levels: int = 2
    complex: bool = False
    lattice: Lattice | None = None
    point_group: bool = False
    stddev: float = 0.02

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, alpha=1, levels=2)
        if self.point_group and self.lattice is None:
            raise ValueError("point_group needs the lattice whose group it is")

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of levels x (s,)."""
        dtype, f = jnp.result_type(float), n_features(self.levels)
        normal, zeros = nn.initializers.normal(self.stddev), nn.initializers.zeros
        pair = (2,) if self.complex else ()
        s, units = x.shape[0], self.alpha * x.shape[0]
        if self.lattice is not None:
            s, units = self.lattice.n, self.alpha
        sites = 1 if self.lattice is not None else s
        params = {
            "visible_bias": self.param("visible_bias", zeros, (*pair, sites, f), dtype),
            "hidden_bias": self.param("hidden_bias", normal, (*pair, units), dtype),
            "weights": self.param("weights", normal, (*pair, s, f, units), dtype),
        }
        return self._log_psi(self._machine(params), x)

    @nn.nowrap
    def site_tables(self, params: Params) -> Tables:
        """Steps of the visible bias and of theta for every change of one site."""
        machine = self._machine(params["params"])
        if self.levels == 2:
            bias, step = -2 * machine.visible[:, 0], -2 * machine.weights[:, 0]
        else:
            a, w = machine.visible, machine.weights
            bias = a[:, None, :] - a[:, :, None]  # to the last from the one before
            step = w[:, None] - w[:, :, None]
        reach = jnp.sum(jnp.max(jnp.abs(jnp.real(machine.weights)), axis=1), axis=0)
        reach = jnp.max(reach + jnp.abs(jnp.real(machine.hidden)))
        growth = jnp.max(jnp.sum(jnp.abs(jnp.real(step)), axis=-1))
        limit = 0.4 * math.log(float(jnp.finfo(step.dtype).max))
        moderate = jnp.maximum(reach, growth) < limit
        exponentials = jnp.exp(step), jnp.exp(-step)
        return Tables(machine, bias, step, *exponentials, moderate)

    @nn.nowrap
    def site_cache(self, tables: Tables, x: Array) -> Hidden:
        """The hidden units of one walker."""
        return hidden_units(self._theta(tables.machine, x))

    @nn.nowrap
    def site_ratios(
        self, tables: Tables, cache: Hidden, x: Array, sites: Array, values: Array
    ) -> Array:
        """(c,) ratios for changes (c, k)."""

        def quick(sites, values):
            return self._quick_move(tables, cache, x, sites, values)[0]

        def exact(sites, values):
            return self._exact_move(tables, cache, x, sites, values)[0]

        return jax.lax.cond(
            tables.moderate, jax.vmap(quick), jax.vmap(exact), sites, values
        )

    @nn.nowrap
    def site_move(
        self, tables: Tables, cache: Hidden, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Hidden]:
        """The ratio () of one change (k,), and the hidden units after it."""
        moves = self._quick_move, self._exact_move
        return jax.lax.cond(tables.moderate, *moves, tables, cache, x, sites, values)

    @nn.nowrap
    def _quick_move(
        self, tables: Tables, cache: Hidden, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Hidden]:
        """The same from tables of exponentials."""
        log_visible, (theta, up, down) = jnp.zeros((), cache.theta.dtype), cache
        for k in range(sites.shape[0]):
            site, old, new = sites[k], x[sites[k]], values[k]
            if self.levels == 2:
                step = (new - old).astype(jnp.real(theta).dtype)  # 0, 1 or -1
                log_visible = log_visible + step * tables.bias[site]
                grow, shrink = tables.grow[site], tables.shrink[site]
                forward = jnp.where(step > 0, grow, shrink)
                back = jnp.where(step > 0, shrink, grow)
                up = jnp.where(step == 0, up, up * forward)
                down = jnp.where(step == 0, down, down * back)
            else:
                log_visible = log_visible + tables.bias[site, old, new]
                up = up * tables.grow[site, old, new]
                down = down * tables.shrink[site, old, new]
        ratios = up + down
        moved = Hidden(theta, up / ratios, down / ratios)
        return jnp.exp(log_visible) * product(ratios), moved

    @nn.nowrap
    def _exact_move(
        self, tables: Tables, cache: Hidden, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Hidden]:
        """The same from theta, which a change adds to."""
        log_visible, theta = jnp.zeros((), cache.theta.dtype), cache.theta
        for k in range(sites.shape[0]):
            site, old, new = sites[k], x[sites[k]], values[k]
            if self.levels == 2:
                step = (new - old).astype(jnp.real(theta).dtype)
                log_visible = log_visible + step * tables.bias[site]
                theta = theta + step * tables.theta[site]
            else:
                log_visible = log_visible + tables.bias[site, old, new]
                theta = theta + tables.theta[site, old, new]
        (large, small), (large_0, small_0) = map(large_part, (theta, cache.theta))
        log_large = log_visible + jnp.sum(large - large_0)
        ratio = jnp.exp(log_large) * product(small / small_0)
        return ratio, cache._replace(theta=theta)

    @nn.nowrap
    def log_derivatives(self, params: Params, x: Array) -> tuple[OuterProducts, ...]:
        """Of the weights with the hidden biases, and of the visible biases."""
        machine = self._machine(params["params"])
        v, t = site_features(x, self.levels), jnp.tanh(self._theta(machine, x))
        if self.lattice is None:
            visible = v.reshape(1, -1)
            signals = self._by_pairs(t[None])
            weights = of_layer([visible], [signals[:, None]], bias=True)
            return weights, of_parameter(self._by_pairs(visible))
        shifted = v[np.asarray(self._group)]  # (g, s, f)
        t = t.reshape(len(shifted), self.alpha)
        by_weights = jnp.einsum("gsf,ga->sfa", shifted, t).reshape(1, -1)
        parts = by_weights, jnp.sum(t, axis=0)[None], jnp.sum(v, axis=0)[None]
        return tuple(of_parameter(self._by_pairs(part)) for part in parts)

    @nn.nowrap
    def _by_pairs(self, derivatives: Array) -> Array:
        """Of `LogPsi.parts` (k, p or 2 p) by numbers (1, p), real or complex."""
        if not self.complex:
            return derivatives
        re, im = jnp.real(derivatives), jnp.imag(derivatives)
        columns = [jnp.concatenate([re, im]), jnp.concatenate([-im, re])]
        return jnp.concatenate(columns, axis=1)

    @nn.nowrap
    def _log_psi(self, machine: Machine, x: Array) -> LogPsi:
        theta = self._theta(machine, x)
        visible = jnp.sum(machine.visible * site_features(x, self.levels))
        size = jnp.abs(jnp.real(theta))
        # |cosh(u + i y)|^2 = e^(2|u|) ((1 + e)^2 cos^2 y + (1 - e)^2 sin^2 y) / 4 with
        # e = e^(-2|u|)
        if not self.complex:
            logabs = visible + jnp.sum(size + jnp.log1p(jnp.exp(-2 * size)))
            return LogPsi(jnp.ones_like(logabs), logabs)
        small, cos, sin = jnp.exp(-2 * size), jnp.cos(theta.imag), jnp.sin(theta.imag)
        even, odd = (1 + small) * cos, (1 - small) * sin * jnp.sign(theta.real)
        logabs = jnp.sum(size + jnp.log(even**2 + odd**2) / 2) + visible.real
        phase = jnp.sum(jnp.arctan2(odd, even)) + visible.imag
        return LogPsi(jax.lax.complex(jnp.cos(phase), jnp.sin(phase)), logabs)

    @nn.nowrap
    def _theta(self, machine: Machine, x: Array) -> Array:
        features = site_features(x, self.levels).astype(machine.weights.dtype)
        return machine.hidden + jnp.tensordot(features, machine.weights, axes=2)

    @property
    def _group(self) -> np.ndarray:
        """Permutations (g, s), one for each hidden unit of a filter."""
        assert self.lattice is not None
        if self.point_group:
            return self.lattice.symmetries
        return self.lattice.translations

    @nn.nowrap
    def _machine(self, leaves: Params) -> Machine:
        """The parameters as they enter psi, those of filters spread over the sites."""
        names = ("visible_bias", "hidden_bias", "weights")
        a, b, w = (leaves[name] for name in names)
        if self.complex:
            a, b, w = (jax.lax.complex(pair[0], pair[1]) for pair in (a, b, w))
        if self.lattice is None:
            return Machine(a, b, w)
        # theta_ga = b_a + sum_i w_ia v_{g(i)}: unit (g, a) weighs site j by w_{g^-1(j)}
        back = np.argsort(self._group, axis=1)  # (g, s)
        spread = jnp.moveaxis(w[back], 0, 2)  # (s, f, g, a)
        s, f = spread.shape[:2]
        visible = jnp.broadcast_to(a, (s, f))
        hidden = jnp.tile(b, len(back))
        return Machine(visible, hidden, spread.reshape(s, f, -1))

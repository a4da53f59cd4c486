"""The restricted Boltzmann machine of lattice sites."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.cosh import exponential, large_and_small, log_product_of_cosh
from nqs.ansatze.layers import check_integers, log_psi
from nqs.ansatze.log_derivatives import of_layer, of_parameter
from nqs.ansatze.site_features import (
    n_features,
    permutations,
    product,
    products,
    reciprocal,
    site_features,
)
from nqs.capabilities import OuterProducts
from nqs.checks import positive
from nqs.space.lattice import Lattice
from nqs.types import LogPsi, Params

QUICK = 16.0  # largest |Re theta| that ratios from exponentials allow at least


class Machine(NamedTuple):
    """Real or complex parameters of s sites with f features and m hidden units."""

    visible: Array  # (s, f)
    hidden: Array  # (m,)
    weights: Array  # (s, f, m)


class Tables(NamedTuple):
    """Changes of one site from each level to each other, shared by all walkers."""

    machine: Machine
    theta: Array  # (s, q, q, m)
    bias: Array  # (s, q, q) of the visible bias, minus the sum of theta
    grow: Array  # exp(2 theta)
    moderate: Array  # () whether no power of a theta overflows, in any configuration


class Hidden(NamedTuple):
    """Hidden units (m,) with prod_j 2 cosh(theta_j) = prod_j (1 + u_j) / exp(theta_j).

    With powers that may overflow, the units are theta instead and no product is used.
    """

    units: Array  # u = exp(2 theta)
    inverse: Array  # of the products of 1 + u over blocks of units


class BinaryRBM(nn.Module):
    """psi(x) = exp(sum_i a_i v_i) prod_j 2 cosh(b_j + sum_i w_ij v_i).

    The visible units v are the spins sigma^z of two levels; with more levels each site
    has one unit a level, 1 for the level of the site and else 0. Numbers of bosons have
    the units n, log n! and 1 for n = 0, which also give rare large numbers a sensible
    psi.

    A change of one site adds a step to theta that depends on the site alone. Ratios of
    psi take a table of exp(2 step), or where that could overflow theta itself.

    Attributes:
      alpha: hidden units a site; with a lattice, filters.
      levels: q of each site.
      complex: complex weights, pairs of real and imaginary part, and a complex psi.
      lattice: psi is invariant, because each filter has one hidden unit for every
        translation, with shifted weights. None for free weights.
      point_group: also one for every rotation and reflection.
      stddev: of the random initial weights and hidden biases.
      bosons: levels are numbers of bosons; without weights psi starts as free bosons in
        one uniform orbital, prod_i 1 / sqrt(n_i!).

    Raises:
      ValueError: if alpha < 1, levels < 2, or for a point group without a lattice.

    Reference: G. Carleo and M. Troyer, Science 355, 602 (2017).
    """

    alpha: int = 1
    levels: int = 2
    complex: bool = False
    lattice: Lattice | None = None
    point_group: bool = False
    stddev: float = 0.02
    bosons: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, alpha=1, levels=2)
        positive("stddev", self.stddev, zero=True)
        if self.point_group and self.lattice is None:
            raise ValueError("point_group must be False without a lattice, got True")

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of levels x (s,)."""
        dtype, f = jnp.result_type(float), n_features(self.levels, self.bosons)
        normal = nn.initializers.normal(self.stddev)
        bias = condensate if self.bosons else nn.initializers.zeros
        pair = (2,) if self.complex else ()
        s = sites = x.shape[0]
        units = self.alpha * s
        if self.lattice is not None:
            s, sites, units = self.lattice.n, 1, self.alpha
        params = {
            "visible_bias": self.param("visible_bias", bias, (*pair, sites, f), dtype),
            "hidden_bias": self.param("hidden_bias", normal, (*pair, units), dtype),
            "weights": self.param("weights", normal, (*pair, s, f, units), dtype),
        }
        return self._log_psi(self._machine(params), x)

    def invariances(self) -> np.ndarray | None:
        """Those of the lattice; None without one."""
        return self.lattice and permutations(self.lattice, self.point_group)

    def site_tables(self, params: Params) -> Tables:
        """Steps of the visible bias and of theta for every change of one site."""
        machine = self._machine(params["params"])
        levels = self._features(jnp.arange(self.levels))  # (q, f)
        levels = levels.astype(machine.weights.dtype)
        a = machine.visible @ levels.T
        w = jnp.einsum("sfm,qf->sqm", machine.weights, levels)
        step = w[:, None] - w[:, :, None]  # from the first level to the last
        bias = a[:, None, :] - a[:, :, None] - jnp.sum(step, axis=-1)
        reach = jnp.sum(jnp.max(jnp.abs(jnp.real(machine.weights)), axis=1), axis=0)
        reach = jnp.max(reach + jnp.abs(jnp.real(machine.hidden)))
        growth = jnp.max(jnp.sum(jnp.abs(jnp.real(step)), axis=-1))
        limit = largest_log(step)
        moderate = 2 * block(step) * (2 * reach + math.log(2)) < limit
        moderate = moderate & (4 * growth < limit)  # at two sites
        return Tables(machine, step, bias, jnp.exp(2 * step), moderate)

    def site_cache(self, tables: Tables, x: Array) -> Hidden:
        """The hidden units of one walker."""
        theta = self._theta(tables.machine, x)
        units = jnp.where(tables.moderate, exponential(2 * theta), theta)
        return Hidden(units, reciprocal(products(1 + units, block(units))))

    def site_ratios(
        self, tables: Tables, cache: Hidden, x: Array, sites: Array, values: Array
    ) -> Array:
        """(c,) ratios for changes (c, k)."""

        def ratios(move):
            return jax.vmap(lambda *change: move(tables, cache, x, *change)[0])

        moves = ratios(quick_move), ratios(exact_move)
        return jax.lax.cond(tables.moderate, *moves, sites, values)

    def site_move(
        self, tables: Tables, cache: Hidden, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Hidden]:
        """The ratio () of one change (k,), and the hidden units after it."""
        moves = quick_move, exact_move
        return jax.lax.cond(tables.moderate, *moves, tables, cache, x, sites, values)

    def log_derivatives(self, params: Params, x: Array) -> tuple[OuterProducts, ...]:
        """Of the weights with the hidden biases, and of the visible biases."""
        machine = self._machine(params["params"])
        v, t = self._features(x), jnp.tanh(self._theta(machine, x))
        if self.lattice is None:
            visible = v.reshape(1, -1)
            signals = self._by_pairs(t[None])
            weights = of_layer([visible], [signals[:, None]], bias=True)
            return weights, of_parameter(self._by_pairs(visible))
        shifted = v[permutations(self.lattice, self.point_group)]  # (g, s, f)
        t = t.reshape(len(shifted), self.alpha)
        by_weights = jnp.einsum("gsf,ga->sfa", shifted, t).reshape(1, -1)
        parts = by_weights, jnp.sum(t, axis=0)[None], jnp.sum(v, axis=0)[None]
        return tuple(of_parameter(self._by_pairs(part)) for part in parts)

    def pairs(self, params: Params) -> tuple[Params, Params]:
        """Real and imaginary parts, of complex weights."""
        real, imaginary = (jax.tree.map(lambda p, i=i: p[i], params) for i in (0, 1))
        return real, imaginary

    def from_pairs(self, real: Params, imaginary: Params) -> Params:
        """Parameters of these parts."""
        return jax.tree.map(lambda *parts: jnp.stack(parts), real, imaginary)

    def _by_pairs(self, derivatives: Array) -> Array:
        """Of `LogPsi.parts` (k, p or 2 p) by numbers (1, p), real or complex."""
        if not self.complex:
            return derivatives
        re, im = jnp.real(derivatives), jnp.imag(derivatives)
        columns = [jnp.concatenate([re, im]), jnp.concatenate([-im, re])]
        return jnp.concatenate(columns, axis=1)

    def _log_psi(self, machine: Machine, x: Array) -> LogPsi:
        visible = jnp.sum(machine.visible * self._features(x))
        log = visible + log_product_of_cosh(self._theta(machine, x))
        if not self.complex:
            return LogPsi(jnp.ones_like(log), log)
        return log_psi(jnp.stack([log.real, log.imag]))

    def _features(self, x: Array) -> Array:
        return site_features(x, self.levels, self.bosons)

    def _theta(self, machine: Machine, x: Array) -> Array:
        features = self._features(x).astype(machine.weights.dtype)
        return machine.hidden + jnp.tensordot(features, machine.weights, axes=2)

    def _machine(self, leaves: Params) -> Machine:
        """The parameters as they enter psi, those of filters spread over the sites."""
        names = ("visible_bias", "hidden_bias", "weights")
        a, b, w = (leaves[name] for name in names)
        if self.complex:
            a, b, w = (jax.lax.complex(pair[0], pair[1]) for pair in (a, b, w))
        if self.lattice is None:
            return Machine(a, b, w)
        # theta_ga = b_a + sum_i w_ia v_{g(i)}: unit (g, a) weighs site j by w_{g^-1(j)}
        back = np.argsort(permutations(self.lattice, self.point_group), axis=1)
        spread = jnp.moveaxis(w[back], 0, 2)  # (s, f, g, a)
        s, f = spread.shape[:2]
        hidden = jnp.tile(b, len(back))
        return Machine(jnp.broadcast_to(a, (s, f)), hidden, spread.reshape(s, f, -1))


def condensate(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
    """Biases (..., sites, 3) of free bosons, -1/2 of the real part for log n!."""
    bias = jnp.zeros(shape, dtype)
    real = bias if len(shape) == 2 else bias[0]
    real = real.at[:, 1].set(-0.5)
    return real if len(shape) == 2 else bias.at[0].set(real)


def quick_move(
    tables: Tables, cache: Hidden, x: Array, sites: Array, values: Array
) -> tuple[Array, Hidden]:
    """The ratio () of one change (k,) and the units after it, from exponentials."""
    units, log_ratio = cache.units, jnp.zeros((), cache.units.dtype)
    for k in range(sites.shape[0]):
        change = sites[k], x[sites[k]], values[k]
        units, log_ratio = units * tables.grow[change], log_ratio + tables.bias[change]
    found = products(1 + units, block(units))
    ratio = jnp.exp(log_ratio) * product(found * cache.inverse)
    return ratio, Hidden(units, reciprocal(found))


def exact_move(
    tables: Tables, cache: Hidden, x: Array, sites: Array, values: Array
) -> tuple[Array, Hidden]:
    """The same from theta, without overflow."""
    old = theta = cache.units
    log_ratio = jnp.zeros((), theta.dtype)
    for k in range(sites.shape[0]):
        change = sites[k], x[sites[k]], values[k]
        theta, log_ratio = theta + tables.theta[change], log_ratio + tables.bias[change]
    (large, small), (large_old, small_old) = map(large_and_small, (theta, old))
    log_large = log_ratio + jnp.sum(large + theta - large_old - old)
    ratio = jnp.exp(log_large) * product(small / small_old)
    return ratio, cache._replace(units=theta)


def largest_log(units: Array) -> float:
    """Log of a number far from overflow in the precision of the units."""
    return 0.8 * math.log(float(jnp.finfo(units.dtype).max))


def block(units: Array) -> int:
    """Units in one product, a power of two: 8 in double, 1 in single precision."""
    fits = largest_log(units) / (2 * (2 * QUICK + math.log(2)))
    return 2 ** max(0, math.floor(math.log2(fits)))

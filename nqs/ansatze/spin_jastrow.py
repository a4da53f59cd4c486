"""The Jastrow factor of lattice sites: a Gaussian in their features."""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

from nqs.ansatze.layers import check_integers
from nqs.ansatze.log_derivatives import of_parameter
from nqs.ansatze.site_features import n_features, site_features
from nqs.capabilities import OuterProducts
from nqs.checks import positive
from nqs.ratios.sites import RatiosOfMoves
from nqs.types import LogPsi, Params


class Tables(NamedTuple):
    """Features (q, f) of each level, field (s, f) and symmetric pairs (s, f, s, f)."""

    features: Array
    field: Array
    pairs: Array


class SpinJastrow(RatiosOfMoves, nn.Module):
    """psi(x) = exp(sum_i a_i v_i + sum_{i<j} v_i w_ij v_j), real and positive.

    v_i is the spin sigma^z of two levels, else one unit a level, 1 for the level of
    site i.

    Attributes:
      levels: q of each site.
      stddev: of the random initial pair weights.

    Raises:
      ValueError: for fewer than two levels.
    """

    levels: int = 2
    stddev: float = 0.01

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, levels=2)
        positive("stddev", self.stddev, zero=True)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of levels x (s,)."""
        s, f, dtype = x.shape[0], n_features(self.levels), jnp.result_type(float)
        normal, zeros = nn.initializers.normal(self.stddev), nn.initializers.zeros
        field = self.param("field", zeros, (s, f), dtype)
        pairs = self.param("pairs", normal, (s * (s - 1) // 2, f, f), dtype)
        v = site_features(x, self.levels)
        sums = jnp.tensordot(_upper(pairs, s), v, axes=([2, 3], [0, 1]))
        logabs = jnp.sum((field + sums) * v)
        return LogPsi(jnp.ones_like(logabs), logabs)

    def site_tables(self, params: Params) -> Tables:
        """The pair weights as a symmetric matrix."""
        field, pairs = params["params"]["field"], params["params"]["pairs"]
        upper = _upper(pairs, len(field))
        features = site_features(jnp.arange(self.levels), self.levels)
        return Tables(features, field, upper + jnp.transpose(upper, (2, 3, 0, 1)))

    def site_cache(self, tables: Tables, x: Array) -> Array:
        """The field on each feature, field + sum_j w_ij v_j (s, f)."""
        return tables.field + jnp.tensordot(
            tables.pairs, tables.features[x], axes=([2, 3], [0, 1])
        )

    def site_move(
        self, tables: Tables, cache: Array, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Array]:
        """The ratio () of one change (k,), and the cache after it.

        log psi is linear and quadratic in the step (k, f) of the features.
        """
        step = tables.features[values] - tables.features[x[sites]]
        rows = tables.pairs[sites]  # (k, f, s, f)
        quadratic = jnp.einsum("kf,kflg,lg->", step, rows[:, :, sites], step) / 2
        ratio = jnp.exp(jnp.sum(step * cache[sites]) + quadratic)
        return ratio, cache + jnp.tensordot(step, rows, axes=2)

    def log_derivatives(self, params: Params, x: Array) -> tuple[OuterProducts, ...]:
        """The features and their products."""
        v = site_features(x, self.levels)
        return of_parameter(v[None]), of_parameter(_pair_features(v)[None])


def _upper(pairs: Array, s: int) -> Array:
    """Weights (s, f, s, f) of every two sites (p, f, f), once each.

    Their products with many v are faster than those of the features of pairs.
    """
    i, j = jnp.triu_indices(s, 1)
    matrix = jnp.zeros((s, s, *pairs.shape[1:]), pairs.dtype).at[i, j].set(pairs)
    return jnp.swapaxes(matrix, 1, 2)


def _pair_features(v: Array) -> Array:
    """Products (p, f, f) of the features (s, f) of every two sites."""
    i, j = jnp.triu_indices(v.shape[0], 1)
    return v[i][:, :, None] * v[j][:, None, :]

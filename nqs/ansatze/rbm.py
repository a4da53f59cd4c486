"""The Gaussian-binary restricted Boltzmann machine."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from nqs.ansatze.log_derivatives import of_layer, of_parameter
from nqs.capabilities import OuterProducts
from nqs.checks import positive, positives, whole
from nqs.types import LogPsi, Params


class GaussianBinaryRBM(nn.Module):
    """The marginal over binary hidden units of a Boltzmann machine, in closed form.

    log F(x) = -sum_i (x_i - a_i)^2 / (2 sigma_i^2)
               + sum_j log(1 + exp(b_j + sum_i x_i w_ij / sigma_i^2))

    with psi = F, or psi = sqrt(F) so that |psi|^2 = F is the marginal itself. In both
    cases |psi|^2 = F^k (k = 2 or 1) is the marginal of k independent hidden layers,

        h_j^(r) | x ~ Bernoulli(sigmoid(b_j + sum_i x_i w_ij / sigma_i^2)),
        x_i | h ~ Normal(a_i + sum_rj w_ij h_j^(r) / k, sigma_i^2 / k),

    from which the Gibbs sampler draws.

    Attributes:
      n_hidden: number of hidden units.
      root: psi = sqrt(F) instead of psi = F.
      sigma: width of the visible units, bohr, one or d of them; the free oscillator
        has 1/sqrt(omega) for psi = F, or 1/sqrt(2 omega) for psi = sqrt(F).
      learn_sigma: one trainable sigma a coordinate.
      stddev: of the random initial weights and hidden biases.

    Raises:
      ValueError: if n_hidden is not a positive integer, or sigma not positive.

    Reference: G. Carleo and M. Troyer, Science 355, 602 (2017); Gaussian visible units
    as in K. Cho, A. Ilin and T. Raiko, ICANN 6791, 10 (2011).
    """

    n_hidden: int = 4
    root: bool = False
    sigma: float | tuple[float, ...] = 1.0
    learn_sigma: bool = False
    stddev: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        whole("n_hidden", self.n_hidden)
        positives("sigma", self.sigma)
        positive("stddev", self.stddev, zero=True)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        normal, zeros = nn.initializers.normal(self.stddev), nn.initializers.zeros
        a = self.param("visible_bias", zeros, x.shape, x.dtype)
        b = self.param("hidden_bias", normal, (self.n_hidden,), x.dtype)
        w = self.param("weights", normal, (*x.shape, self.n_hidden), x.dtype)
        sigma = self._widths(x)
        if self.learn_sigma:
            sigma = jnp.exp(self.param("log_sigma", lambda _: jnp.log(sigma)))
        hidden = b + jnp.tensordot(x / sigma**2, w, axes=2)
        visible = -jnp.sum(((x - a) / sigma) ** 2) / 2
        log_f = visible + jnp.sum(jax.nn.softplus(hidden))
        return LogPsi(jnp.ones_like(log_f), log_f / 2 if self.root else log_f)

    def sample_hidden(self, params: Params, key: Array, x: Array) -> Array:
        """Hidden units (k, n_hidden), zero or one, given x (n, d)."""
        _, b, w, sigma = self._machine(params)
        p = jax.nn.sigmoid(b + jnp.tensordot(x / sigma**2, w, axes=2))
        shape = (1 if self.root else 2, self.n_hidden)
        return jax.random.bernoulli(key, p[None], shape).astype(x.dtype)

    def sample_visible(self, params: Params, key: Array, hidden: Array) -> Array:
        """Positions (n, d) given the hidden units (k, n_hidden)."""
        a, _, w, sigma = self._machine(params)
        k = hidden.shape[0]
        mean = a + w @ jnp.sum(hidden, axis=0) / k
        return mean + sigma / k**0.5 * jax.random.normal(key, a.shape, a.dtype)

    def log_derivatives(self, params: Params, x: Array) -> tuple[OuterProducts, ...]:
        """Of the weights with the hidden biases, of the visible biases and of sigma."""
        a, b, w, sigma = self._machine(params)
        inputs = x / sigma**2
        p = jax.nn.sigmoid(b + jnp.tensordot(inputs, w, axes=2))
        scale = 0.5 if self.root else 1.0
        derivatives = (
            of_layer([inputs.reshape(1, -1)], [scale * p[None, None]], bias=True),
            of_parameter(scale * ((x - a) / sigma**2)[None]),
        )
        if not self.learn_sigma:
            return derivatives
        by_log_sigma = ((x - a) / sigma) ** 2 - 2 * inputs * (w @ p)
        return *derivatives, of_parameter(scale * by_log_sigma[None])

    def _widths(self, x: Array) -> Array:
        """The initial sigma (n, d), for x (n, d)."""
        return jnp.broadcast_to(jnp.asarray(self.sigma, x.dtype), x.shape)

    def _machine(self, params: Params) -> tuple[Array, Array, Array, Array]:
        """Visible bias (n, d), hidden bias (h,), weights (n, d, h), sigma (n, d)."""
        leaves = params["params"]
        a = leaves["visible_bias"]
        sigma = self._widths(a)
        if self.learn_sigma:
            sigma = jnp.exp(leaves["log_sigma"])
        return a, leaves["hidden_bias"], leaves["weights"], sigma

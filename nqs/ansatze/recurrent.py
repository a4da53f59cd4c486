"""Autoregressive wave functions by a recurrent network: normalised, sampled exactly."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from nqs.ansatze.site_features import check_integers
from nqs.types import LogPsi, Params


class RecurrentGRU(nn.Module):
    """|psi(x)|^2 = prod_i p(x_i | x_0 ... x_{i-1}) with a gated recurrent unit.

    The hidden state after the first i sites gives the probabilities of the levels of
    site i, and, if asked, a phase that its level adds: psi = sqrt(p) exp(i sum phases).

    Attributes:
      n: number of sites.
      hidden: width of the hidden state.
      layers: recurrent units, one on top of the other.
      levels: q of each site.
      phase: psi is complex.

    Raises:
      ValueError: for a number out of range.

    Reference: M. Hibat-Allah et al., Phys. Rev. Research 2, 023358 (2020).
    """

    n: int
    hidden: int = 32
    layers: int = 1
    levels: int = 2
    phase: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, n=1, hidden=1, layers=1, levels=2)

    def setup(self):
        """The layers."""
        dtype = jnp.result_type(float)
        self.cells = [
            nn.GRUCell(self.hidden, param_dtype=dtype) for _ in range(self.layers)
        ]
        self.probabilities = nn.Dense(self.levels, param_dtype=dtype)
        if self.phase:
            self.phases = nn.Dense(self.levels, param_dtype=dtype)

    def __call__(self, x: Array) -> LogPsi:
        """Log psi of levels x (s,).

        Raises:
          ValueError: if there are not n sites.
        """
        if x.shape != (self.n,):
            raise ValueError(f"n={self.n} sites do not fit levels of shape {x.shape}")
        before = jnp.concatenate([jnp.full(1, -1, x.dtype), x[:-1]])
        _, (logs, phases) = self._scan(before)
        picked = jnp.arange(self.n), x
        logabs = jnp.sum(logs[picked]) / 2
        if not self.phase:
            return LogPsi(jnp.ones_like(logabs), logabs)
        angle = jnp.sum(phases[picked])
        return LogPsi(jax.lax.complex(jnp.cos(angle), jnp.sin(angle)), logabs)

    def _scan(self, before: Array):
        """Log-probabilities and phases (s, q) after each of the levels before."""
        carry = self.start()

        def step(module, carry, level):
            return module.next(carry, level)

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        return scan(self, carry, before)

    def start(self) -> tuple[Array, ...]:
        """The hidden states before the first site."""
        return (jnp.zeros(self.hidden, jnp.result_type(float)),) * self.layers

    def next(self, carry: tuple[Array, ...], level: Array):
        """The states after a level, -1 for none, and what they say of the next site."""
        h = jax.nn.one_hot(level, self.levels, dtype=jnp.result_type(float))
        states = []
        for cell, state in zip(self.cells, carry, strict=True):
            state, h = cell(state, h)
            states.append(state)
        logs = jax.nn.log_softmax(self.probabilities(h))
        phases = self.phases(h) if self.phase else jnp.zeros_like(logs)
        return tuple(states), (logs, phases)

    @nn.nowrap
    def sample(self, params: Params, key: Array) -> Array:
        """Levels (s,) drawn from |psi|^2, site by site."""

        def step(carry, key):
            states, level = carry
            found: Any = self.apply(params, states, level, method="next")
            states, (logs, _) = found
            level = jax.random.categorical(key, logs)
            return (states, level), level

        start = self.start(), jnp.full((), -1, int)
        _, levels = jax.lax.scan(step, start, jax.random.split(key, self.n))
        return levels

"""Autoregressive wave functions by a recurrent network: normalised, sampled exactly."""

import math
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
      cyclic: |psi|^2 does not change if all levels go up by one, q - 1 to 0: the first
        site is in any level, and the others are told relative to it. For models that
        know no level from another, whose ordered states one network would not find
        all.
      fixed: how many sites are in each level, (q,); psi vanishes elsewhere, and levels
        that are used up have no probability. A conserved magnetisation, say. None for
        any number.

    Raises:
      ValueError: for a number out of range, or a cyclic psi of fixed numbers.

    Reference: M. Hibat-Allah et al., Phys. Rev. Research 2, 023358 (2020).
    """

    n: int
    hidden: int = 32
    layers: int = 1
    levels: int = 2
    phase: bool = False
    cyclic: bool = False
    fixed: tuple[int, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, n=1, hidden=1, layers=1, levels=2)
        if self.fixed is None:
            return
        if (
            len(self.fixed) != self.levels
            or sum(self.fixed) != self.n
            or not all(isinstance(m, int) and m >= 0 for m in self.fixed)
        ):
            raise ValueError(
                f"fixed must say how many of {self.n} sites are in each of "
                f"{self.levels} levels, got {self.fixed!r}"
            )
        if self.cyclic:
            raise ValueError("a cyclic psi knows no level from another to be fixed")

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
        if self.cyclic:
            x = (x - x[0]) % self.levels
        before = jnp.concatenate([jnp.full(1, -1, x.dtype), x[:-1]])
        _, (logs, phases) = self._scan(before)
        picked = jnp.arange(self.n), x
        logs = logs[picked]
        if self.cyclic:
            logs = logs.at[0].set(-math.log(self.levels))
        logabs = jnp.sum(logs) / 2
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

    def start(self) -> tuple[Array, tuple[Array, ...]]:
        """How many sites may take each level (q,), and the first hidden states."""
        left = self.fixed or (self.n,) * self.levels
        states = (jnp.zeros(self.hidden, jnp.result_type(float)),) * self.layers
        return jnp.asarray(left), states

    def next(self, carry: tuple[Array, tuple[Array, ...]], level: Array):
        """What is left after a level, -1 for none, and what that says of the next."""
        left, before = carry
        h = jax.nn.one_hot(level, self.levels, dtype=jnp.result_type(float))
        left = left - h.astype(left.dtype)
        states = []
        for cell, state in zip(self.cells, before, strict=True):
            state, h = cell(state, h)
            states.append(state)
        scores = jnp.where(left > 0, self.probabilities(h), -jnp.inf)
        logs = jax.nn.log_softmax(scores)
        phases = self.phases(h) if self.phase else jnp.zeros_like(logs)
        return (left, tuple(states)), (logs, phases)

    @nn.nowrap
    def sample(self, params: Params, key: Array) -> Array:
        """Levels (s,) drawn from |psi|^2, site by site."""

        def step(carry, key):
            before, level = carry
            found: Any = self.apply(params, before, level, method="next")
            after, (logs, _) = found
            level = jax.random.categorical(key, logs)
            return (after, level), level

        start = self.start(), jnp.full((), -1, int)
        if not self.cyclic:
            return jax.lax.scan(step, start, jax.random.split(key, self.n))[1]
        key_first, *keys = jax.random.split(key, self.n)
        first = jax.random.randint(key_first, (), 0, self.levels)
        (after, _), _ = step(start, key_first)
        zero = jnp.zeros((), int)
        if self.n == 1:
            return first[None]
        _, others = jax.lax.scan(step, (after, zero), jnp.stack(keys))
        return (first + jnp.concatenate([zero[None], others])) % self.levels

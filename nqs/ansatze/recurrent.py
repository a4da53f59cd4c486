"""Autoregressive wave functions by a recurrent network: normalized, sampled exactly."""

import math
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.layers import check_integers, log_psi
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.types import LogPsi, Params


class Carry(NamedTuple):
    """State carried from one site to the next."""

    left: Array  # (q,) remaining sites of each level
    seen: Array  # (window,) last levels, the latest first; -1 before the first site
    states: tuple[Array, ...]  # (hidden,) of each layer


class RecurrentGRU(LayerwiseDerivatives, nn.Module):
    """|psi(x)|^2 = prod_i p(x_i | x_0 ... x_{i-1}) with a gated recurrent unit.

    The hidden state after the first i sites determines the probabilities of the levels
    of site i, and optionally their phases: psi = sqrt(p) exp(i sum phases).

    Attributes:
      n: number of sites.
      hidden: width of the hidden state.
      window: last sites in the input of a step, in two dimensions perhaps a row.
      layers: recurrent units, one on top of the other.
      levels: q of each site.
      phase: psi is complex.
      cyclic: |psi|^2 is invariant if all levels go up by one, q - 1 to 0, with levels
        relative to that of the first site. Without it training can find a single one
        of several ordered states.
      fixed: number of sites in each level, (q,), for a conserved magnetization; psi
        vanishes elsewhere. None for any number.

    Raises:
      ValueError: for a number out of range, or a cyclic psi of fixed numbers.

    References: K. Cho et al., EMNLP 2014, for the unit; M. Hibat-Allah et al., Phys.
    Rev. Research 2, 023358 (2020).
    """

    n: int
    hidden: int = 32
    window: int = 1
    layers: int = 1
    levels: int = 2
    phase: bool = False
    cyclic: bool = False
    fixed: tuple[int, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        check_integers(self, n=1, hidden=1, window=1, layers=1, levels=2)
        if self.fixed is None:
            return
        if (
            len(self.fixed) != self.levels
            or sum(self.fixed) != self.n
            or not all(isinstance(m, int) and m >= 0 for m in self.fixed)
        ):
            raise ValueError(
                f"fixed must be {self.levels} numbers of sites with sum {self.n}, got "
                f"{self.fixed!r}"
            )
        if self.cyclic:
            raise ValueError("cyclic must be False where fixed is set, got cyclic=True")

    def setup(self):
        """The layers."""
        dtype = jnp.result_type(float)
        dense = partial(nn.Dense, param_dtype=dtype)
        recurrent = partial(dense, kernel_init=nn.initializers.orthogonal())
        self.inputs = [dense(3 * self.hidden) for _ in range(self.layers)]
        self.memories = [recurrent(3 * self.hidden) for _ in range(self.layers)]
        self.probabilities = dense(self.levels)
        if self.phase:
            self.phases = dense(self.levels)

    def __call__(self, x: Array) -> LogPsi:
        """Log psi of levels x (s,).

        Raises:
          ValueError: if there are not n sites.
        """
        if x.shape != (self.n,):
            raise ValueError(f"x must have shape ({self.n},), got {x.shape}")
        if self.cyclic:
            x = (x - x[0]) % self.levels
        padded = jnp.concatenate([jnp.full(self.window, -1, x.dtype), x])
        sites, back = np.arange(self.n), np.arange(self.window)
        seen = padded[sites[:, None] + self.window - 1 - back[None, :]]
        logs, phases = self._scan(seen)
        logs = logs[sites, x]
        if self.cyclic:
            logs = logs.at[0].set(-math.log(self.levels))
        logabs = jnp.sum(logs)[None] / 2
        if not self.phase:
            return log_psi(logabs)
        return log_psi(jnp.append(logabs, jnp.sum(phases[sites, x])))

    def _scan(self, seen: Array) -> tuple[Array, Array]:
        """Log-probabilities and phases (s, q) after each of the levels seen (s, w)."""
        gates = self.inputs[0](self._features(seen))  # of all sites at once
        start = self.start()

        def step(module, carry, given):
            *carry, found = module.advance(*carry, *given)
            return tuple(carry), found

        scan = nn.scan(step, variable_broadcast="params", split_rngs={"params": False})
        return scan(self, (start.left, start.states), (seen[:, 0], gates))[1]

    def start(self) -> Carry:
        """Before the first site."""
        left = self.fixed or (self.n,) * self.levels
        states = (jnp.zeros(self.hidden, jnp.result_type(float)),) * self.layers
        return Carry(jnp.asarray(left), jnp.full(self.window, -1), states)

    def next(self, carry: Carry, level: Array) -> tuple[Carry, tuple[Array, Array]]:
        """The carry after a level, -1 for none, and log-probabilities and phases."""
        seen = jnp.concatenate([level[None].astype(carry.seen.dtype), carry.seen[:-1]])
        gates = self.inputs[0](self._features(seen))
        left, states, found = self.advance(carry.left, carry.states, level, gates)
        return Carry(left, seen, states), found

    def advance(
        self, left: Array, states: tuple[Array, ...], level: Array, gates: Array
    ) -> tuple[Array, tuple[Array, ...], tuple[Array, Array]]:
        """One step of all layers, from the gates of the first layer."""
        left = left - jax.nn.one_hot(level, self.levels, dtype=left.dtype)
        h, after = gates, []
        for k, state in enumerate(states):
            if k > 0:
                gates = self.inputs[k](h)
            h = gated(gates, self.memories[k](state), state)
            after.append(h)
        scores = jnp.where(left > 0, self.probabilities(h), -jnp.inf)
        logs = jax.nn.log_softmax(scores)
        phases = self.phases(h) if self.phase else jnp.zeros_like(logs)
        return left, tuple(after), (logs, phases)

    def _features(self, seen: Array) -> Array:
        """Features (..., w q) of levels (..., w), one number a site and level."""
        features = jax.nn.one_hot(seen, self.levels, dtype=jnp.result_type(float))
        return features.reshape(*seen.shape[:-1], -1)

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
        if self.n == 1:
            return first[None]
        (after, _), _ = step(start, key_first)
        zero = jnp.zeros((), int)
        _, others = jax.lax.scan(step, (after, zero), jnp.stack(keys))
        return (first + jnp.concatenate([zero[None], others])) % self.levels


def gated(inputs: Array, memory: Array, state: Array) -> Array:
    """The next state (h,), from gates r, z and candidate (3 h,) of input and state."""
    r, z, new = jnp.split(inputs, 3)
    of_r, of_z, of_new = jnp.split(memory, 3)
    r, z = jax.nn.sigmoid(r + of_r), jax.nn.sigmoid(z + of_z)
    return (1 - z) * jnp.tanh(new + r * of_new) + z * state

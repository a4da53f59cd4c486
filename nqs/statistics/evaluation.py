"""Sampling and measuring with frozen parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_map, chunked_sum
from nqs.observables import Observable
from nqs.statistics.measurements import Measurements
from nqs.types import Ansatz, Hamiltonian, Params, Sampler, State, Walkers, sum_of_terms
from nqs.vmc import local_terms

# Groups of walkers over which profiles are averaged. Each serves as a chain: enough of
# them to show the scatter between chains, few enough for memory.
N_GROUPS = 16

# Numbers of one profile that are kept per step: large profiles have fewer groups. This
# is 33 MB in 1000 steps, as much as four terms of 1024 walkers.
KEPT = 4096

# Numbers of one profile, of all walkers together, that are held before the average.
HELD = 2**20


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """One step of an evaluation: sample, then measure every walker.

    Attributes:
      ansatz: the wave function.
      hamiltonian: the system.
      sampler: the Markov kernel; its width stays as it is.
      observables: measured besides the energy.
      chunk_size: walkers at a time; None for all at once.
    """

    ansatz: Ansatz
    hamiltonian: Hamiltonian
    sampler: Sampler
    observables: tuple[Observable, ...] = ()
    chunk_size: int | None = None

    def step(
        self, key: Array, params: Params, state: State
    ) -> tuple[State, Measurements]:
        """The next sampler state and its measurements."""
        state, info = self.sampler.step(key, self.ansatz, params, state)
        walkers, chunk_size = state.walkers, self.chunk_size
        terms = local_terms(self.ansatz, self.hamiltonian, params, walkers, chunk_size)
        return state, self.measurements(params, walkers, info, terms)

    def measurements(
        self,
        params: Params,
        walkers: Walkers,
        info: dict[str, Array],
        terms: dict[str, Array],
    ) -> Measurements:
        """Observables of walkers, beside the info of the sampler and the energy."""
        chunk_size = self.chunk_size
        broken = jnp.sum(~jnp.isfinite(sum_of_terms(terms)))
        scalars, profiles = {}, {}
        for observable in self.observables:

            def value(x, f=observable):
                return f(self.ansatz, params, x)

            if observable.grid is None:
                scalars[observable.name] = chunked_map(value, walkers, chunk_size)
            else:
                profiles[observable.name] = group_means(value, walkers, chunk_size)
        broken = broken + info.get("non_finite", 0)
        return Measurements(info["acceptance"], broken, terms, scalars, profiles)


def group_means(
    f: Callable[[Any], Array], walkers: Walkers, chunk_size: int | None = None
) -> Array:
    """Means (groups, ...) of a profile f over groups of walkers, in bounded memory.

    Walker i belongs to group i modulo the number of groups.
    """
    n_walkers = jax.tree.leaves(walkers)[0].shape[0]
    x = jax.tree.map(lambda leaf: leaf[0], walkers)
    size = max(1, jax.eval_shape(f, x).size)
    groups = N_GROUPS
    while groups > 1 and (groups * size > KEPT or n_walkers % groups):
        groups //= 2
    most = max(1, HELD // size)
    held = 2 ** (most.bit_length() - 1)  # a power of 2 divides most walker numbers
    group = jnp.arange(n_walkers) % groups

    def sums(chunk):
        members, group = chunk
        values = jax.vmap(f)(members)
        one_hot = (group[None, :] == jnp.arange(groups)[:, None]).astype(values.dtype)
        return jnp.tensordot(one_hot, values, axes=1)

    total = chunked_sum(sums, (walkers, group), chunk_size, held)
    return total / (n_walkers // groups)

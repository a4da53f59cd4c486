"""Wolff's clusters for classical spins: whole domains change at once.

Equal neighbors belong together with probability 1 - exp(-gain / T); the cluster of a
site drawn at random takes another level, always. U. Wolff, Phys. Rev. Lett. 62, 361
(1989).
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_map
from nqs.capabilities import Bonds, Clusters
from nqs.types import Ansatz, Params
from samplers.acceptance import WalkersState, WithoutWidth


@dataclasses.dataclass(frozen=True)
class Wolff(WithoutWidth):
    """Cluster moves for Boltzmann's density.

    Attributes:
      sweeps: clusters of every walker per step.
    """

    sweeps: int = 1
    requires: ClassVar[type | None] = Clusters
    kind: ClassVar[str] = "lattice"

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: WalkersState, /
    ) -> tuple[WalkersState, dict[str, Array]]:
        """`sweeps` clusters of every walker, leaving |psi|^2 invariant.

        Info has the mean share of the sites in a cluster.
        """
        assert isinstance(ansatz, Clusters)
        bonds = ansatz.bonds()

        def flip(carry, key):
            x, share = carry
            key_seed, key_bonds, key_level = jax.random.split(key, 3)
            cluster = _cluster(key_seed, key_bonds, x, bonds)
            step = jax.random.randint(key_level, (), 1, bonds.levels)
            new = jnp.where(cluster, (x + step) % bonds.levels, x)
            return (new, share + jnp.mean(cluster)), None

        def walk(chain):
            key, x = chain
            keys = jax.random.split(key, self.sweeps)
            (x, share), _ = jax.lax.scan(flip, (x, jnp.zeros(())), keys)
            return x, share

        keys = jax.random.split(key, state.walkers.shape[0])
        walkers, shares = chunked_map(walk, (keys, state.walkers))
        info = {
            "acceptance": jnp.ones(()),
            "cluster_share": jnp.mean(shares) / self.sweeps,
        }
        return WalkersState(walkers), info


def _cluster(key_seed: Array, key_bonds: Array, x: Array, bonds: Bonds) -> Array:
    """Whether each site (s,) belongs to the cluster of a site drawn at random."""
    neighbors, n = jnp.asarray(bonds.neighbors), len(bonds.neighbors)
    drawn = jax.random.uniform(key_bonds, neighbors.shape) < bonds.probability
    # One draw a bond: that of its end with the smaller number. `back` is the place of
    # the bond of site i to its m-th neighbor in the list of that neighbor.
    sites, back = jnp.arange(n)[:, None], jnp.asarray(_reverse(bonds.neighbors))
    together = jnp.where(sites < neighbors, drawn, drawn[neighbors, back])
    together &= x[:, None] == x[neighbors]

    def grow(grown):
        _, cluster = grown
        return cluster, cluster | jnp.any(together & cluster[neighbors], 1)

    seed = jax.random.randint(key_seed, (), 0, n) == jnp.arange(n)
    _, cluster = jax.lax.while_loop(
        lambda grown: jnp.any(grown[0] != grown[1]), grow, (jnp.zeros(n, bool), seed)
    )
    return cluster


def _reverse(neighbors) -> list[list[int]]:
    """For the m-th neighbor j of i, the place of this bond in the list of j.

    Between two sites with several bonds the first of the one is the first of the other.
    """
    rows = [list(map(int, row)) for row in neighbors]
    found = []
    for i, row in enumerate(rows):
        places, seen = [], {}
        for j in row:
            occurrence = seen.get(j, 0)
            seen[j] = occurrence + 1
            matches = [m for m, k in enumerate(rows[j]) if k == i]
            places.append(matches[occurrence] if j != i else 0)
        found.append(places)
    return found

"""A user's own lattice model and move in one file: bosons that hop on a ring."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import Connected, LatticeModel
from hamiltonians.references.lanczos import configurations, diagonalized, ground_state
from nqs.ansatze import FeedForward
from nqs.optimizers import SR
from nqs.space.lattice import Lattice
from nqs.types import Function, LogPsi
from nqs.vmc import VMC
from samplers import SiteMetropolis


@dataclasses.dataclass(frozen=True)
class BoseHubbard(LatticeModel):
    """H = -sum_<ij> (a_i^+ a_j + h.c.) + (u/2) sum_i n_i (n_i - 1)."""

    lattice: Lattice = Lattice((4,))
    levels: int = 4  # at most three bosons on a site
    u: float = 2.0
    energy_unit = "t"
    off_diagonal = "hopping"

    @property
    def total(self):
        return self.n

    def diagonal(self, x):
        return {"interaction": self.u / 2 * jnp.sum(x * (x - 1.0))}

    def connected(self, x):
        edges = self.lattice.edges
        sites = jnp.asarray(np.concatenate([edges, edges[:, ::-1]]))  # from, to
        here, there = x[sites[:, 0]], x[sites[:, 1]]
        allowed = (here > 0) & (there < self.levels - 1)
        values = jnp.where(
            allowed[:, None], jnp.stack([here - 1, there + 1], 1), x[sites]
        )
        return Connected(
            sites, values, jnp.where(allowed, -jnp.sqrt(here * (there + 1.0)), 0.0)
        )

    def references(self):
        return diagonalized(self)


@dataclasses.dataclass(frozen=True)
class Hop:
    """Move one boson along a bond, where it exists and fits."""

    model: BoseHubbard

    def sweep(self, key, x):
        return jax.random.permutation(key, jnp.asarray(self.model.lattice.edges))

    def __call__(self, u, x, sites):
        hop = jnp.where(u < 0.5, 1, -1)  # either way, so that it can be undone
        values = x[sites] + jnp.stack([-hop, hop])
        fits = jnp.all((values >= 0) & (values < self.model.levels))
        return jnp.where(fits, values, x[sites]), jnp.zeros_like(u)


def test_own_lattice_model_reaches_the_exact_energy(optimized):
    model = BoseHubbard()
    exact = model.references()[0].value
    vmc = VMC(
        FeedForward((16,), levels=4),
        model,
        SiteMetropolis(Hop(model), 2),
        SR(0.1),
        clip=None,
    )
    walkers = model.initial_walkers(jax.random.key(0), 256)
    state, step = vmc.init(jax.random.key(1), walkers), jax.jit(vmc.step)
    energies = []
    for i in range(150):
        state, info = step(jax.random.key(i), state)
        energies.append(info["energy"])
    assert np.all(np.sum(state.sampler.walkers, axis=1) == model.n)
    assert 0.2 < info["acceptance"] < 0.95
    error = np.std(energies[-50:]) / np.sqrt(50)
    assert abs(np.mean(energies[-50:]) - exact) < 5e-3 * abs(exact) + 4 * error


def test_move_is_as_likely_as_its_reverse_on_the_same_sites():
    model = BoseHubbard()
    hop, x = Hop(model), jnp.asarray(configurations(model))
    weights = model.levels ** np.arange(model.n)
    for sites in jnp.asarray(model.lattice.edges):
        counts = np.zeros((model.levels**model.n,) * 2, int)
        for u in (0.25, 0.75):
            values, _ = jax.vmap(lambda x, u=u, sites=sites: hop(u, x, sites))(x)
            there = x.at[:, sites].set(values)
            np.add.at(counts, (np.asarray(x @ weights), np.asarray(there @ weights)), 1)
        np.testing.assert_array_equal(counts, counts.T)


def test_exact_ground_state_has_zero_variance():
    model = BoseHubbard()
    energy, psi = ground_state(model)
    table = jnp.zeros((model.levels,) * model.n)
    x = configurations(model)
    table = table.at[tuple(x.T)].set(psi)

    def log_psi(params, x):
        value = params[tuple(x)]
        return LogPsi(jnp.sign(value), jnp.log(jnp.abs(value)))

    local = jax.vmap(lambda x: model.local_energy(Function(log_psi), table, x))(
        jnp.asarray(x)
    )
    np.testing.assert_allclose(local, energy, rtol=1e-9)


@pytest.mark.parametrize("bosons", [0, 3, 4, 7, 12])
def test_first_walkers_have_the_conserved_number(bosons):
    @dataclasses.dataclass(frozen=True)
    class Filled(BoseHubbard):
        @property
        def total(self):
            return bosons

    walkers = Filled().initial_walkers(jax.random.key(0), 16)
    assert np.all(walkers.sum(axis=1) == bosons)
    assert walkers.min() >= 0 and walkers.max() < Filled().levels


def test_more_bosons_than_fit_are_refused():
    @dataclasses.dataclass(frozen=True)
    class Overfull(BoseHubbard):
        @property
        def total(self):
            return 13

    with pytest.raises(ValueError, match="total must be .* <= 12, got 13"):
        Overfull().initial_walkers(jax.random.key(0), 16)

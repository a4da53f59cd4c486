"""Bosons that hop on a ring: training, the move, and first walkers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import BoseHubbard
from hamiltonians.references.lanczos import configurations
from nqs.ansatze import FeedForward
from nqs.optimizers import SR
from nqs.space.lattice import Lattice
from nqs.vmc import VMC
from samplers import Hop, SiteMetropolis

MODEL = BoseHubbard(Lattice((4,)), 2.0, most=3)
HOP = Hop(MODEL.lattice, MODEL.levels)


def test_network_of_bosons_reaches_the_exact_energy(optimized):
    exact = MODEL.references()[0].value
    ansatz = FeedForward((16,), levels=4, bosons=True)
    vmc = VMC(ansatz, MODEL, SiteMetropolis(HOP, 2), SR(0.1), clip=None)
    walkers = MODEL.initial_walkers(jax.random.key(0), 256)
    state, step = vmc.init(jax.random.key(1), walkers), jax.jit(vmc.step)
    energies = []
    for i in range(150):
        state, info = step(jax.random.key(i), state)
        energies.append(info["energy"])
    assert np.all(np.sum(state.sampler.walkers, axis=1) == MODEL.n)
    assert 0.2 < info["acceptance"] < 0.95
    error = np.std(energies[-50:]) / np.sqrt(50)
    assert abs(np.mean(energies[-50:]) - exact) < 5e-3 * abs(exact) + 4 * error


def test_move_is_as_likely_as_its_reverse_on_the_same_sites():
    x = jnp.asarray(configurations(MODEL))
    weights = MODEL.levels ** np.arange(MODEL.n)
    for sites in jnp.asarray(MODEL.lattice.edges):
        counts = np.zeros((MODEL.levels**MODEL.n,) * 2, int)
        for u in (0.25, 0.75):
            values, _ = jax.vmap(lambda x, u=u, sites=sites: HOP(u, x, sites))(x)
            there = x.at[:, sites].set(values)
            np.add.at(counts, (np.asarray(x @ weights), np.asarray(there @ weights)), 1)
        np.testing.assert_array_equal(counts, counts.T)
        assert np.any(counts - np.diag(np.diag(counts)))


@pytest.mark.parametrize("bosons", [1, 3, 4, 7, 12])
def test_first_walkers_have_the_conserved_number(bosons):
    model = BoseHubbard(Lattice((4,)), 2.0, bosons, 3)
    walkers = model.initial_walkers(jax.random.key(0), 16)
    assert np.all(walkers.sum(axis=1) == bosons)
    assert walkers.min() >= 0 and walkers.max() < model.levels

"""Samplers on lattices against the exact |psi|^2 of all configurations."""

import functools
import itertools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from hamiltonians import TransverseFieldIsing
from nqs.ansatze import (
    BinaryRBM,
    FeedForward,
    RecurrentGRU,
    SpinJastrow,
    Symmetrized,
    SymmetrizedOrbits,
)
from nqs.capabilities import DirectSampling
from nqs.optimizers import FirstOrder
from nqs.ratios.sites import EvaluatedRatios
from nqs.space.lattice import Lattice
from nqs.vmc import VMC
from samplers import Direct, Exchange, Flip, Hop, Recolor, SiteMetropolis
from tests.chi_square import p_value

N_CHAINS = 4096
RING = Lattice((8,))
CASES = {
    "flip, rbm": (SiteMetropolis(Flip(), 4), BinaryRBM(1, stddev=0.4), 2),
    "flip, complex rbm": (
        SiteMetropolis(Flip(), 4),
        BinaryRBM(1, complex=True, stddev=0.4),
        2,
    ),
    "flip, average": (
        SiteMetropolis(Flip(), 4),
        Symmetrized(SpinJastrow(stddev=0.3), RING),
        2,
    ),
    "flip, orbits": (
        SiteMetropolis(Flip(), 4),
        SymmetrizedOrbits(SpinJastrow(stddev=0.3), RING),
        2,
    ),
    "flip, feed-forward": (SiteMetropolis(Flip(), 4), FeedForward((6,)), 2),
    "flip, gru": (SiteMetropolis(Flip(), 4), RecurrentGRU(8, 4), 2),
    "exchange, rbm": (SiteMetropolis(Exchange(RING), 6), BinaryRBM(1, stddev=0.1), 2),
    "hop, rbm": (
        SiteMetropolis(Hop(RING, 3), 6),
        BinaryRBM(1, levels=3, bosons=True, stddev=0.1),
        3,
    ),
    "recolor, rbm": (
        SiteMetropolis(Recolor(3), 4),
        BinaryRBM(1, levels=3, stddev=0.2),
        3,
    ),
    "recolor, jastrow": (SiteMetropolis(Recolor(3), 4), SpinJastrow(3, 0.2), 3),
    "direct, gru": (Direct(), RecurrentGRU(8, 4), 2),
    "direct, cyclic gru": (Direct(), RecurrentGRU(8, 4, 3, levels=3, cyclic=True), 3),
    "direct, fixed gru": (Direct(), RecurrentGRU(8, 4, fixed=(4, 4)), 2),
}


def conserved(name):
    return "exchange" in name or "hop" in name


@functools.cache
def ends(name):
    """A function from a power of the ratio to the last states of many chains."""
    sampler, ansatz, q = CASES[name]
    x = jnp.zeros(8, int)
    flat, unravel = ravel_pytree(jax.jit(ansatz.init)(jax.random.key(1), x))
    # with biases, because symmetry under a flip of all spins could hide errors
    params = unravel(flat + 0.15 * jax.random.normal(jax.random.key(2), flat.shape))
    # equal initial states, far from |psi|^2
    first = jnp.arange(8) % 2 if conserved(name) else x
    walkers = jnp.tile(first, (N_CHAINS, 1))

    @jax.jit
    def run(power):
        def step(i, state):
            key = jax.random.fold_in(jax.random.key(3), i)
            return sampler.step(key, ansatz, params, state)[0]

        def powered(way, *arguments):
            ratio, cache = original[type(way)](way, *arguments)
            return jnp.abs(ratio) ** power, cache

        owner = type(ansatz) if hasattr(ansatz, "site_move") else EvaluatedRatios
        original = {owner: owner.site_move}
        with mock.patch.object(owner, "site_move", powered):
            return jax.lax.fori_loop(0, 12, step, sampler.init(walkers)).walkers

    return run, params


def density_p_value(name, power):
    _, ansatz, q = CASES[name]
    run, params = ends(name)
    x = np.array([*itertools.product(range(q), repeat=8)])
    if conserved(name) or "fixed" in name:
        x = x[x.sum(axis=1) == 4]
    log = jax.jit(jax.vmap(lambda x: ansatz.apply(params, x).logabs))(jnp.asarray(x))
    return p_value(run(power), x, np.asarray(jax.nn.softmax(2 * log)))


def cases(*left_out):
    """Names of cases; those similar to others are marked slow."""
    slowly = ("flip, complex rbm", "flip, feed-forward", "flip, average")
    return [
        pytest.param(name, marks=pytest.mark.slow) if name in slowly else name
        for name in CASES
        if name not in left_out
    ]


@pytest.mark.parametrize("name", cases())
def test_last_states_have_the_density(name):
    assert density_p_value(name, 1.0) > 1e-4


@pytest.mark.parametrize(
    "name", cases("direct, gru", "direct, cyclic gru", "direct, fixed gru")
)
def test_sampler_with_a_wrong_ratio_has_another_density(name):
    assert density_p_value(name, 0.8) < 1e-4


@pytest.mark.parametrize("name", cases())
def test_step_keeps_shapes_and_reports_the_acceptance(name):
    sampler, ansatz, _ = CASES[name]
    _, params = ends(name)
    walkers = jnp.tile(jnp.arange(8) % 2, (16, 1))
    state = sampler.init(walkers)
    new, info = jax.eval_shape(
        lambda key: sampler.step(key, ansatz, params, state), jax.random.key(0)
    )
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), new) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    assert info["acceptance"].shape == () and sampler.adapt(state, info) is state


def test_acceptance_is_one_if_every_move_is_accepted():
    always = SiteMetropolis(Flip())
    ansatz = SpinJastrow()
    params = jax.tree.map(
        jnp.zeros_like, jax.jit(ansatz.init)(jax.random.key(0), jnp.zeros(8, int))
    )
    state = always.init(jnp.zeros((16, 8), int))
    state, info = jax.jit(lambda key: always.step(key, ansatz, params, state))(
        jax.random.key(1)
    )
    assert info["acceptance"] == 1 and np.all(state.walkers == 1)  # every site once


def test_exchange_of_equal_levels_is_not_an_accepted_move():
    sampler, ansatz = SiteMetropolis(Exchange(RING), 2), BinaryRBM(1)
    params = jax.jit(ansatz.init)(jax.random.key(0), jnp.zeros(8, int))
    state = sampler.init(jnp.zeros((16, 8), int))  # exchanges change nothing
    _, info = jax.jit(lambda key: sampler.step(key, ansatz, params, state))(
        jax.random.key(1)
    )
    assert info["acceptance"] == 0


@pytest.mark.parametrize(
    "precision, scale", [("float64", 1.0), ("float32", 1.0), ("float64", 0.3)]
)
def test_rbm_with_large_weights_is_sampled_exactly(precision, scale):
    """|theta| reaches 50, where tanh(theta) rounds to 1; psi itself is nearly flat.

    A power of theta may then overflow; scaled by 0.3, it does not.

    Pairs of hidden units of opposite bias make a bump at few configurations.
    """
    with jax.enable_x64(precision == "float64"):
        ansatz, sampler = BinaryRBM(2), SiteMetropolis(Flip(), 6)
        weights = np.zeros((3, 1, 6))
        weights[:, 0, 0], weights[:, 0, 1] = 10.0, (10.0, -10.0, 10.0)
        weights[:, 0, 2], weights[:, 0, 3] = (0.0, 12.0, 9.0), 0.05
        visible = np.array([[-0.3], [0.2], [0.4]])
        hidden = np.array([20.0, -10.0, 20.5, 0.1, -0.2, 0.3])
        params = {"params": {"visible_bias": jnp.asarray(visible),
                             "hidden_bias": jnp.asarray(hidden),
                             "weights": jnp.asarray(weights)}}  # fmt: skip
        params = jax.tree.map(lambda leaf: scale * leaf, params)
        assert ansatz.site_tables(params).moderate == (scale < 1)
        x = np.array([*itertools.product((0, 1), repeat=3)])
        log = jax.vmap(lambda x: ansatz.apply(params, x).logabs)(jnp.asarray(x))
        log = np.asarray(log, float)
        # exact probabilities of the eight configurations
        p = np.exp(2 * (log - log.max()))
        start = jnp.asarray(x)[jnp.arange(4096) % 8]
        state = sampler.init(start)
        state, _ = jax.jit(lambda key: sampler.step(key, ansatz, params, state))(
            jax.random.key(3)
        )
        ratios = EvaluatedRatios(ansatz)
        for row in x:  # every ratio, before and after a move far away
            row = jnp.asarray(row)
            there = jnp.asarray(1 - row)
            sites = jnp.arange(3)
            tables = ansatz.site_tables(params)
            _, cache = ansatz.site_move(
                tables, ansatz.site_cache(tables, row), row, sites, there
            )
            ratio, _ = ansatz.site_move(tables, cache, there, sites[:1], row[:1])
            cache = ratios.site_cache(params, there)
            wanted, _ = ratios.site_move(params, cache, there, sites[:1], row[:1])
            rtol = 1e-10 if precision == "float64" else 1e-3
            np.testing.assert_allclose(ratio, wanted, rtol=rtol)
    assert p_value(np.asarray(state.walkers), x, p) > 1e-4


def test_direct_needs_a_normalized_ansatz():
    with pytest.raises(ValueError, match="DirectSampling, such as RecurrentGRU"):
        VMC(BinaryRBM(), TransverseFieldIsing(RING), Direct(), FirstOrder())
    assert isinstance(RecurrentGRU(4), DirectSampling)

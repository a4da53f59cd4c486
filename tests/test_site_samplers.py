"""Samplers on lattices against the exact |psi|^2 of all configurations."""

import functools
import itertools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
from tests.cases import further
from tests.chi_square import p_value
from tests.drawn import parameters

N_CHAINS = 4096
RING = Lattice((6,))
CASES = {
    "flip, rbm": (SiteMetropolis(Flip(), 4), BinaryRBM(1), 2),
    "flip, complex rbm": (
        SiteMetropolis(Flip(), 4),
        BinaryRBM(1, complex=True),
        2,
    ),
    "flip, average": (
        SiteMetropolis(Flip(), 4),
        Symmetrized(SpinJastrow(), RING),
        2,
    ),
    "flip, orbits": (
        SiteMetropolis(Flip(), 4),
        SymmetrizedOrbits(SpinJastrow(), RING),
        2,
    ),
    "flip, feed-forward": (SiteMetropolis(Flip(), 4), FeedForward((6,)), 2),
    "flip, gru": (SiteMetropolis(Flip(), 4), RecurrentGRU(6, 4), 2),
    "exchange, rbm": (SiteMetropolis(Exchange(RING), 6), BinaryRBM(1), 2),
    "hop, rbm": (
        SiteMetropolis(Hop(RING, 3), 6),
        BinaryRBM(1, levels=3, bosons=True),
        3,
    ),
    "recolor, rbm": (
        SiteMetropolis(Recolor(3), 4),
        BinaryRBM(1, levels=3),
        3,
    ),
    "recolor, jastrow": (SiteMetropolis(Recolor(3), 4), SpinJastrow(3), 3),
    "direct, gru": (Direct(), RecurrentGRU(6, 4), 2),
    "direct, cyclic gru": (Direct(), RecurrentGRU(6, 4, 3, levels=3, cyclic=True), 3),
    "direct, fixed gru": (Direct(), RecurrentGRU(6, 4, fixed=(3, 3)), 2),
}


def conserved(name):
    return "exchange" in name or "hop" in name


@functools.cache
def drawn(name):
    """Parameters, with biases: symmetry under a flip of all spins could hide errors."""
    return parameters(CASES[name][1], np.zeros(6, int))


def all_levels(name):
    x = np.array([*itertools.product(range(CASES[name][2]), repeat=6)])
    return x[x.sum(axis=1) == 3] if conserved(name) or "fixed" in name else x


@functools.cache
def ends(name):
    """A function of a power of the ratio and the parameters, of one compilation.

    It returns the last states of many chains, and log |psi| of all configurations.
    """
    sampler, ansatz, _ = CASES[name]
    # equal initial states, far from |psi|^2
    first = np.arange(6) % 2 if conserved(name) else np.zeros(6, int)
    walkers, x = np.tile(first, (N_CHAINS, 1)), all_levels(name)

    @jax.jit
    def run(power, params):
        def step(i, state):
            key = jax.random.fold_in(jax.random.key(3), i)
            return sampler.step(key, ansatz, params, state)[0]

        def powered(way, *arguments):
            ratio, cache = original[type(way)](way, *arguments)
            return jnp.abs(ratio) ** power, cache

        logabs = jax.vmap(lambda x: ansatz.apply(params, x).logabs)(x)
        owner = type(ansatz) if hasattr(ansatz, "site_move") else EvaluatedRatios
        original = {owner: owner.site_move}
        with mock.patch.object(owner, "site_move", powered):
            last = jax.lax.fori_loop(0, 10, step, sampler.init(walkers))
        return last.walkers, logabs

    return run


def density_p_value(name, power):
    last, logabs = jax.device_get(ends(name)(power, drawn(name)))
    return p_value(last, all_levels(name), np.exp(2 * (logabs - logabs.max())))


def cases(*left_out):
    """Names of cases; those similar to others are marked further or slow."""
    similar = (
        "flip, orbits",
        "flip, gru",
        "recolor, rbm",
        "direct, gru",
        "direct, fixed gru",
    )
    slowly = ("flip, complex rbm", "flip, feed-forward", "flip, average")
    return [
        pytest.param(name, marks=pytest.mark.slow)
        if name in slowly
        else further(name)[0]
        if name in similar
        else name
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
    state = sampler.init(np.tile(np.arange(6) % 2, (16, 1)))
    new, info = jax.eval_shape(
        lambda key: sampler.step(key, ansatz, drawn(name), state), jax.random.key(0)
    )
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), new) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), state
    )
    assert info["acceptance"].shape == () and sampler.adapt(state, info) is state


def test_acceptance_is_one_if_every_move_is_accepted():
    always = SiteMetropolis(Flip())
    ansatz = SpinJastrow()
    x = np.zeros((16, 6), int)
    params = parameters(ansatz, x[0], scale=0)
    state, info = jax.jit(lambda key: always.step(key, ansatz, params, always.init(x)))(
        jax.random.key(1)
    )
    assert info["acceptance"] == 1 and np.all(state.walkers == 1)  # every site once


def test_exchange_of_equal_levels_is_not_an_accepted_move():
    sampler, ansatz = SiteMetropolis(Exchange(RING), 2), BinaryRBM(1)
    x = np.zeros((16, 6), int)  # exchanges change nothing
    params = parameters(ansatz, x[0])
    _, info = jax.jit(lambda key: sampler.step(key, ansatz, params, sampler.init(x)))(
        jax.random.key(1)
    )
    assert info["acceptance"] == 0


@pytest.mark.parametrize(
    "precision, scale", [("float64", 1.0), *further(("float32", 1.0), ("float64", 0.3))]
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
        params = {"visible_bias": visible, "hidden_bias": hidden, "weights": weights}
        params = {
            name: (scale * leaf).astype(precision) for name, leaf in params.items()
        }
        x = np.array([*itertools.product((0, 1), repeat=3)])
        sites, ratios = np.arange(3), EvaluatedRatios(ansatz)

        @jax.jit
        def sampled(params, x):
            tables = ansatz.site_tables(params)

            def of_one(x):  # a ratio after a move far away, and log |psi|
                there = 1 - x
                cache = ansatz.site_cache(tables, x)
                _, cache = ansatz.site_move(tables, cache, x, sites, there)
                change = there, sites[:1], x[:1]
                ratio, _ = ansatz.site_move(tables, cache, *change)
                cache = ratios.site_cache(params, there)
                wanted, _ = ratios.site_move(params, cache, *change)
                return ratio, wanted, ansatz.apply(params, x).logabs

            state = sampler.init(x[np.arange(4096) % 8])
            state, _ = sampler.step(jax.random.key(3), ansatz, params, state)
            return tables.moderate, jax.vmap(of_one)(x), state.walkers

        moderate, of_each, last = jax.device_get(sampled({"params": params}, x))
    assert moderate == (scale < 1)
    ratio, wanted, log = of_each
    rtol = 1e-10 if precision == "float64" else 1e-3
    np.testing.assert_allclose(ratio, wanted, rtol=rtol)
    log = log.astype(float)  # of the eight configurations
    p = np.exp(2 * (log - log.max()))
    assert p_value(last, x, p) > 1e-4


def test_direct_needs_a_normalized_ansatz():
    with pytest.raises(ValueError, match="DirectSampling, such as RecurrentGRU"):
        VMC(BinaryRBM(), TransverseFieldIsing(RING), Direct(), FirstOrder())
    assert isinstance(RecurrentGRU(4), DirectSampling)

"""Periodic sampling: the density is invariant and walkers stay in the cell."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from nqs.capabilities import HiddenLayer
from nqs.files import config as settings
from nqs.space.box import Box
from nqs.types import Function, LogPsi
from nqs.vmc import VMC
from samplers import Gibbs, Langevin, Metropolis, OneParticle, Periodic
from tests.cases import few
from tests.tiny import Well

BOX = Box(((1.0, 0.0), (0.6, 0.9)))
A = 0.8
N_CHAINS = 4096
SAMPLERS = {
    "all particles": Metropolis(sweeps=4, width=0.5),
    "one particle": Metropolis(sweeps=2, width=0.7, move=OneParticle()),
    "langevin": Langevin(sweeps=4, time_step=0.1),
}


def bound(params, x):
    """Particles that prefer x . b_1 = 0, where psi = 1 + a cos(b_1 . x) is large."""
    phases = x @ jnp.asarray(BOX.reciprocal[0], x.dtype)
    logabs = jnp.sum(jnp.log(1 + A * jnp.cos(phases)))
    return LogPsi(jnp.ones((), x.dtype), logabs)


@functools.cache
def trajectory(sampler, steps=30):
    """The walkers after every step (steps, w, n, d), all from one place."""
    start = sampler.init(jnp.full((N_CHAINS, 2, 2), 0.4))

    def step(state, key):
        state, _ = sampler.step(key, Function(bound), {}, state)
        return state, state.walkers

    keys = jax.random.split(jax.random.key(0), steps)
    return np.asarray(jax.jit(lambda s: jax.lax.scan(step, s, keys)[1])(start))


def fractions(x):
    return x @ np.linalg.inv(BOX.vectors)


def p_values(walkers):
    """Of the means of cos(b_1 . x), sin(b_1 . x) and cos(b_2 . x), known exactly."""
    norm = 1 + A**2 / 2  # of (1 + a cos)^2, averaged over the cell
    square = (1 / 2 + 3 / 8 * A**2) / norm  # of cos
    first, second = np.moveaxis(walkers @ BOX.reciprocal.T, -1, 0)
    for value, mean, mean_square in (
        (np.cos(first), A / norm, square),
        (np.sin(first), 0, 1 - square),
        (np.cos(second), 0, 1 / 2),
    ):
        error = np.sqrt((mean_square - mean**2) / value.size)
        yield 2 * scipy.stats.norm.sf(abs(np.mean(value) - mean) / error)


@pytest.mark.parametrize("name", few(SAMPLERS, "langevin"))
def test_periodic_sampler_leaves_the_density_invariant(name):
    path = trajectory(Periodic(SAMPLERS[name], BOX))
    inside = fractions(path)
    assert inside.min() > -1e-12 and inside.max() < 1 + 1e-12
    assert min(p_values(path[-1])) > 1e-4


@pytest.mark.parametrize("name", SAMPLERS)
def test_width_of_moves_is_at_most_half_of_the_cell(name):
    inner = SAMPLERS[name]
    sampler = Periodic(inner, BOX)
    state = sampler.init(jnp.full((4, 2, 2), 0.4))
    few = {"acceptance": jnp.asarray(0.1)}
    narrow = sampler.adapt(state, few)
    for got, expected in zip(narrow, inner.adapt(state, few), strict=True):
        np.testing.assert_array_equal(got, expected)
    for _ in range(50):
        state = sampler.adapt(state, {"acceptance": jnp.asarray(1.0)})
    reach = np.linalg.norm(BOX.vectors[1]) / 2  # of the longer edge
    longest = reach**2 if isinstance(inner, Langevin) else reach
    np.testing.assert_allclose(state[1], longest, rtol=1e-12)


@pytest.mark.parametrize("name", few(SAMPLERS, "langevin"))
def test_walkers_differ_from_those_without_a_box_by_lattice_vectors(name):
    bare = trajectory(SAMPLERS[name])
    kept = trajectory(Periodic(SAMPLERS[name], BOX))
    jumps = fractions(bare - kept)
    np.testing.assert_allclose(jumps, np.round(jumps), atol=1e-9)
    assert np.any(np.round(jumps) != 0, axis=(0, 1, 2)).all()


def test_sampler_in_another_box_than_psi_has_a_wrong_density():
    wrong = Box(((0.8, 0.0), (0.6, 0.9)))
    path = trajectory(Periodic(SAMPLERS["all particles"], wrong))
    assert min(p_values(path[-1])) < 1e-4


def test_walkers_start_in_the_cell():
    walkers = 9 * jax.random.normal(jax.random.key(1), (50, 3, 2))
    for sampler in SAMPLERS.values():
        state = Periodic(sampler, BOX).init(walkers)
        assert type(state) is type(sampler.init(walkers))
        inside = fractions(np.asarray(state.walkers))
        assert inside.min() > -1e-12 and inside.max() < 1 + 1e-12
        jumps = fractions(np.asarray(walkers - state.walkers))
        np.testing.assert_allclose(jumps, np.round(jumps), atol=1e-9)


@pytest.mark.parametrize("name", few(SAMPLERS, "langevin"))
def test_settings_and_info_are_those_of_the_inner_sampler(name):
    sampler = SAMPLERS[name]
    periodic = Periodic(sampler, BOX)
    assert periodic.sweeps == sampler.sweeps
    state = periodic.init(jnp.full((16, 2, 2), 0.4))

    @functools.partial(jax.jit, static_argnums=0)
    def step(sampler, state):
        return sampler.step(jax.random.key(3), Function(bound), {}, state)

    (moved, info), (bare, bare_info) = step(periodic, state), step(sampler, state)
    assert info == bare_info and moved[1] == bare[1]


def test_precision_follows_the_walkers(strict_dtypes):
    for sampler in SAMPLERS.values():
        periodic = Periodic(sampler, BOX)
        walkers = jnp.full((4, 2, 2), 3.4, jnp.float32)
        state = periodic.init(walkers)
        moved, _ = jax.eval_shape(
            lambda state, p=periodic: p.step(
                jax.random.key(0), Function(bound), {}, state
            ),
            state,
        )
        assert moved.walkers.dtype == state.walkers.dtype == jnp.float32


def test_requirement_is_that_of_the_inner_sampler():
    periodic = Periodic(Gibbs(), BOX)
    assert periodic.requires is HiddenLayer
    with pytest.raises(ValueError, match="HiddenLayer"):
        VMC(Function(bound), Well(), periodic, None)
    assert Periodic(Metropolis(), BOX).requires is None


@pytest.mark.parametrize("name", SAMPLERS)
def test_nested_parts_are_restored(name):
    periodic = Periodic(SAMPLERS[name], Box.shaped("bcc", 3.7, 3))
    again = settings.from_json(settings.to_json(periodic))
    assert again == periodic and hash(again) == hash(periodic)
    assert type(again.sampler) is type(periodic.sampler)
    np.testing.assert_array_equal(again.box.vectors, periodic.box.vectors)

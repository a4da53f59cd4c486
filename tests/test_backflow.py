"""Backflow: symmetries, initial state, and smoothness where particles meet."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.ansatze import Backflow, Slater
from nqs.space.spins import Spins

CASES = {
    "closed shell": (Backflow(Spins(3, 3), layers=2, width=4), 6, 2),
    "open shell, two determinants": (
        Backflow(Spins(2, 1), 0.5, 1, 4, determinants=2),
        3,
        3,
    ),
    "bosons": (Backflow(None, layers=1, width=4, pair_width=3), 3, 2),
}


@functools.cache
def start(name):
    """An ansatz, walkers (4, n, d), initial and perturbed parameters."""
    ansatz, n, d = CASES[name]
    walkers = np.random.default_rng(0).normal(size=(4, n, d))
    params = jax.jit(ansatz.init)(jax.random.key(1), walkers[0])
    rng = np.random.default_rng(2)
    off = jax.tree.map(lambda p: p + 0.2 * rng.normal(size=p.shape), params)
    apply = jax.jit(jax.vmap(ansatz.apply, (None, 0)))
    return ansatz, apply, walkers, params, off


def test_initial_psi_is_the_slater_determinant():
    _, apply, walkers, params, _ = start("closed shell")
    slater = Slater(Spins(3, 3))
    bare = jax.jit(slater.init)(jax.random.key(0), walkers[0])
    expected = jax.jit(jax.vmap(slater.apply, (None, 0)))(bare, walkers)
    found = apply(params, walkers)
    np.testing.assert_allclose(found.logabs, expected.logabs, rtol=1e-12)
    np.testing.assert_array_equal(found.sign, expected.sign)


@pytest.mark.parametrize("name", CASES)
def test_exchange_of_equal_particles_has_the_sign_of_the_statistics(name):
    ansatz, apply, walkers, _, off = start(name)
    swapped = walkers[:, np.array([1, 0, *range(2, walkers.shape[1])])]
    before, after = apply(off, walkers), apply(off, swapped)
    sign = 1 if ansatz.spins is None else -1
    np.testing.assert_allclose(after.logabs, before.logabs, rtol=1e-10)
    np.testing.assert_array_equal(after.sign, sign * before.sign)


def test_exchange_of_all_spins_leaves_psi_unchanged():
    _, apply, walkers, _, off = start("closed shell")
    flipped = walkers[:, np.array([3, 4, 5, 0, 1, 2])]
    np.testing.assert_allclose(
        apply(off, flipped).logabs, apply(off, walkers).logabs, rtol=1e-10
    )


def test_psi_depends_on_every_parameter():
    ansatz, apply, walkers, params, off = start("closed shell")
    slater = apply(params, walkers).logabs
    for name in off["params"]:
        changed = {"params": params["params"] | {name: off["params"][name]}}
        if name.startswith(
            "Message"
        ):  # its output counts once the last layers are not zero
            changed = {"params": off["params"] | {name: params["params"][name]}}
            assert not np.allclose(apply(changed, walkers).logabs,
                                   apply(off, walkers).logabs)  # fmt: skip
        else:
            assert not np.allclose(apply(changed, walkers).logabs, slater)


def test_psi_has_no_cusp_where_opposite_spins_meet():
    _, apply, walkers, _, off = start("closed shell")
    line = jnp.linspace(-1e-5, 1e-5, 5)  # of the distance between 0 (up) and 3 (down)
    x = jnp.tile(walkers[:1], (5, 1, 1))
    x = x.at[:, 3].set(x[:, 0] + line[:, None] * jnp.array([[0.6, 0.8]]))
    left, right = np.diff(apply(off, x).logabs)[[0, 3]] / 5e-6
    # a cusp of the Coulomb size would be a jump of 2; curvature gives order 1e-3
    assert abs(left - right) < 0.01


@pytest.mark.parametrize("field", ["layers", "width", "determinants"])
def test_invalid_sizes_are_refused(field):
    with pytest.raises(ValueError, match=field):
        Backflow(Spins(1, 1), **{field: 0})

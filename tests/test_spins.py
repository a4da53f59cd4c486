"""Configurations with explicit spins: equal energies, and sampling."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import NeutronMatter
from nqs.ansatze import SingletBackflow, SpinExplicit
from nqs.optimizers import FirstOrder
from nqs.space.spins import SpinPositions, Spins, sorted_by_spin
from nqs.types import Function, LogPsi
from nqs.vmc import VMC
from samplers import Metropolis, SpinsAndPositions
from tests.chi_square import p_value
from tests.drawn import parameters


@pytest.mark.parametrize("spins", [*itertools.permutations([0, 0, 1, 1])][::5])
def test_sign_of_sorting_is_that_of_the_permutation(spins):
    positions = np.arange(4.0)[:, None] + np.zeros((4, 3))
    order = np.argsort(spins, kind="stable")
    matrix = np.eye(4)[order]
    for number in (np, jnp):
        x = SpinPositions(jnp.asarray(positions), number.asarray(spins))
        found, sign = sorted_by_spin(x)
        np.testing.assert_array_equal(found, positions[order])
        assert float(sign) == round(np.linalg.det(matrix))


class Determinants(nn.Module):
    """Antisymmetric in the particles of each spin, with a factor that depends on both.

    It compiles in a second, unlike the networks of the toolkit.
    """

    spins: Spins

    @nn.compact
    def __call__(self, x):
        n, d = self.spins.n, 3
        waves = self.param("waves", nn.initializers.normal(0.5), (d, n), x.dtype)
        phases = self.param("phases", nn.initializers.normal(1.0), (n,), x.dtype)
        orbitals, up = jnp.sin(x @ waves + phases[None]), self.spins.up
        factor = jnp.sum(jnp.cos((x[:up, None] - x[None, up:]) @ waves))
        psi = jnp.linalg.det(orbitals[:up, :up]) * jnp.linalg.det(
            orbitals[up:, : self.spins.down]
        )
        return LogPsi(jnp.sign(psi), jnp.log(jnp.abs(psi)) + 0.1 * factor)


@pytest.mark.parametrize(
    "n_up, n_down, network",
    [
        (2, 2, False),
        *(
            pytest.param(*numbers, True, marks=pytest.mark.slow)
            for numbers in ((1, 1), (2, 1), (2, 2))
        ),
    ],
)
def test_explicit_and_labeled_spins_give_equal_energies(n_up, n_down, network):
    matter = NeutronMatter(Spins(n_up, n_down), 0.02)
    explicit = NeutronMatter(Spins(n_up, n_down), 0.02, spin_explicit=True)
    ansatz = Determinants(matter.spins)
    if network:
        ansatz = SingletBackflow(matter.spins, matter.box, True, 1, 4, 2)
    rng = np.random.default_rng(2)
    positions = matter.length_scale * rng.uniform(size=(6, n_up + n_down, 3))
    labels = np.tile(matter.spins.labels, (6, 1))
    walkers = SpinPositions(positions, rng.permuted(labels, axis=1))
    assert len(np.unique(walkers.spins, axis=0)) > 1
    params = parameters(ansatz, positions[0], scale=0.5)

    @jax.jit
    @jax.vmap
    def both(x):
        named = SpinExplicit(ansatz)
        inside = {"params": {"ansatz": params["params"]}}
        labeled = matter.terms(ansatz, params, sorted_by_spin(x)[0])
        return labeled, explicit.terms(named, inside, x)

    labeled, named = both(walkers)
    assert np.all(np.std(labeled["two_body"]) > 1e-3)  # not constant
    for name, expected in labeled.items():
        np.testing.assert_allclose(named[name], expected, rtol=1e-10)


def test_spins_are_sampled_from_psi_squared():
    """|psi|^2 of an arrangement of spins, independent of the positions."""

    def psi(params, x):
        s = 1.0 - 2.0 * x.spins
        logabs = 0.3 * s[0] * s[1] + 0.2 * s[1] * s[2] - jnp.sum(x.positions**2) / 2
        return LogPsi(jnp.ones(()), logabs)

    ansatz, sampler = Function(psi), Metropolis(80, 0.8, SpinsAndPositions())
    start = SpinPositions(
        jnp.zeros((4096, 4, 1)), jnp.tile(Spins(2, 2).labels, (4096, 1))
    )

    @jax.jit
    def run(key):
        state = sampler.init(start)
        return sampler.step(key, ansatz, {}, state)[0].walkers

    walkers = run(jax.random.key(0))
    arrangements = np.array(sorted(set(itertools.permutations([0, 0, 1, 1]))))
    s = 1.0 - 2.0 * arrangements
    weights = np.exp(0.6 * s[:, 0] * s[:, 1] + 0.4 * s[:, 1] * s[:, 2])
    assert p_value(walkers.spins, arrangements, weights / weights.sum()) > 1e-4
    wrong = weights**1.3
    assert p_value(walkers.spins, arrangements, wrong / wrong.sum()) < 1e-4
    assert abs(np.var(walkers.positions) - 0.5) < 0.03


@pytest.mark.further
def test_training_runs_with_explicit_spins():
    matter = NeutronMatter(Spins(1, 1), 0.005, spin_explicit=True)
    ansatz = SpinExplicit(Determinants(matter.spins))
    sampler = Metropolis(2, 1.0, SpinsAndPositions())
    vmc = VMC(ansatz, matter, sampler, FirstOrder("adam", 0.01))
    walkers = matter.initial_walkers(jax.random.key(0), 8)

    @jax.jit
    def first_step(keys, walkers):
        return vmc.step(keys[0], vmc.init(keys[1], walkers))

    state, info = first_step(jax.random.split(jax.random.key(1)), walkers)
    assert int(state.step) == 1
    assert np.isfinite(info["energy"]) and info["update_norm"] > 0

"""Walkers drawn from a power of psi: ratios, densities and arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import TransverseFieldIsing
from nqs.ansatze import BinaryRBM, FeedForward, RecurrentGRU
from nqs.ansatze.powers import Power, PowerOfSites, power
from nqs.capabilities import SiteRatios
from nqs.evolution.driver import Evolution
from nqs.optimizers.real_time import RealTime
from nqs.ratios.sites import site_ratios_of
from nqs.space.lattice import Lattice
from samplers import Direct
from tests.cases import further

RBM = BinaryRBM(alpha=2, complex=True, stddev=0.5)
X = jnp.array([0, 1, 1, 0])


@pytest.mark.parametrize("ansatz", [*further(RBM), FeedForward((5,))])
def test_ratios_are_those_of_the_modulus_to_a_power(ansatz):
    guide = power(ansatz, 0.3)
    assert isinstance(guide, SiteRatios) == isinstance(ansatz, SiteRatios)
    ratios, sites = site_ratios_of(guide), jnp.array([[1], [3]])

    @jax.jit
    def numbers(key):
        """Ratios, steps of log |psi|, and ratios of a move with its reverse."""
        params = ansatz.init(key, X)
        tables = ratios.site_tables(params)
        cache = ratios.site_cache(tables, X)
        found = ratios.site_ratios(tables, cache, X, sites, 1 - X[sites])
        steps, back = [], []
        for site in (1, 3):
            new, at = X.at[site].set(1 - X[site]), jnp.array([site])
            steps.append(
                ansatz.apply(params, new).logabs - ansatz.apply(params, X).logabs
            )
            ratio, moved = ratios.site_move(tables, cache, X, at, 1 - X[at])
            back.append(ratio * ratios.site_move(tables, moved, new, at, X[at])[0])
        return found, jnp.stack(steps), jnp.stack(back)

    found, steps, back = numbers(jax.random.key(0))
    np.testing.assert_allclose(found, np.exp(0.3 * steps), rtol=1e-10)
    np.testing.assert_allclose(back, 1, rtol=1e-10)


def test_power_of_psi_is_real_and_positive():
    guide = power(RBM, 0.5)
    assert type(guide) is PowerOfSites and type(power(FeedForward(), 1.0)) is Power
    params = guide.init(jax.random.key(1), X)
    psi, found = RBM.apply(params, X), guide.apply(params, X)
    assert not jnp.iscomplexobj(found.sign) and float(found.sign) == 1
    assert float(found.logabs) == pytest.approx(float(psi.logabs) / 2)


def test_guide_without_a_capability_of_the_sampler_is_refused():
    ansatz, ring = RecurrentGRU(4, phase=True), TransverseFieldIsing(Lattice((4,)))
    Evolution(ansatz, ring, Direct(), RealTime())
    with pytest.raises(ValueError, match="DirectSampling, .* got Power"):
        Evolution(ansatz, ring, Direct(), RealTime(), guide=power(ansatz, 0.5))

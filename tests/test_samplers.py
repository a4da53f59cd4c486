"""Samplers against densities with known moments, and their contracts.

`agrees` compares the last states of thousands of independent chains, which start from a
wrong distribution, with a known marginal. Deliberately wrong samplers must fail.
"""

import dataclasses
import functools
import itertools
import math
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from flax import linen

from nqs.ansatze import FeedForward, GaussianBinaryRBM, SlaterJastrow
from nqs.capabilities import DirectSampling, HiddenLayer, SiteRatios, implemented_by
from nqs.files import config as settings
from nqs.moves import accepted, log_green_ratio
from nqs.optimizers import FirstOrder
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from nqs.vmc import VMC
from samplers import AllParticles, Gibbs, Langevin, Metropolis, OneParticle, langevin
from samplers.langevin import LangevinState
from samplers.metropolis import quantiles, steps
from tests.cases import few, further, most
from tests.drawn import parameters

N_CHAINS = 4096


class Marginal(NamedTuple):
    """One coordinate's density: its first moments and its cumulative distribution."""

    mean: float
    variance: float
    fourth: float  # central moment
    cdf: object


def p_values(samples, marginal):
    """p-values of mean, variance and shape for samples of the marginal."""
    n = len(samples)
    mean_error = np.sqrt(marginal.variance / n)
    variance_error = np.sqrt((marginal.fourth - marginal.variance**2) / n)
    variance = np.mean((samples - marginal.mean) ** 2)
    z_mean = (np.mean(samples) - marginal.mean) / mean_error
    z_variance = (variance - marginal.variance) / variance_error
    ks = scipy.stats.kstest(samples, marginal.cdf).pvalue
    return *(2 * scipy.stats.norm.sf(np.abs([z_mean, z_variance]))), ks


def agrees(walkers, density):
    """Whether every known marginal has p > 1e-4 for mean, variance and KS."""
    flat = np.asarray(walkers).reshape(len(walkers), -1)
    assert len(flat) >= 4000 and np.all(np.isfinite(flat))
    return all(
        min(p_values(flat @ direction, marginal)) > 1e-4
        for direction, marginal in density
    )


def wrong_start(shape):
    """Walkers (w, *shape) on both sides of a node, from a wrong distribution."""
    cloud = np.random.default_rng(0).normal(1.5, 0.3, (N_CHAINS, *shape))
    sides = np.where(np.arange(N_CHAINS) % 2, 1.0, -1.0)
    return cloud * sides[:, None, None]


def last_states(sampler, ansatz, params, walkers, steps):
    """Last states of independent chains."""

    def step(state, key):
        return sampler.step(key, ansatz, params, state)[0], None

    keys = jax.random.split(jax.random.key(0), steps)
    return jax.lax.scan(step, sampler.init(walkers), keys)[0].walkers


# The first excited state of the oscillator, psi = x exp(-x^2 / 2): <x^2> = 3/2 and
# <x^4> = 15/4. It has a node, where the drift of Langevin diverges.


def first_excited(params, x):
    """The state of the first coordinate, in the ground state of the others."""
    return LogPsi(jnp.sign(x[0, 0]), jnp.log(jnp.abs(x[0, 0])) - jnp.sum(x * x) / 2)


def first_excited_cdf(x):
    return (1 + scipy.special.erf(x)) / 2 - x * np.exp(-(x**2)) / np.sqrt(np.pi)


EXCITED_MARGINAL = Marginal(0, 3 / 2, 15 / 4, first_excited_cdf)
GROUND_MARGINAL = Marginal(0, 1 / 2, 3 / 4, scipy.stats.norm(scale=0.5**0.5).cdf)
FIRST_EXCITED = [
    (direction, GROUND_MARGINAL if i else EXCITED_MARGINAL)
    for i, direction in enumerate(np.eye(4))
]


# A Gaussian of two particles in two dimensions; all coordinates are correlated and have
# different widths.

WIDTHS = np.array([0.6, 1.0, 1.3, 0.8])
COVARIANCE = 0.4 * np.outer(WIDTHS, WIDTHS) + 0.6 * np.diag(WIDTHS**2)
PRECISION = np.linalg.inv(COVARIANCE)


def correlated_gaussian(params, x):
    y = x.reshape(-1)
    return LogPsi(jnp.ones((), x.dtype), -y @ jnp.asarray(PRECISION, x.dtype) @ y / 4)


def normal_marginal(direction):
    variance = direction @ COVARIANCE @ direction
    cdf = scipy.stats.norm(scale=np.sqrt(variance)).cdf
    return direction, Marginal(0, variance, 3 * variance**2, cdf)


CORRELATED = [normal_marginal(v) for v in (*np.eye(4), np.ones(4), [1, -1, 1, -1])]
TARGETS = {"first excited state": FIRST_EXCITED, "correlated Gaussian": CORRELATED}
START = wrong_start((2, 2))


def one_of_both(excited, x):
    """The psi of one target, in one program for both."""
    pairs = zip(first_excited({}, x), correlated_gaussian({}, x), strict=True)
    return LogPsi(*(jnp.where(excited, one, other) for one, other in pairs))


# Wide moves and long time steps, so that the acceptance matters, and several sweeps a
# step, so that the state between sweeps matters.
DENSITY_SAMPLERS = {
    "all particles": (Metropolis(sweeps=10, width=1.0), 7),
    "one particle": (Metropolis(sweeps=6, width=1.5, move=OneParticle()), 7),
    "langevin": (Langevin(sweeps=8, time_step=0.4), 7),
}


@functools.cache
def compiled(name):
    """`last_states` of a target, with the acceptance ratio raised to a power.

    The last argument is another power, of the ratio of Green's functions alone.
    """
    sampler, steps = DENSITY_SAMPLERS[name]

    def run(walkers, excited, power, green_power):
        def powered(key, log_ratio):
            return accepted(key, power * log_ratio)

        def powered_green(xi, xi_back):
            return green_power * log_green_ratio(xi, xi_back)

        with (
            mock.patch("samplers.acceptance.accepted", powered),
            mock.patch.object(langevin, "log_green_ratio", powered_green),
        ):
            return last_states(sampler, Function(one_of_both), excited, walkers, steps)

    return jax.jit(run)


def ends(name, target, power=1.0, green_power=1.0, walkers=START):
    excited = target == "first excited state"
    return compiled(name)(walkers, excited, power, green_power)


@pytest.mark.parametrize("target", few(TARGETS, "first excited state"))
@pytest.mark.parametrize("name", DENSITY_SAMPLERS)
def test_sampler_has_the_moments_and_shape_of_its_density(name, target):
    assert agrees(ends(name, target), TARGETS[target])


# |psi|, |psi|^4, every move accepted, and 1 / |psi|^2 instead of |psi|^2
NEAR = [("correlated Gaussian", 0.5), ("first excited state", 2.0)]
WRONG = [
    pytest.param(*case, marks=() if case in NEAR else pytest.mark.further)
    for case in itertools.product(TARGETS, (0.5, 2.0, 0.0, -1.0))
]


@pytest.mark.parametrize("target, power", WRONG)
@pytest.mark.parametrize("name", DENSITY_SAMPLERS)
def test_sampler_with_a_wrong_acceptance_ratio_fails(name, target, power):
    assert not agrees(ends(name, target, power), TARGETS[target])


# halved, with the opposite sign, and omitted
FAR = further(-1.0, 0.0)


@pytest.mark.parametrize("green_power", [0.5, *FAR])
@pytest.mark.parametrize("target", TARGETS)
def test_langevin_with_a_wrong_green_ratio_fails(target, green_power):
    found = ends("langevin", target, green_power=green_power)
    assert not agrees(found, TARGETS[target])


@pytest.mark.parametrize("name", [*further("one particle"), "langevin"])
def test_sampler_has_the_density_in_single_precision(name):
    sampler, steps = DENSITY_SAMPLERS[name]
    ansatz, start = Function(correlated_gaussian), START.astype(np.float32)
    with jax.enable_x64(False):
        walkers = jax.jit(lambda x: last_states(sampler, ansatz, {}, x, steps))(start)
    assert walkers.dtype == jnp.float32
    assert agrees(walkers, CORRELATED)


@dataclasses.dataclass(frozen=True)
class Stretch:
    """x' = x exp(width xi), which proposes longer moves outwards than inwards."""

    heeded: float = 1.0  # power of the ratio of the proposals

    def moves_per_sweep(self, x):
        return 1

    def __call__(self, key, x, width):
        log_stretch = width * jax.random.normal(key, (), x.dtype)
        return x * jnp.exp(log_stretch), self.heeded * x.size * log_stretch


def test_asymmetric_move_is_right_only_with_the_ratio_of_its_proposals():
    start, density = wrong_start((1, 1)), [(np.ones(1), EXCITED_MARGINAL)]

    @jax.jit
    def run(heeded):
        sampler = Metropolis(sweeps=60, width=0.7, move=Stretch(heeded))
        return last_states(sampler, Function(first_excited), {}, start, 1)

    assert agrees(run(1.0), density)
    assert not agrees(run(0.0), density)
    assert not agrees(run(-1.0), density)


@pytest.mark.parametrize("name", few(DENSITY_SAMPLERS, "langevin"))
def test_walkers_leave_the_vicinity_of_a_node(name):
    distances = np.geomspace(1e-6, 0.1, N_CHAINS).reshape(-1, 1, 1)
    walkers = ends(name, "first excited state", walkers=np.sign(START) * distances)
    assert agrees(walkers, FIRST_EXCITED)


def test_rejection_of_langevin_moves_scales_as_tau_to_three_halves():
    """A wrong drift would give tau^(1/2).

    G. O. Roberts and J. S. Rosenthal, J. R. Stat. Soc. B 60, 255 (1998).
    """
    ansatz = Function(correlated_gaussian)
    noise = np.random.default_rng(4).normal(size=(40000, 4))
    walkers = (noise @ np.linalg.cholesky(COVARIANCE).T).reshape(-1, 2, 2)
    sampler = Langevin(sweeps=1)
    step = jax.jit(lambda state: sampler.step(jax.random.key(5), ansatz, {}, state))
    rejected = []
    for tau in (0.16, 0.04):
        _, info = step(LangevinState(walkers, jnp.asarray(tau)))
        rejected.append(1 - float(info["acceptance"]))
    # 4^(3/2) = 8 against 4^(1/2) = 2; about 200 rejections give 7 %.
    assert rejected[0] / rejected[1] > 6


# Gibbs sampling: the density of two coordinates from psi itself, on a grid.

RBM_PARAMS = {
    "params": {
        "visible_bias": np.array([[0.1], [0.1]]),
        "hidden_bias": np.array([-2.4, -8.7, -3.5]),
        "weights": np.array([[[0.8, 0.4, -1.8]], [[1.4, -3.3, 0.8]]]),
        "log_sigma": np.log([[0.7], [0.8]]),
    }
}
GRID = np.linspace(-9, 9, 361)


@functools.cache
def grid_density(root):
    """Both marginals by quadrature on a grid, spectrally exact for such a density."""
    ansatz = GaussianBinaryRBM(3, root, learn_sigma=True)
    points = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), axis=-1)[..., None]
    log_psi = jax.vmap(jax.vmap(lambda x: ansatz.apply(RBM_PARAMS, x).logabs))
    density = np.exp(2 * np.asarray(jax.jit(log_psi)(points)))
    marginals = []
    for axis in (0, 1):
        p = density.sum(axis=1 - axis) / density.sum()
        mean = p @ GRID
        second, fourth = (p @ (GRID - mean) ** k for k in (2, 4))
        cumulative = np.cumsum(p) - p / 2  # up to the center of the cell
        marginals.append(Marginal(mean, second, fourth, cdf_on_grid(cumulative)))
    return [*zip(np.eye(2), marginals, strict=True)]


def cdf_on_grid(values):
    return lambda x: np.interp(x, GRID, values)


class Faulty(GaussianBinaryRBM):
    """Wrong conditionals, by the numbers params["faults"]; all zero are right ones."""

    @linen.nowrap
    def sample_hidden(self, params, key, x):
        """With one layer twice if `equal`, and the field x sigma^(2 field - 2) w."""
        faults, sigma = params["faults"], jnp.exp(params["params"]["log_sigma"])
        hidden = super().sample_hidden(params, key, x * sigma ** (2 * faults["field"]))
        return jnp.where(faults["equal"] > 0, hidden[:1], hidden)

    @linen.nowrap
    def sample_visible(self, params, key, hidden):
        """With a standard deviation that is larger by a factor of 1 + width."""
        visible = super().sample_visible(params, key, hidden)
        sigma = jnp.exp(params["params"]["log_sigma"]) / hidden.shape[0] ** 0.5
        extra = params["faults"]["width"] * jax.random.normal(key, visible.shape)
        return visible + sigma * extra


# Samples of F of |psi|^2 = F^2 where it draws one layer and the width of F.
FAULTS = {
    "one layer only": {"equal": 1.0, "width": 2**0.5 - 1},
    "wrong width": {"width": 1.0},
    "wrong field": {"field": 1.0},
}
RIGHT = {"equal": 0.0, "width": 0.0, "field": 0.0}


@functools.cache
def gibbs(ansatz):
    start = wrong_start((2, 1))
    return jax.jit(lambda params: last_states(Gibbs(60), ansatz, params, start, 1))


@pytest.mark.parametrize("root", [True, *further(False)])
def test_gibbs_samples_the_density_of_the_machine(root):
    walkers = gibbs(GaussianBinaryRBM(3, root, learn_sigma=True))(RBM_PARAMS)
    assert agrees(walkers, grid_density(root))


@pytest.mark.parametrize("root", [True, False])
def test_density_of_the_machine_differs_from_a_gaussian(root):
    """A Gaussian density would not detect wrong conditionals."""
    for _, marginal in grid_density(root):
        normal = scipy.stats.norm(marginal.mean, np.sqrt(marginal.variance))
        # A KS test of 4096 samples has p = 1e-4 at a distance of 2.2 / 64 = 0.035.
        assert np.max(np.abs(normal.cdf(GRID) - marginal.cdf(GRID))) > 0.05


@pytest.mark.parametrize("fault", most(FAULTS, "one layer only"))
def test_gibbs_with_wrong_conditionals_fails(fault):
    params = RBM_PARAMS | {"faults": RIGHT | FAULTS[fault]}
    walkers = gibbs(Faulty(3, learn_sigma=True))(params)
    assert not agrees(walkers, grid_density(False))


# Step widths.

BURN_IN = {
    "all particles": (Metropolis(sweeps=2), (0.4, 0.6)),
    "one particle": (Metropolis(sweeps=1, move=OneParticle()), (0.4, 0.6)),
    "langevin": (Langevin(sweeps=2), (0.5, 0.9)),
}


@pytest.mark.parametrize("name", few(BURN_IN, "langevin"))
def test_burn_in_adapts_a_width_wrong_by_a_factor_of_ten(name):
    sampler, (lowest, highest) = BURN_IN[name]
    walkers = np.random.default_rng(0).normal(size=(128, 4, 2))
    ground_state = Function(
        lambda params, x: LogPsi(jnp.ones((), x.dtype), -jnp.sum(x * x) / 2)
    )

    @jax.jit
    def burn_in(key, state):
        def step(state, key):
            state, info = sampler.step(key, ground_state, {}, state)
            return sampler.adapt(state, info), info["acceptance"]

        return jax.lax.scan(step, state, jax.random.split(key, 100))

    settled, _ = burn_in(jax.random.key(2), sampler.init(jnp.asarray(walkers)))
    for factor in (10, 0.1):
        start = type(settled)(walkers, settled[1] * factor)
        state, acceptance = burn_in(jax.random.key(3), start)
        acceptance = np.asarray(acceptance)
        assert abs(acceptance[0] - sampler.acceptance) > 0.2  # a wrong width
        assert lowest < np.mean(acceptance[-10:]) < highest
        np.testing.assert_allclose(state[1], settled[1], rtol=0.2)  # 1000 moves a step


# Contracts. Every sampler can sample a restricted Boltzmann machine.

SAMPLERS = {
    "all particles": Metropolis(sweeps=3),
    "one particle": Metropolis(sweeps=3, move=OneParticle()),
    "langevin": Langevin(sweeps=3),
    "gibbs": Gibbs(sweeps=3),
}
RBM = GaussianBinaryRBM(2)


@pytest.fixture(params=SAMPLERS)
def sampler(request):
    return SAMPLERS[request.param]


@functools.partial(jax.jit, static_argnums=0)
def advance(sampler, key, params, state):
    """The state after a step, its info, and the adapted state."""
    state, info = sampler.step(key, RBM, params, state)
    return state, info, sampler.adapt(state, info)


@functools.cache
def start():
    """Parameters and walkers."""
    walkers = jnp.asarray(np.random.default_rng(0).normal(size=(16, 2, 2)))
    return parameters(RBM, walkers[0]), walkers


def described(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype, leaf.weak_type), tree)


def test_step_keeps_shapes_and_dtypes_of_the_state(sampler):
    params, walkers = start()
    state = sampler.init(walkers)
    new, info, adapted = advance(sampler, jax.random.key(2), params, state)
    assert type(new) is type(adapted) is type(state)
    assert described(new) == described(adapted) == described(state)
    assert {value.shape for value in info.values()} == {()}
    assert 0 < info["acceptance"] <= 1
    assert info.get("non_finite", 0) == 0


def test_step_promotes_no_dtypes(sampler, strict_dtypes):
    params, walkers = start()
    jax.eval_shape(
        lambda key, state: sampler.step(key, RBM, params, state),
        jax.random.key(2),
        sampler.init(walkers),
    )


def test_precision_follows_the_walkers(sampler):
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), start())
    found = jax.eval_shape(
        lambda params, walkers: advance(
            sampler, jax.random.key(2), params, sampler.init(walkers)
        ),
        *single,
    )
    for leaf in jax.tree.leaves(found):
        assert leaf.dtype == jnp.float32 or jnp.issubdtype(leaf.dtype, jnp.integer)


def test_step_does_not_adapt_the_width(sampler):
    params, walkers = start()
    state = sampler.init(walkers)
    new, info, _ = advance(sampler, jax.random.key(2), params, state)
    assert new._replace(walkers=None) == state._replace(walkers=None)
    adapted = sampler.adapt(new, info | {"acceptance": jnp.asarray(0.9)})
    np.testing.assert_array_equal(adapted.walkers, new.walkers)
    assert all(
        after > before for before, after in zip(new[1:], adapted[1:], strict=True)
    )


@pytest.mark.parametrize("name", BURN_IN)
def test_width_grows_with_the_acceptance(name):
    sampler, _ = BURN_IN[name]
    state = sampler.init(jnp.zeros((2, 1, 1)))
    for acceptance, sign in ((0.0, -1), (sampler.acceptance, 0), (1.0, 1)):
        new = sampler.adapt(state, {"acceptance": jnp.asarray(acceptance)})
        assert np.sign(new[1] - state[1]) == sign


def test_walkers_are_a_function_of_the_key(sampler):
    params, walkers = start()
    one, again, other = (
        np.asarray(
            advance(sampler, jax.random.key(seed), params, sampler.init(walkers))[
                0
            ].walkers
        )
        for seed in (2, 2, 3)
    )
    np.testing.assert_array_equal(one, again)
    assert np.mean(np.any(one != other, axis=(1, 2))) > 0.5


def test_walkers_are_independent(sampler):
    """Walkers at one position move to different positions."""
    params, walkers = start()
    state = sampler.init(jnp.zeros_like(walkers))
    state, *_ = advance(sampler, jax.random.key(2), params, state)
    moved = np.asarray(state.walkers)
    moved = moved[np.any(moved != 0, axis=(1, 2))]
    assert len(moved) > len(walkers) / 2
    numbers = moved[moved != 0]
    assert len(np.unique(numbers)) == len(numbers)


def test_second_step_does_not_recompile(sampler):
    params, walkers = start()
    *_, state = advance(sampler, jax.random.key(2), params, sampler.init(walkers))
    compiled = advance._cache_size()
    advance(sampler, jax.random.key(3), params, state)
    assert advance._cache_size() == compiled


def test_sampler_is_restored_from_its_configuration(sampler):
    again = settings.from_json(settings.to_json(sampler))
    assert again == sampler and hash(again) == hash(sampler)
    assert f"sweeps={sampler.sweeps}" in repr(sampler)


def test_steps_are_as_likely_in_either_direction():
    values = quantiles()
    np.testing.assert_array_equal(values, -values[::-1])
    np.testing.assert_allclose(
        values, scipy.stats.norm.ppf((np.arange(2**16) + 0.5) / 2**16), rtol=1e-6
    )


@pytest.mark.parametrize("x64", [False, True])
def test_steps_are_independent_normal_numbers(x64):
    with jax.enable_x64(x64):
        xi = np.asarray(steps(jax.random.key(3), (2**17 + 1, 3), jnp.float32))
    assert xi.dtype == np.float32
    assert scipy.stats.kstest(xi.ravel(), "norm").pvalue > 1e-3
    # of words of four or two numbers, beside and below each other
    neighbors = np.stack([xi.ravel()[k : k - 8] for k in range(8)])
    correlations = np.corrcoef(neighbors)[0, 1:]
    assert np.all(np.abs(correlations) < 4 / np.sqrt(xi.size))


def test_moves_have_the_given_width():
    x, width = jnp.arange(6.0).reshape(3, 2), jnp.asarray(0.3)
    keys = jax.random.split(jax.random.key(0), 3000)
    for move, expected in ((AllParticles(), 1.0), (OneParticle(), 1 / 3)):
        propose = jax.jit(jax.vmap(lambda key, move=move: move(key, x, width)))
        x_new, log_q_ratio = propose(keys)
        shift = np.asarray(x_new) - np.asarray(x)
        assert not np.any(log_q_ratio)
        moved = np.mean(shift != 0, axis=0)
        np.testing.assert_allclose(moved, expected, atol=4 * 0.5 / 3000**0.5)
        assert np.all(np.sum(np.any(shift != 0, axis=2), axis=1) == 3 * expected)
        # A variance estimated from 1000 or more numbers is good to 1/sqrt(500).
        spread = np.mean(shift**2, axis=0) / expected
        np.testing.assert_allclose(spread, 0.3**2, rtol=4 / 500**0.5)


@pytest.mark.parametrize("move, moves", [(AllParticles(), 1), (OneParticle(), 5)])
def test_a_sweep_proposes_one_move_per_particle_on_average(move, moves):
    assert move.moves_per_sweep(jnp.zeros((5, 2))) == moves
    # With a flat psi all moves are accepted, and displacements add up.
    flat = Function(lambda params, x: LogPsi(jnp.ones(()), jnp.zeros(())))
    sampler = Metropolis(sweeps=4, width=0.5, move=move)
    state = sampler.init(np.zeros((2000, 5, 2)))
    step = jax.jit(lambda key, state: sampler.step(key, flat, {}, state))
    state, info = step(jax.random.key(0), state)
    assert info["acceptance"] == 1
    # Four moves a particle on average; 20000 squares are good to 1 to 2 %.
    np.testing.assert_allclose(np.mean(np.square(state.walkers)), 4 * 0.25, rtol=0.06)


@pytest.mark.parametrize("sampler", [Metropolis(), Langevin()])
def test_step_traces_psi_once(sampler):
    calls = []

    def counted(params, x):
        calls.append(x)
        return correlated_gaussian(params, x)

    state = sampler.init(jnp.zeros((4, 2, 2)))
    step = functools.partial(sampler.step, jax.random.key(0), Function(counted), {})
    jax.eval_shape(step, state)
    assert len(calls) == 1


def test_acceptance_probability_is_the_ratio():
    keys = jax.random.split(jax.random.key(0), 10000)
    rates = jax.jit(jax.vmap(lambda key, r: accepted(key, jnp.asarray(r)), (0, None)))
    for log_ratio, expected in (
        (-1.0, math.exp(-1)),
        (-0.1, math.exp(-0.1)),
        (0.2, 1),
        (np.inf, 1),
        (-np.inf, 0),
        (np.nan, 0),
    ):
        rate = np.mean(rates(keys, log_ratio))
        error = np.sqrt(expected * (1 - expected) / len(keys))
        np.testing.assert_allclose(rate, expected, rtol=0, atol=4 * error)


def test_a_uniform_draw_of_zero_accepts_no_impossible_move():
    """A uniform float32 is zero once in 2^23 draws, as with this key."""
    key = jax.random.key(780233)
    assert jax.random.uniform(key, (), jnp.float32) == 0
    assert not accepted(key, jnp.asarray(-1000, jnp.float32))


# Numbers that are not finite.


def half_space(params, x):
    """exp(-sum x) where all coordinates exceed the edge, else `beyond`."""
    inside = jnp.all(x > params["edge"])
    return LogPsi(jnp.ones(()), jnp.where(inside, -jnp.sum(x), params["beyond"]))


@pytest.mark.parametrize("name", few(DENSITY_SAMPLERS, "one particle", "langevin"))
def test_moves_to_a_psi_that_is_not_finite_are_counted_and_rejected(name):
    """NaN and infinity are not finite; log 0 = -inf is a node."""
    sampler = dataclasses.replace(DENSITY_SAMPLERS[name][0], sweeps=3)
    start = sampler.init(jnp.full((50, 2, 1), 0.2))

    @jax.jit
    def step(edge, beyond):
        params = {"edge": edge, "beyond": beyond}
        return sampler.step(jax.random.key(0), Function(half_space), params, start)

    def inside(walkers):
        return np.all(walkers > 0) and np.any(walkers != 0.2)

    state, info = step(0.0, np.nan)
    assert info["non_finite"] > 10
    assert inside(np.asarray(state.walkers))
    _, info = step(0.0, np.inf)
    assert info["non_finite"] > 10
    state, info = step(0.0, -np.inf)
    assert info["non_finite"] == 0
    assert inside(np.asarray(state.walkers))
    state, info = step(np.inf, np.nan)  # not finite everywhere
    moves = 2 if name == "one particle" else 1
    assert info["non_finite"] == 50 * 3 * moves
    assert info["acceptance"] == 0
    np.testing.assert_array_equal(state.walkers, start.walkers)


# Refusals.


@pytest.mark.parametrize("sampler_type", [Metropolis, Langevin, Gibbs])
@pytest.mark.parametrize(
    "field, value",
    [
        ("sweeps", 0),
        ("sweeps", 1.5),
        ("width", 0.0),
        ("width", math.inf),
        ("width", math.nan),
        ("time_step", -0.1),
        ("acceptance", 0.0),
        ("acceptance", 1.0),
    ],
)
def test_impossible_settings_are_refused_by_name(sampler_type, field, value):
    if field not in {f.name for f in dataclasses.fields(sampler_type)}:
        return
    message = f"{sampler_type.__name__}.{field} must .*got {value}"
    with pytest.raises(ValueError, match=message):
        sampler_type(**{field: value})


def test_gibbs_is_refused_for_an_ansatz_without_hidden_layer():
    with pytest.raises(ValueError, match="GaussianBinaryRBM, for Gibbs, got Feed"):
        VMC(FeedForward(), None, Gibbs(), FirstOrder())
    with pytest.raises(ValueError, match="GaussianBinaryRBM.*got Product"):
        VMC(SlaterJastrow(Spins(1, 1)), None, Gibbs(), FirstOrder())
    VMC(GaussianBinaryRBM(), None, Gibbs(), FirstOrder())
    params, walkers = start()
    with pytest.raises(
        ValueError, match="Gibbs requires an ansatz with a HiddenLayer.*FeedForward"
    ):
        Gibbs().step(jax.random.key(0), FeedForward(), params, Gibbs().init(walkers))


def test_user_defined_capability_is_required():
    class Curvature:
        pass

    @dataclasses.dataclass(frozen=True)
    class Curved(Metropolis):
        requires = Curvature

    with pytest.raises(ValueError, match="a Curvature.*one of your own, for Curved"):
        VMC(FeedForward(), None, Curved(), FirstOrder())


def test_error_messages_list_the_ansatze_with_a_capability():
    assert implemented_by(HiddenLayer) == ["GaussianBinaryRBM"]
    assert implemented_by(DirectSampling) == ["RecurrentGRU"]
    assert "BinaryRBM" in implemented_by(SiteRatios)

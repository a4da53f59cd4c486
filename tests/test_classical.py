"""Classical models against sums over all configurations, and their samplers."""

import functools
import itertools

import jax
import numpy as np
import pytest

from hamiltonians import ClassicalIsing, ClassicalPotts
from hamiltonians.references.classical import kaufman
from nqs.ansatze import BinaryRBM, Boltzmann, RecurrentGRU
from nqs.capabilities import Clusters
from nqs.optimizers import FirstOrder
from nqs.space.lattice import Graph, Lattice
from nqs.statistics import Measurements, summary
from nqs.vmc import VMC
from samplers import Flip, Recolor, SiteMetropolis, Wolff
from tests.cases import further
from tests.chi_square import p_value
from tests.drawn import parameters

TORUS, RING = Lattice((2, 4), "square"), Lattice((7,))
OPEN = Lattice((3, 3), "square", periodic=False)
GRAPH = Graph(5, ((0, 1), (1, 3), (3, 4), (0, 4), (2, 1)))
MODELS = {
    "Ising torus": ClassicalIsing(TORUS, 2.0, 0.8),
    "Ising square": ClassicalIsing(Lattice((3, 3), "square"), 3.1),
    "Ising ring": ClassicalIsing(RING, 1.5, -0.7),
    "Potts torus": ClassicalPotts(TORUS, 0.9, 3, 1.1),
    "Potts ring": ClassicalPotts(Lattice((5,)), 1.7, 4),
}
CRITICAL = 2 / np.log(1 + np.sqrt(2))


def energies(model):
    """All configurations and their energies, bond by bond."""
    x = np.array([*itertools.product(range(model.levels), repeat=model.n)])
    total = np.zeros(len(x))
    for i, j in model.lattice.edges:
        if isinstance(model, ClassicalIsing):
            total -= model.j * (1 - 2 * x[:, i]) * (1 - 2 * x[:, j])
        else:
            total -= model.j * (x[:, i] == x[:, j])
    return x, total


@pytest.mark.parametrize("name", MODELS)
def test_energies_are_sums_over_bonds(name):
    model, (x, energy) = MODELS[name], energies(MODELS[name])
    np.testing.assert_allclose(jax.jit(jax.vmap(model.energy))(x), energy, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_references_are_sums_over_all_configurations(name):
    model, (_, energy) = MODELS[name], energies(MODELS[name])
    weights = np.exp(-energy / model.temperature)
    found = model.thermal()
    free = -model.temperature * np.log(weights.sum())
    assert found.free_energy == pytest.approx(free, rel=1e-12)
    assert found.energy == pytest.approx(weights @ energy / weights.sum(), rel=1e-11)
    (reference,) = model.references()
    assert (reference.value, reference.kind) == (found.free_energy, "exact")


@pytest.mark.parametrize("t", [1.7, CRITICAL, 2.269185, 4.0])
@pytest.mark.parametrize("extent", [(3, 4), *further(((6, 6),))])
def test_kaufman_agrees_with_the_transfer_matrix(extent, t):
    exact = ClassicalIsing(Lattice(extent, "square"), t, 0.9)
    found, known = kaufman(*extent, t, 0.9), exact.thermal()
    assert found.free_energy == pytest.approx(known.free_energy, rel=1e-12)
    assert found.energy == pytest.approx(known.energy, rel=1e-9)


def test_references_equal_the_values_of_the_reference_file():
    potts = ClassicalPotts(Lattice((4, 4), "square"), 0.994972861071817)
    found = potts.thermal()
    assert -found.free_energy / potts.temperature == pytest.approx(34.172608137824206)
    assert found.energy / 16 == pytest.approx(-1.7100622755048756)
    large = ClassicalIsing(Lattice((32, 32), "square"), CRITICAL, sampled=True)
    (reference,) = large.references()
    assert reference.value / 1024 == pytest.approx(-1.4336584661462481, rel=1e-9)
    free = large.thermal().free_energy
    assert -free / CRITICAL == pytest.approx(952.6480795485428, rel=1e-12)
    for unknown in (
        ClassicalIsing(GRAPH),
        ClassicalIsing(OPEN),
        ClassicalPotts(Lattice((8, 8), "square")),
        ClassicalIsing(Lattice((32, 32), "square"), j=-1.0),
        ClassicalIsing(Lattice((4, 4), "triangular")),
    ):
        assert unknown.references() == ()


def test_local_free_energy_of_the_exact_density_has_no_variance():
    model = ClassicalPotts(TORUS, 0.9, 3)
    x, energy = energies(model)
    log_z = np.log(np.sum(np.exp(-energy / model.temperature)))

    class Exact(Boltzmann):
        def apply(self, params, x):
            psi = super().apply(params, x)
            return psi._replace(logabs=psi.logabs - log_z / 2)

        def sample(self, params, key):
            raise NotImplementedError  # an ansatz with `sample` counts as normalized

    terms = jax.jit(jax.vmap(lambda x: model.terms(Exact(model), {}, x)))(x[:50])
    free = terms["energy"] + terms["T log p"]
    np.testing.assert_allclose(free, model.thermal().free_energy, rtol=1e-12)


def test_a_free_energy_is_an_upper_bound_and_reweighting_makes_it_exact():
    model = ClassicalIsing(Lattice((2, 3), "square"), 2.5)
    ansatz = RecurrentGRU(6, 4)
    params = parameters(ansatz, np.zeros(6, int), scale=0.1)
    keys = jax.random.split(jax.random.key(1), 40000)
    x = jax.jit(jax.vmap(ansatz.sample, (None, 0)))(params, keys)
    terms = jax.jit(jax.vmap(lambda x: model.terms(ansatz, params, x)))(x)
    terms = {k: np.asarray(v).reshape(400, 100) for k, v in terms.items()}
    drawn = Measurements(np.ones(400), np.zeros(400, int), terms, {}, {})
    found, exact = summary(drawn, model.derived), model.thermal()
    assert found["energy"] > exact.free_energy + 5 * found["energy_error"]
    observables = found["observables"]
    for name, value in (
        ("free_energy_reweighted", exact.free_energy),
        ("energy_reweighted", exact.energy),
    ):
        mean, error = observables[name]
        assert abs(mean - value) < 4 * error and 0 < error < 0.1
    entropy, _ = observables["entropy"]
    difference = found["terms"]["energy"][0] - model.temperature * entropy
    assert found["energy"] == pytest.approx(difference)


def test_heat_capacity_is_the_slope_of_the_energy():
    model = ClassicalIsing(TORUS, 2.0, sampled=True)
    x, energy = energies(model)
    p = np.exp(-energy / 2.0)
    drawn = np.random.default_rng(0).choice(energy, size=(500, 64), p=p / p.sum())
    measured = Measurements(np.ones(500), 0, {"energy": drawn}, {}, {})
    found = summary(measured, model.derived)["observables"]["heat_capacity"]
    around = [ClassicalIsing(TORUS, 2.0 + h).thermal().energy for h in (-1e-4, 1e-4)]
    assert abs(found[0] - (around[1] - around[0]) / 2e-4) < 4 * found[1]


def test_a_free_energy_needs_a_normalized_ansatz():
    model = ClassicalIsing(RING)
    ansatz = BinaryRBM()
    x = np.zeros(7, int)
    with pytest.raises(ValueError, match="such as RecurrentGRU, got BinaryRBM"):
        model.terms(ansatz, parameters(ansatz, x), x)


# Boltzmann's density, by single changes and by clusters.

SAMPLED = {
    "flip": (SiteMetropolis(Flip(), 8), ClassicalIsing(OPEN, 2.5)),
    "recolor": (SiteMetropolis(Recolor(3), 10), ClassicalPotts(RING, 0.8)),
    "wolff": (Wolff(8), ClassicalIsing(OPEN, 2.5)),
    "wolff, double bonds": (Wolff(8), ClassicalIsing(Lattice((2, 4), "square"), 4.0)),
    "wolff, potts": (Wolff(8), ClassicalPotts(RING, 0.8)),
}


@functools.cache
def last_states(name):
    """Last states of chains."""
    sampler, model = SAMPLED[name]

    def step(state, key):
        return sampler.step(key, Boltzmann(model), {}, state)[0], None

    @jax.jit
    def run(walkers, keys):
        return jax.lax.scan(step, sampler.init(walkers), keys)[0].walkers

    walkers = np.zeros((4096, model.n), int)
    return np.asarray(run(walkers, jax.random.split(jax.random.key(1), 8)))


def density_p_value(name, factor):
    """p-value of the samples for a temperature that is wrong by the factor."""
    model = SAMPLED[name][1]
    x, energy = energies(model)
    p = np.exp(-energy / (factor * model.temperature))
    return p_value(last_states(name), x, p)


DOUBLE = pytest.param("wolff, double bonds", marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "name", ["flip", *further("recolor", "wolff"), DOUBLE, "wolff, potts"]
)
def test_final_walkers_follow_the_boltzmann_distribution(name):
    assert density_p_value(name, 1.0) > 1e-4
    assert density_p_value(name, 0.87) < 1e-4


def test_cluster_updates_require_attraction():
    with pytest.raises(ValueError, match="positive J"):
        Boltzmann(ClassicalIsing(RING, j=-1.0)).bonds()
    assert isinstance(Boltzmann(ClassicalIsing(RING)), Clusters)
    model = ClassicalIsing(RING)
    with pytest.raises(ValueError, match="a Clusters, such as Boltzmann"):
        VMC(RecurrentGRU(7), model, Wolff(), FirstOrder())


@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: ClassicalIsing(RING, 0.0),
            "temperature must be finite and positive, got 0.0",
        ),
        (
            lambda: ClassicalIsing(RING, np.nan),
            "temperature must be finite and positive",
        ),
        (
            lambda: ClassicalPotts(RING, levels=1),
            "levels must be an integer >= 2, got 1",
        ),
    ],
)
def test_invalid_models_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()

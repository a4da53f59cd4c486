"""Contracts that every public part fulfills, over one table of all parts."""

import dataclasses
import functools
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hamiltonians
import nqs.ansatze
import nqs.observables
import samplers
from hamiltonians import (
    J1J2,
    TV,
    XXZ,
    BoseHubbard,
    ClassicalIsing,
    ClassicalPotts,
    Coulomb,
    ElectronGas,
    FermiGas,
    HarmonicTrap,
    Heisenberg,
    Hubbard,
    InverseSquare,
    Molecule,
    NeutronMatter,
    Nucleus,
    Potts,
    TransverseFieldIsing,
)
from nqs.ansatze import (
    Backflow,
    BinaryRBM,
    Boltzmann,
    ComplexParameters,
    ComplexSites,
    CorrelatedNucleons,
    DeepSets,
    FeedForward,
    GaussianBinaryRBM,
    GaussianJastrow,
    LatticeConv,
    LatticeProduct,
    LatticeSlater,
    LatticeTransformer,
    MolecularBackflow,
    PadeJastrow,
    PlaneWaveSlater,
    PowerJastrow,
    Product,
    ProjectedBCS,
    RecurrentGRU,
    Shifted,
    SingletBackflow,
    Slater,
    SpinExplicit,
    SpinJastrow,
    Symmetrized,
    SymmetrizedOrbits,
)
from nqs.contracts import check_symmetry
from nqs.files.config import from_json, to_json
from nqs.laplacian.kinetic import kinetic_energy
from nqs.observables import (
    Density,
    Dipole,
    LanczosStep,
    Magnetization,
    MeanSquareRadius,
    MomentumDistribution,
    NucleonDensity,
    OneBodyDensity,
    PairCorrelation,
    PairDistribution,
    PointRadius,
    RadialDensity,
    SiteStructureFactor,
    SpinPairDistribution,
    SpinSquared,
    StructureFactor,
)
from nqs.optimizers import SR, FirstOrder, MinSR, Spring
from nqs.space.lattice import Lattice, side_by_side
from nqs.space.spins import Spins
from nqs.types import DerivedObservable, Hamiltonian, LogPsi
from samplers import (
    AboutNuclei,
    Direct,
    Exchange,
    Flip,
    Gibbs,
    Hop,
    Langevin,
    Metropolis,
    NucleonMove,
    OneParticle,
    Periodic,
    Recolor,
    SiteMetropolis,
    SpinsAndPositions,
    Wolff,
)
from tests.cases import at, few, further, most
from tests.differences import kinetic_energy_from, near
from tests.drawn import parameters

THREE, RING, SQUARE = Spins(2, 1), Lattice((6,)), Lattice((4, 4), "square")
BOSONS = HarmonicTrap(3, 2, 1.0, Coulomb())
LINE = HarmonicTrap(3, 1, 1.0, InverseSquare(2.0))
ELECTRONS = HarmonicTrap(3, 2, 1.0, Coulomb(), THREE)
GAS = ElectronGas(Spins(1, 1), 2.0)
TWISTED = ElectronGas(Spins(2, 1), 2.0, twist=(0.1, 0.2, 0.3))
FERMI = FermiGas(Spins(1, 1))
PAIR, MATTER = NeutronMatter(Spins(1, 1), 0.02), NeutronMatter(Spins(2, 1), 0.02)
EXPLICIT = NeutronMatter(Spins(1, 1), 0.02, spin_explicit=True)
ISING, CHAIN, CLOCK = TransverseFieldIsing(RING), Heisenberg(RING), Potts(RING)
BOSE, SPINLESS = BoseHubbard(RING, 2.0), TV(RING, 2.0, 3)
HUBBARD = Hubbard(RING, 4.0, 2, 2)
COUNTED = ClassicalIsing(RING, 2.0)
SAMPLED = ClassicalPotts(SQUARE, 1.5, sampled=True)
SMALL = {"layers": 1, "width": 4}
GELU = DeepSets((4,), (3,), "gelu", phase=True)
SINGLET = SingletBackflow(PAIR.spins, PAIR.box, **SMALL, channels=2)
PAIRS = SingletBackflow(MATTER.spins, MATTER.box, True, **SMALL, channels=2)
EXPLICIT_PAIRS = SingletBackflow(EXPLICIT.spins, EXPLICIT.box, True, 1, 4, 2)
TRITON = Nucleus(3, 1)
WATER = Molecule.of("O 0 0 0; H 1.43 1.11 0; H -1.43 1.11 0", charge=7)
MOLECULAR = MolecularBackflow(WATER.nuclei, WATER.spins, **SMALL, determinants=2)
GRU = RecurrentGRU(RING.n, window=3, hidden=3)

# An ansatz by name, with a system for it.
ANSATZE = {
    "rbm": (GaussianBinaryRBM(4), BOSONS),
    "root of an rbm": (GaussianBinaryRBM(4, True, 0.8, learn_sigma=True), BOSONS),
    "feed-forward": (FeedForward((4, 4), residual=True), BOSONS),
    "complex feed-forward": (FeedForward((4,), "silu", phase=True), BOSONS),
    "deep sets": (DeepSets((4, 4), (3,), residual=True), BOSONS),
    "jastrow": (Product((FeedForward((4,)), PadeJastrow())), BOSONS),
    "gaussian jastrow": (Product((FeedForward((4,)), GaussianJastrow())), BOSONS),
    "power jastrow": (Product((GELU, PowerJastrow(2.0))), LINE),
    "backflow of bosons": (Backflow(None, **SMALL), BOSONS),
    "slater": (Slater(THREE), ELECTRONS),
    "slater and jastrow": (Product((Slater(THREE), PadeJastrow(THREE))), ELECTRONS),
    "backflow": (
        Backflow(THREE, **SMALL, determinants=2, pair_width=3),
        ELECTRONS,
    ),
    "plane waves": (PlaneWaveSlater(TWISTED.spins, GAS.box), GAS),
    "twisted waves": (
        PlaneWaveSlater(TWISTED.spins, TWISTED.box, TWISTED.twist),
        TWISTED,
    ),
    "twisted backflow": (
        Backflow(THREE, **SMALL, box=TWISTED.box, twist=TWISTED.twist, ranges=(0.7,)),
        TWISTED,
    ),
    "singlets": (SINGLET, PAIR),
    "pairs": (PAIRS, MATTER),
    "explicit spins": (SpinExplicit(EXPLICIT_PAIRS), EXPLICIT),
    "nucleons": (CorrelatedNucleons(1, 4, 2), TRITON),
    "molecule": (Product((MOLECULAR, PadeJastrow(WATER.spins))), WATER),
    "binary rbm": (BinaryRBM(), ISING),
    "spin jastrow": (SpinJastrow(), CHAIN),
    "electron pairs": (ProjectedBCS(RING), CHAIN),
    "pairs and a machine": (LatticeProduct((ProjectedBCS(RING), BinaryRBM())), CHAIN),
    "convolution": (LatticeConv(RING), ISING),
    "transformer": (LatticeTransformer(RING, features=4, heads=2), ISING),
    "recurrent": (GRU, COUNTED),
    "symmetrized": (Symmetrized(BinaryRBM(), RING), CHAIN),
    "orbits": (SymmetrizedOrbits(BinaryRBM(), RING, totals=CHAIN.totals), CHAIN),
    "lattice bosons": (BinaryRBM(levels=7, bosons=True), BOSE),
    "network of bosons": (FeedForward((4,), levels=7, bosons=True), BOSE),
    "lattice slater": (LatticeSlater(RING, (3,), (4,)), SPINLESS),
    "lattice slater of two spins": (
        LatticeSlater(RING, (2, 2), (4,), flip_symmetric=True),
        HUBBARD,
    ),
    "feed-forward on a lattice": (FeedForward((4,), levels=3), CLOCK),
    "boltzmann": (Boltzmann(SAMPLED), SAMPLED),
    "complex parameters": (
        ComplexParameters(Shifted(Product((Slater(THREE), PadeJastrow(THREE))))),
        ELECTRONS,
    ),
    "complex sites": (ComplexSites(BinaryRBM()), ISING),
    "complex average": (ComplexSites(Symmetrized(BinaryRBM(), RING)), ISING),
    "complex orbits": (ComplexSites(SymmetrizedOrbits(BinaryRBM(), RING)), ISING),
}
ANSATZE["plane waves"] = (PlaneWaveSlater(GAS.spins, GAS.box), GAS)
CONTINUOUS = [
    name for name, (_, system) in ANSATZE.items() if not hasattr(system, "lattice")
]

SAMPLERS = {
    "metropolis": (Metropolis(2), "slater"),
    "one particle": (Metropolis(2, move=OneParticle()), "feed-forward"),
    "langevin": (Langevin(2), "slater"),
    "about nuclei": (
        Metropolis(2, move=AboutNuclei(WATER.nuclei)),
        "jastrow of a molecule",
    ),
    "periodic": (Periodic(Langevin(2), TWISTED.box), "twisted waves"),
    "gibbs": (Gibbs(2), "rbm"),
    "explicit spins": (Metropolis(2, move=SpinsAndPositions()), "explicit spins"),
    "nucleons": (Metropolis(2, move=NucleonMove()), "nucleons"),
    "flip": (SiteMetropolis(Flip()), "binary rbm"),
    "exchange": (SiteMetropolis(Exchange(RING)), "spin jastrow"),
    "hop": (SiteMetropolis(Hop(RING, 7)), "lattice bosons"),
    "exchange of two spins": (
        SiteMetropolis(Exchange(side_by_side(RING, 2))),
        "lattice slater of two spins",
    ),
    "recolor": (SiteMetropolis(Recolor(3)), "feed-forward on a lattice"),
    "direct": (Direct(), "recurrent"),
    "wolff": (Wolff(), "boltzmann"),
}
OPTIMIZERS = {
    "adam": FirstOrder("adam", 0.01),
    "momentum": FirstOrder("momentum", 0.01, max_norm=1.0, weight_decay=0.1),
    "sr": SR(),
    "minsr": MinSR(),
    "spring": Spring(),
}
OBSERVABLES = {
    "radius": (MeanSquareRadius(), "slater"),
    "dipole": (Dipole(1), "slater"),
    "radial density": (RadialDensity(4.0, 5), "slater"),
    "density": (Density(4.0, 2, 5), "slater"),
    "pair correlation": (PairCorrelation(4.0, THREE, 5), "slater"),
    "pair correlation of bosons": (PairCorrelation(4.0, None, 5), "feed-forward"),
    "spin": (SpinSquared(THREE), "slater"),
    "spin by exchange": (SpinSquared(PAIR.spins), "plane waves of neutrons"),
    "one body": (OneBodyDensity(TWISTED.box, 5), "twisted waves"),
    "pair distribution": (PairDistribution(TWISTED.box, THREE, 5), "twisted waves"),
    "structure factor": (StructureFactor(TWISTED.box, THREE, 4), "twisted waves"),
    "momentum": (
        MomentumDistribution(TWISTED.box, THREE, TWISTED.twist, 4),
        "twisted waves",
    ),
    "spin pairs": (SpinPairDistribution(TWISTED.box, THREE, 5), "twisted waves"),
    "density of nucleons": (NucleonDensity(4.0, 5), "nucleons"),
    "radius of protons": (PointRadius(), "nucleons"),
    "lanczos": (LanczosStep(CHAIN), "binary rbm"),
    "magnetization": (Magnetization(), "binary rbm"),
    "sites": (SiteStructureFactor(RING), "binary rbm"),
    "density of sites": (
        SiteStructureFactor(RING, density=True),
        "lattice slater of two spins",
    ),
}
SYSTEMS = {str(type(system).__name__): system for _, system in ANSATZE.values()} | {
    "FermiGas": FERMI,
    "J1J2": J1J2(RING, j2=0.3),
    "XXZ": XXZ(RING, delta=0.5),
}

# The first ansatz of each system; networks of these systems take long to compile.
PLAIN = {
    "plane waves of neutrons": (PlaneWaveSlater(PAIR.spins, PAIR.box), PAIR),
    "jastrow of a molecule": (PadeJastrow(WATER.spins), WATER),
}
FIRST = {}
for label, (_, described) in (PLAIN | ANSATZE).items():
    FIRST.setdefault(type(described).__name__, label)


@functools.cache
def first_walkers(system):
    initial = jax.jit(lambda key: system.initial_walkers(key, 4))
    return jax.device_get(initial(jax.random.key(1)))


@functools.cache
def start(name):
    """Ansatz, system, parameters, and four walkers."""
    ansatz, system = (PLAIN | ANSATZE | VARIANTS)[name]
    walkers = first_walkers(system)
    x = jax.tree.map(lambda leaf: leaf[0], walkers)
    return ansatz, system, parameters(ansatz, x), walkers


@functools.cache
def compiled(name):
    return jax.jit(jax.vmap(start(name)[0].apply, (None, 0)))


def log_psi(name, x, block=128):
    """Psi (a, b) of at most 128 configurations (a, b, ...), by one program."""
    a, b = jax.tree.leaves(x)[0].shape[:2]
    place = np.minimum(np.arange(block), a * b - 1)
    assert a * b <= block
    flat = jax.tree.map(lambda leaf: leaf.reshape(a * b, *leaf.shape[2:])[place], x)
    psi = jax.device_get(compiled(name)(start(name)[2], flat))
    return jax.tree.map(lambda leaf: leaf[: a * b].reshape(a, b), psi)


def public(room, kind=object):
    members = {name: getattr(room, name) for name in room.__all__}
    return {
        name
        for name, member in members.items()
        if isinstance(member, type)
        and issubclass(member, kind)
        and not getattr(member, "__abstractmethods__", None)
        and not getattr(member, "_is_protocol", False)
    }


def names_within(part):
    """Names of the classes of a part and of the parts in its fields."""
    found = {type(part).__name__}
    if dataclasses.is_dataclass(part):
        for field in dataclasses.fields(part):
            value = getattr(part, field.name, None)
            for inner in value if isinstance(value, tuple) else (value,):
                found |= (
                    names_within(inner) if dataclasses.is_dataclass(inner) else set()
                )
    return found


def test_the_table_holds_every_public_part():
    tables = {
        nqs.ansatze: [ansatz for ansatz, _ in ANSATZE.values()],
        samplers: [sampler for sampler, _ in SAMPLERS.values()],
        nqs.observables: [observable for observable, _ in OBSERVABLES.values()],
    }
    inside = {"Envelope", "MessagePassing", "AllParticles"}  # of another part
    for room, parts in tables.items():
        listed = set().union(*(names_within(part) for part in parts)) | inside
        assert public(room) <= listed, public(room) - listed
    concrete = public(hamiltonians, Hamiltonian)
    assert concrete <= set(SYSTEMS), concrete - set(SYSTEMS)


EVERY = {
    **{name: ansatz for name, (ansatz, _) in ANSATZE.items()},
    **SYSTEMS,
    **{f"sampler {name}": sampler for name, (sampler, _) in SAMPLERS.items()},
    **{f"optimizer {name}": part for name, part in OPTIMIZERS.items()},
    **{f"observable {name}": part for name, (part, _) in OBSERVABLES.items()},
}


@pytest.mark.parametrize("name", EVERY)
def test_part_is_restored_from_its_configuration(name):
    again = from_json(to_json(EVERY[name]))
    assert again == EVERY[name] and hash(again) == hash(EVERY[name])


# All of them hold a sum of several terms, or of several units.
@pytest.mark.parametrize(
    "name", few(ANSATZE, "backflow", "pairs", "nucleons", "molecule", "deep sets")
)
def test_training_tells_the_terms_of_a_sum_apart(name):
    """Terms that are equal at first would have equal gradients, and remain equal."""
    ansatz, system = ANSATZE[name]
    walkers = first_walkers(system)
    x = jax.tree.map(lambda leaf: leaf[0], walkers)
    energies = np.array([1.0, -0.7, 0.4, 1.3])

    @jax.jit
    def step(params):
        def weighted(params):
            psi = jax.vmap(lambda x: ansatz.apply(params, x))(walkers)
            return energies @ jnp.real(psi.logabs)

        slopes = jax.grad(weighted)(params)
        largest = jax.tree.map(lambda slope: 1e-9 + jnp.max(jnp.abs(slope)), slopes)
        return jax.tree.map(
            lambda p, slope, size: p + 0.02 * jnp.conj(slope) / size,
            params,
            slopes,
            largest,
        )

    params = jax.jit(ansatz.init)(jax.random.key(0), x)
    for _ in range(3):
        params = step(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        columns = np.asarray(leaf).reshape(-1, leaf.shape[-1] if leaf.ndim else 1).T
        columns = columns.round(9)[np.any(abs(columns) > 1e-9, axis=1)]
        distinct = np.unique(columns, axis=0)
        assert len(distinct) == len(columns), jax.tree_util.keystr(path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_psi_is_scalar_and_follows_the_precision_of_the_walkers(name, dtype):
    ansatz, system = ANSATZE[name]
    x = jax.eval_shape(lambda key: system.initial_walkers(key, 1), jax.random.key(0))

    def cast(leaf):
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jax.ShapeDtypeStruct(leaf.shape[1:], dtype if floating else leaf.dtype)

    x = jax.tree.map(cast, x)
    params = jax.eval_shape(ansatz.init, jax.random.key(0), x)
    psi = jax.eval_shape(ansatz.apply, params, x)
    assert isinstance(psi, LogPsi) and psi.sign.shape == psi.logabs.shape == ()
    assert psi.logabs.dtype == dtype
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(params))


# Psi on a lattice only has to be finite, as tests/test_lattice_ansatze.py checks.
SYMMETRIC = [*CONTINUOUS, "lattice slater", "lattice slater of two spins", "boltzmann"]


@pytest.mark.parametrize(
    "name",
    most(
        SYMMETRIC,
        "complex parameters",
        "explicit spins",
        "lattice slater",
        "nucleons",
        "plane waves",
        "singlets",
        "twisted waves",
    ),
)
def test_psi_has_the_symmetries_of_its_system(name):
    ansatz, system, params, walkers = start(name)
    check_symmetry(
        ansatz, system, params, walkers, lambda psi_of_all, p, x: log_psi(name, x)
    )


# At given spins, psi of "explicit spins" is that of "pairs"; tests/test_spins.py
# compares the energies, and tests/test_nucleus.py and tests/test_molecule.py the
# Laplacians of "nucleons" and of "molecule".
ELSEWHERE = ["explicit spins", "nucleons", "molecule"]
ELLIPSE = HarmonicTrap(3, 2, (1.0, 2.5), Coulomb(), THREE)
ONE_SPIN = PadeJastrow(Spins(3, 0), 0.5)  # the cusp of equal spins alone
VARIANTS = {
    "elliptical trap": (Product((Slater(THREE, (1.0, 2.5)), ONE_SPIN)), ELLIPSE),
}


@pytest.mark.parametrize(
    "name",
    most(
        [name for name in [*CONTINUOUS, *VARIANTS] if name not in ELSEWHERE],
        "complex parameters",
        "deep sets",
        "elliptical trap",
        "gaussian jastrow",
        "pairs",
        "plane waves",
        "slater",
        "twisted waves",
    ),
)
def test_kinetic_energy_matches_differences_of_psi(name):
    ansatz, system, params, walkers = start(name)
    step = 0.005 * system.length_scale

    psi = log_psi(name, near(walkers[0], step))
    expected = kinetic_energy_from(psi, step)
    found = jax.jit(lambda p, x: kinetic_energy(ansatz, p, x))(params, walkers[0])
    assert np.isfinite(found)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "name", [*further("slater and jastrow"), "complex feed-forward"]
)
def test_both_laplacians_agree(name):
    ansatz, _, params, walkers = start(name)

    @jax.jit
    def both(params, x):
        forward = kinetic_energy(ansatz, params, x)
        return forward, kinetic_energy(ansatz, params, x, laplacian="loop")

    forward, loop = both(params, walkers[0])
    assert np.isfinite(loop)
    np.testing.assert_allclose(forward, loop, rtol=1e-9)


@pytest.mark.parametrize("name", at(FIRST.values(), 2, 3, 5, 7, 10), ids=FIRST)
def test_local_energy_is_the_finite_sum_of_its_terms(name):
    ansatz, system, params, walkers = start(name)
    x = jax.tree.map(lambda a: a[0], walkers)

    @jax.jit
    def evaluate(params, x):
        terms = system.terms(ansatz, params, x)
        with mock.patch.object(type(system), "terms", lambda *_: terms):  # not twice
            return terms, system.local_energy(ansatz, params, x)

    terms, energy = evaluate(params, x)
    assert all(term.shape == () for term in terms.values()) and np.isfinite(energy)
    np.testing.assert_allclose(sum(terms.values()), energy, rtol=1e-12)


@pytest.mark.parametrize(
    "name",
    most(
        SYSTEMS, "ClassicalIsing", "FermiGas", "J1J2", "NeutronMatter", "Potts", "XXZ"
    ),
)
def test_first_walkers_are_finite_and_reproducible(name):
    system = SYSTEMS[name]
    again = jax.jit(lambda key: system.initial_walkers(key, 4))(jax.random.key(1))
    for leaf, other in zip(
        jax.tree.leaves(first_walkers(system)), jax.tree.leaves(again), strict=True
    ):
        size = getattr(system, "size", system.n)  # two levels a site of fermions
        assert leaf.shape[:2] == (4, size) and np.all(np.isfinite(leaf))
        np.testing.assert_array_equal(leaf, other)


@pytest.mark.parametrize(
    "name",
    few(SAMPLERS, "about nuclei", "gibbs", "nucleons", "flip", "exchange of two spins"),
)
def test_step_keeps_shapes_and_dtypes_of_the_walkers(name):
    sampler, ansatz = SAMPLERS[name]
    ansatz, _, params, walkers = start(ansatz)

    @jax.jit
    def adapted(key, params, walkers):
        state, info = sampler.step(key, ansatz, params, sampler.init(walkers))
        return sampler.adapt(state, info), info

    state, info = adapted(jax.random.key(0), params, walkers)
    again, _ = adapted(jax.random.key(0), params, walkers)
    assert jax.tree.map(jnp.shape, state.walkers) == jax.tree.map(jnp.shape, walkers)
    for leaf, first in zip(
        jax.tree.leaves(again.walkers), jax.tree.leaves(state.walkers), strict=True
    ):
        np.testing.assert_array_equal(leaf, first)
    assert 0 <= info["acceptance"] <= 1
    assert all(jnp.shape(value) == () for value in info.values())


@pytest.mark.parametrize("name", few(OPTIMIZERS, "adam", "minsr"))
def test_an_update_is_finite_and_downhill(name):
    ansatz, _, params, walkers = start("feed-forward")
    transformation = OPTIMIZERS[name].build()
    energies = np.array([1.0, 2.0, -1.0, 0.5])

    @jax.jit
    def gradient_and_update(params):
        centered = energies - np.mean(energies)
        slopes = jax.vmap(jax.grad(log_psi), (None, 0))(params, walkers)
        gradient = jax.tree.map(
            lambda o: 2 * jnp.tensordot(centered, o, 1) / len(energies), slopes
        )
        update, _ = transformation.update(
            gradient,
            transformation.init(params),
            params,
            ansatz=ansatz,
            walkers=walkers,
            local_energy=jnp.asarray(energies),
            weights=None,
            chunk_size=None,
        )
        return gradient, update

    def log_psi(params, x):
        return ansatz.apply(params, x).logabs

    gradient, update = gradient_and_update(params)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(update))
    products = jax.tree.map(lambda g, u: np.sum(np.multiply(g, u)), gradient, update)
    assert sum(jax.tree.leaves(products)) < 0


@pytest.mark.parametrize(
    "name",
    most(
        OBSERVABLES,
        "density",
        "momentum",
        "pair correlation of bosons",
        "spin by exchange",
        "spin pairs",
    ),
)
def test_an_observable_has_the_shape_of_its_grid(name):
    observable, ansatz = OBSERVABLES[name]
    ansatz, _, params, walkers = start(ansatz)
    x = jax.tree.map(lambda leaf: leaf[0], walkers)
    value = jax.jit(lambda params, x: observable(ansatz, params, x))(params, x)
    curves = getattr(observable, "curves", ())
    points = () if observable.grid is None else observable.grid.shape
    if len(points) == 3:
        points = points[:2]
    if observable.grid is None and isinstance(observable, DerivedObservable):
        points = value.shape  # an array of any shape
    assert value.shape == ((len(curves), *points) if curves else points)
    assert value.dtype == jnp.float64 and np.all(np.isfinite(value))

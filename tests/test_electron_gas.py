"""The electron gas: plane waves are eigenstates of its kinetic energy; known totals."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import ElectronGas
from hamiltonians.forces.ewald import Ewald
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from tests.cases import at, further

SKEW = ((1.0, 0.2, 0.1), (0.7, 1.3, -0.2), (-0.4, 0.5, 0.9))
SLANTED = ((1.0, 0.0), (3.3, 0.8))


def plane_waves(gas):
    """Determinants of exp(i k . x), or of 1, cos(k . x), sin(k . x) without a twist."""

    def matrix(size, x):
        if gas.twist is not None:
            phases = x @ jnp.asarray(gas.box.wave_vectors(size, gas.twist).T, x.dtype)
            return jax.lax.complex(jnp.cos(phases), jnp.sin(phases))
        k = gas.box.wave_vectors(size)
        half = np.array([wave for wave in k.tolist() if wave > [0.0] * gas.d])
        phases = x @ jnp.asarray(half.reshape(-1, gas.d).T, x.dtype)
        ones = jnp.ones((size, 1), x.dtype)
        return jnp.concatenate([ones, jnp.cos(phases), jnp.sin(phases)], axis=1)

    def log_psi(params, x):
        sign, logabs = 1.0, 0.0
        for spin in (x[: gas.spins.up], x[gas.spins.up :]):
            if len(spin):
                sign_spin, log_spin = jnp.linalg.slogdet(matrix(len(spin), spin))
                sign, logabs = sign * sign_spin, logabs + log_spin
        return LogPsi(sign, logabs)

    return Function(log_psi)


@pytest.mark.parametrize(
    "gas",
    [
        pytest.param(ElectronGas(Spins(7, 7), 1.0), marks=pytest.mark.slow),
        *further(ElectronGas(Spins(7, 0), 5.0)),
        pytest.param(ElectronGas(Spins(5, 5), 2.0, 2), marks=pytest.mark.slow),
        ElectronGas(Spins(1, 1), 2.0, 2, SLANTED, (0.1, 0.3)),
        pytest.param(
            ElectronGas(Spins(4, 1), 2.0, 3, "cubic", (0.25, 0.25, 0.25)),
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_plane_waves_have_no_variance_of_kinetic_energy(gas):
    ansatz = plane_waves(gas)

    @jax.jit
    @jax.vmap
    def evaluate(x):
        terms = gas.terms(ansatz, {}, x)
        return terms["kinetic"], ansatz.apply({}, x).logabs

    fractions = np.random.default_rng(0).uniform(size=(24, gas.n, gas.d))
    kinetic, logabs = evaluate(fractions @ gas.box.vectors)
    # at a node the parts of the kinetic energy diverge, and their rounding with them
    kinetic = np.asarray(kinetic)[np.argsort(logabs)[12:]]
    waves = [gas.box.wave_vectors(n, gas.twist) for n in (gas.spins.up, gas.spins.down)]
    exact = sum(np.sum(k**2) for k in waves) / (2 * gas.rs**2)
    np.testing.assert_allclose(kinetic, exact, rtol=1e-9, atol=1e-12)
    assert np.var(kinetic) <= 1e-18


# By an independent program to 1e-10: (n_up, n_down, d, rs, hartree per electron)
HARTREE_FOCK = [
    (7, 7, 3, 1.0, 0.606534328824116),
    (7, 7, 3, 2.0, 0.02303894747347146),
    (7, 7, 3, 5.0, -0.05803919307587217),
    (27, 27, 3, 1.0, 0.56924472940341),
    (27, 27, 3, 2.0, 0.018767364684279766),
    (27, 27, 3, 5.0, -0.056298254130470154),
    (7, 0, 3, 1.0, 1.1312619166255746),
    (0, 7, 3, 2.0, 0.12079639195330202),
    (7, 0, 3, 5.0, -0.05844173914495568),
    (1, 1, 3, 1.0, -0.6985036421013426),
    (5, 5, 2, 1.0, -0.12461072307972393),
    (9, 9, 2, 5.0, -0.10695500087507842),
    (13, 0, 2, 2.0, -0.1688926845230066),
    (29, 29, 2, 20.0, -0.02886575664048675),
]


@pytest.mark.parametrize("n_up, n_down, d, rs, energy", HARTREE_FOCK)
def test_hartree_fock_energies_equal_published_values(n_up, n_down, d, rs, energy):
    gas = ElectronGas(Spins(n_up, n_down), rs, d)
    assert gas.hartree_fock_energy / gas.n == pytest.approx(energy, rel=1e-9)


@pytest.mark.parametrize(
    "gas", [ElectronGas(Spins(1, 1), 2.0), *further(ElectronGas(Spins(1, 1), 2.0, 2))]
)
def test_the_mean_interaction_of_two_free_electrons_is_their_hartree_fock_energy(gas):
    # psi is constant: the mean over the cell, from a grid that avoids the cusp
    m = {2: 64, 3: 20}[gas.d]
    grid = (np.array(list(itertools.product(range(m), repeat=gas.d))) + 0.5) / m
    x = np.zeros((len(grid), 2, gas.d))
    x[:, 1] = grid @ gas.box.vectors
    ewald = Ewald(gas.box, 4 / gas.box.volume ** (1 / gas.d))  # a fast splitting
    mean = np.mean(jax.jit(jax.vmap(ewald.energy))(x)) / gas.rs
    # a midpoint rule leaves about m^(1 - d) of the cusp
    assert mean == pytest.approx(gas.hartree_fock_energy, rel=2 / m ** (gas.d - 1))
    assert gas.hartree_fock_energy == pytest.approx(gas.ewald.madelung / gas.rs)


def test_one_electron_has_the_energy_of_its_twist():
    gas = ElectronGas(Spins(0, 1), 2.0, 3, SKEW, (0.2, 0.0, -0.1))
    k = np.array(gas.twist) @ gas.box.reciprocal
    expected = np.sum(k**2) / 2 / 4 + gas.ewald.madelung / 2 / 2
    assert gas.hartree_fock_energy == pytest.approx(expected, rel=1e-12)


def test_terms_scale_with_the_density(strict_dtypes):
    ansatz = Function(
        lambda params, x: LogPsi(jnp.ones((), x.dtype), -jnp.sum(x**2) / 2)
    )
    dense, dilute = ElectronGas(Spins(1, 1), 1.0), ElectronGas(Spins(1, 1), 4.0)
    assert dense.box == dilute.box
    x = np.array([[0.1, 0.2, 0.3], [1.5, 0.4, 0.7]])

    @jax.jit
    def evaluate(x):
        every = [gas.terms(ansatz, {}, x) for gas in (dense, dilute)]
        return *every, dilute.local_energy(ansatz, {}, x)

    terms, thin, local = evaluate(x)
    assert set(terms) == {"kinetic", "interaction"}
    assert {term.shape for term in terms.values()} == {()}
    np.testing.assert_allclose(terms["kinetic"], (6 - np.sum(x**2)) / 2, rtol=1e-12)
    interaction = jax.jit(Ewald(dense.box, 2.0).energy)(x)
    np.testing.assert_allclose(terms["interaction"], interaction, rtol=1e-9)
    np.testing.assert_allclose(thin["kinetic"], terms["kinetic"] / 16, rtol=1e-12)
    np.testing.assert_allclose(
        thin["interaction"], terms["interaction"] / 4, rtol=1e-12
    )
    np.testing.assert_allclose(local, sum(thin.values()), rtol=1e-12)
    single = jax.eval_shape(lambda x: dense.terms(ansatz, {}, x), x.astype(np.float32))
    assert {term.dtype for term in single.values()} == {np.dtype("float32")}


@pytest.mark.parametrize("shape", [None, "cubic", "bcc", "fcc", SKEW])
def test_the_box_holds_a_sphere_or_disc_of_radius_one_for_each_electron(shape):
    gas = ElectronGas(Spins(1, 1), 3.0, 3, shape)
    assert gas.box.volume == pytest.approx(2 * 4 * np.pi / 3, rel=1e-12)
    assert ElectronGas(Spins(5, 1), 3.0, 2).box.volume == pytest.approx(
        6 * np.pi, rel=1e-12
    )


def test_published_energies_come_first():
    best, upper = ElectronGas(Spins(7, 7), 1.0).references()
    assert (best.kind, upper.kind) == ("estimate", "upper_bound")
    assert best.value == pytest.approx(14 * 0.568945)
    assert best.error == pytest.approx(14 * 1e-5)
    assert "WAP-net" in best.source
    assert upper.value == pytest.approx(14 * 0.606534328824116, rel=1e-9)
    assert upper.error == 0
    dilute = ElectronGas(Spins(7, 7), 10).references()[0]
    assert dilute.value == pytest.approx(14 * -0.0552178)
    assert "DMC" in dilute.source
    assert ElectronGas(Spins(27, 27), 2.0).references()[0].value == 54 * -0.013966
    polarized = ElectronGas(Spins(0, 19), 5.0).references()
    assert polarized == ElectronGas(Spins(19, 0), 5.0).references()
    assert polarized[0].value == 19 * -0.067254
    rotated = ((0.0, 3.0, 0.0), (0.0, 0.0, 3.0), (3.0, 3.0, 0.0))  # the same lattice
    assert (
        len(ElectronGas(Spins(7, 7), 1.0, 3, rotated, (0.0, 0.0, 0.0)).references())
        == 2
    )


@pytest.mark.parametrize(
    "rs, energy", [(1, -1.4164808), (2, -0.7162831), (5, -0.293603)]
)
def test_two_electrons_in_a_cube_have_an_exact_reference(rs, energy):
    exact, upper = ElectronGas(Spins(1, 1), rs).references()
    assert (exact.kind, upper.kind) == ("exact", "upper_bound")
    assert exact.value == pytest.approx(energy, abs=1e-7)
    assert 0 < exact.error < 1e-7
    assert upper.value > exact.value


@pytest.mark.parametrize(
    "gas",
    [
        ElectronGas(Spins(7, 7), 3.0),
        ElectronGas(Spins(7, 0), 1.0),
        ElectronGas(Spins(7, 7), 1.0, 3, SKEW),
        ElectronGas(Spins(1, 1), 1.0, 3, "fcc"),
        ElectronGas(Spins(1, 1), 1.0, 3, None, (0.1, 0.0, 0.0)),
        ElectronGas(Spins(5, 5), 1.0, 2),
    ],
    ids=str,
)
def test_other_gases_have_only_the_hartree_fock_reference(gas):
    (upper,) = gas.references()
    assert upper.kind == "upper_bound"
    assert upper.value == gas.hartree_fock_energy


CLOUDS = [
    ElectronGas(Spins(7, 7), 1.0),
    pytest.param(ElectronGas(Spins(27, 27), 1.0), marks=pytest.mark.further),
    ElectronGas(Spins(1, 0), 1.0),
    ElectronGas(Spins(13, 1), 1.0, 3, "bcc"),
    ElectronGas(Spins(1, 1), 1.0, 3, SKEW),
    ElectronGas(Spins(5, 9), 1.0, 2),
    ElectronGas(Spins(7, 7), 1.0, 2, "triangular"),
    ElectronGas(
        Spins(1, 1), 1.0, 2, ((1.0, 0.0), (0.4, 30.0))
    ),  # thinner than the wall
    ElectronGas(Spins(3, 3), 1.0, 2, SLANTED),
]


@functools.cache
def first_walkers(gas):
    """The compiled function (key, number) -> walkers."""
    return jax.jit(gas.initial_walkers, static_argnums=1)


@pytest.mark.parametrize("gas", at(CLOUDS, 0, 3, 5, 7), ids=str)
def test_first_walkers_are_in_the_cell_and_apart(gas, strict_dtypes):
    draw = first_walkers(gas)
    walkers = draw(jax.random.key(1), 2000)
    assert walkers.shape == (2000, gas.n, gas.d)
    assert walkers.dtype == jnp.result_type(float)
    x = np.asarray(walkers)
    fractions = x @ np.linalg.inv(gas.box.vectors)
    assert np.all((fractions > -1e-12) & (fractions < 1 + 1e-12))
    i, j = np.triu_indices(gas.n, 1)
    some = x[:100]
    steps = itertools.product(range(-6, 7), repeat=gas.d)
    images = np.array(list(steps)) @ gas.box.vectors
    images = images[np.argsort(np.linalg.norm(images, axis=1))[:60]]
    r = (some[:, i] - some[:, j])[..., None, :] + images[None, None]
    assert np.min(np.linalg.norm(r, axis=-1), initial=np.inf) > 0.3 - 1e-9
    again = draw(jax.random.key(1), 2000)
    np.testing.assert_array_equal(walkers, again)
    other = draw(jax.random.key(2), 2000)
    assert not np.any(np.asarray(other) == x)


@pytest.mark.parametrize(
    "gas", [*further(CLOUDS[0]), CLOUDS[3], *further(CLOUDS[6])], ids=str
)
def test_first_walkers_are_uniform_and_their_spins_mixed(gas):
    walkers = np.asarray(first_walkers(gas)(jax.random.key(3), 2000))
    fractions = walkers @ np.linalg.inv(gas.box.vectors)
    # of each electron alone, in 10 bins an axis: 9 degrees of freedom, 1e-6 at 45
    for electron, axis in itertools.product((0, gas.n - 1), range(gas.d)):
        counts, _ = np.histogram(fractions[:, electron, axis], 10, (0, 1))
        assert np.sum((counts - 200) ** 2 / 200) < 45
    # the first two electrons are as far apart as the first and the last
    near, far = (
        np.mean(np.cos(2 * np.pi * (fractions[:, 0] - fractions[:, other])))
        for other in (1, gas.n - 1)
    )
    assert abs(near - far) < 5 * np.sqrt(1 / (2000 * gas.d))


@pytest.mark.further
def test_first_walkers_can_be_compiled():
    gas = ElectronGas(Spins(7, 7), 1.0)
    compiled = jax.jit(gas.initial_walkers, static_argnums=1)(jax.random.key(0), 4)
    walkers = gas.initial_walkers(jax.random.key(0), 4)
    np.testing.assert_allclose(compiled, walkers, atol=1e-12)


@pytest.mark.parametrize("d, n", [(3, 7), (2, 5)])
def test_pressure_is_minus_the_volume_derivative_of_the_energy(d, n):
    """-dE / dOmega of the Hartree-Fock state, whose shape a stretch does not change."""

    def gas(rs):
        return ElectronGas(Spins(n, n), rs, d)

    rs, h = 2.0, 1e-4
    k = gas(rs).box.wave_vectors(n)
    kinetic = np.sum(k**2) / rs**2  # of both spins
    terms = {"kinetic": kinetic, "interaction": gas(rs).hartree_fock_energy - kinetic}
    pressure, mean = gas(rs).derived(terms)["pressure"]
    energies = [gas(a).hartree_fock_energy for a in (rs - h, rs + h)]
    volumes = [gas(a).box.volume * a**d for a in (rs - h, rs + h)]
    slope = (energies[1] - energies[0]) / (volumes[1] - volumes[0])
    assert pressure(mean) == pytest.approx(-slope, rel=1e-6)


def test_gases_with_equal_fields_are_equal_and_have_equal_hashes():
    gas = ElectronGas(Spins(7, 7), 2.0)
    assert gas == ElectronGas(spins=Spins(7, 7), rs=2.0, d=3, cell=None, twist=None)
    assert hash(gas) == hash(ElectronGas(Spins(7, 7), 2.0))
    assert (gas.energy_unit, gas.length_unit) == ("hartree", "r_s")
    assert (gas.n, gas.length_scale) == (14, 1.0)


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(spins=14), "spins must be Spins.up, down., got 14"),
        (dict(rs=0.0), "rs must be finite and positive, got 0.0"),
        (dict(rs=-1.0), "rs must be finite and positive, got -1.0"),
        (dict(rs=np.inf), "rs must be finite and positive, got inf"),
        (dict(rs=np.nan), "rs must be finite and positive, got nan"),
        (dict(rs="2"), "rs must be finite and positive, got '2'"),
        (dict(d=1), "d must be an integer >= 2 and <= 3, got 1"),
        (dict(d=3.0), "d must be an integer .* got 3.0"),
        (dict(cell="round"), "one of cubic, bcc, fcc, got 'round'"),
        (dict(cell="square"), "one of cubic, bcc, fcc, got 'square'"),
        (dict(cell=""), "one of cubic, bcc, fcc, got ''"),
        (dict(cell=3.0), "cell must be d lattice vectors .* got 3.0"),
        (dict(cell=((1.0, "a"),)), "cell must be d lattice vectors .*, got .*'a'"),
        (dict(cell=SLANTED), "cell must be d=3 lattice vectors"),
        (dict(cell=((1.0, 0.0, 0.0),) * 3), "cell must span a volume"),
        (dict(twist=0.5), "twist must be d=3 numbers, .* got 0.5"),
        (dict(twist=(0.5,)), "twist must be d=3 numbers, .* got .0.5,"),
        (dict(twist=(0.1, 0.2, np.nan)), "twist must be a finite number, got nan"),
        (dict(twist=(0.1, 0.2, "a")), "twist must be a finite number, got 'a'"),
        (
            dict(spins=Spins(8, 7)),
            "spins.up: 8 particles of one spin are an open shell .* closed .* 7 and 19",
        ),
        (
            dict(twist=(0.25, 0.0, 0.0)),
            "spins.up: 7 particles of one spin are an open shell at twist .0.25",
        ),
        (
            dict(spins=Spins(7, 2)),
            "spins.down: 2 particles .* nearest closed shells are 1 and 7",
        ),
    ],
)
def test_invalid_fields_of_a_gas_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        ElectronGas(**{"spins": Spins(7, 7), "rs": 1.0, **fields})

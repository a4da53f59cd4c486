"""Molecules: exact states, cusps, references, the ansatz and its move."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.polynomial.laguerre import lag2poly
from numpy.polynomial.legendre import leg2poly

from experiments.molecule import MoleculeOptions
from hamiltonians import Molecule
from hamiltonians.references.two_centers import ground_state
from nqs.ansatze import MolecularBackflow, PadeJastrow, Product
from nqs.optimizers import FirstOrder
from nqs.space.nuclei import Nuclei
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from nqs.vmc import VMC
from samplers import AboutNuclei, Metropolis
from tests.cases import further
from tests.differences import kinetic_by_differences
from tests.drawn import parameters

LITHIUM, BERYLLIUM = "Li 0.1 0.2 -0.3", "Be 0 0 0"
HYDRIDE = "Li 0 0 0; H 0.2 0 3.015"


def ansatz_of(molecule, **settings):
    settings = {"layers": 1, "width": 4, "determinants": 2} | settings
    backflow = MolecularBackflow(molecule.nuclei, molecule.spins, **settings)
    return Product((backflow, PadeJastrow(molecule.spins)))


@functools.cache
def start(atoms):
    """A molecule, its ansatz, perturbed parameters and eight walkers."""
    molecule = Molecule.of(atoms)
    ansatz = ansatz_of(molecule)
    walkers = walkers_of(molecule, 8)
    return molecule, ansatz, parameters(ansatz, walkers[0]), walkers


def walkers_of(molecule, n_walkers):
    """Walkers (w, n, 3) about the nuclei in turn."""
    rng = np.random.default_rng(0)
    n, nuclei = molecule.spins.up + molecule.spins.down, molecule.nuclei.positions
    centers = np.array(nuclei)[np.arange(n) % len(nuclei)]
    return centers + 0.8 * rng.normal(size=(n_walkers, n, 3))


@functools.cache
def psi_of(atoms):
    """The compiled function (params, walkers) -> log psi."""
    return jax.jit(jax.vmap(start(atoms)[1].apply, (None, 0)))


@functools.cache
def local_energy(atoms):
    """The compiled function (params, x) -> local energy ()."""
    molecule, ansatz, _, _ = start(atoms)
    return jax.jit(lambda params, x: molecule.local_energy(ansatz, params, x))


def local_energies(molecule, psi, walkers):
    ansatz = psi if hasattr(psi, "apply") else Function(lambda _, x: psi(x))
    energy = jax.jit(jax.vmap(lambda x: molecule.local_energy(ansatz, {}, x)))
    return np.asarray(energy(walkers))


# The Hamiltonian.


@pytest.mark.parametrize(
    "atoms, charge", [*further(("H 0 0 0", 1)), ("Be 1 -2 0.5", 4)]
)
def test_hydrogen_like_state_has_no_variance(atoms, charge, strict_dtypes):
    molecule = Molecule.of(atoms, charge - 1)
    walkers = walkers_of(molecule, 64)

    def psi(x):
        r = jnp.linalg.norm(molecule.nuclei.displacements(x))
        return LogPsi(jnp.ones((), x.dtype), -charge * r)

    found = local_energies(molecule, psi, walkers)
    np.testing.assert_allclose(found, -(charge**2) / 2, rtol=1e-9)
    assert molecule.references()[0].value == -(charge**2) / 2


def in_powers(to, n):
    """Coefficients (n, n) of each polynomial of a basis, in powers."""
    return np.array(
        [np.pad(to(row[: k + 1]), (0, n - 1 - k)) for k, row in enumerate(np.eye(n))]
    )


@pytest.mark.parametrize(
    "z_1, z_2, distance",
    [pytest.param(1, 1, 2.0, marks=pytest.mark.further), (2, 1, 1.5)],
)
def test_exact_state_of_one_electron_about_two_nuclei_has_no_variance(
    z_1, z_2, distance
):
    # the axis is not one of the coordinates
    axis = np.array([1.0, 2.0, 2.0]) / 3
    nuclei = Nuclei((z_1, z_2), ((0.5, 0.0, 0.0), tuple(axis * distance + [0.5, 0, 0])))
    molecule = Molecule(nuclei, Spins(1))
    energy, p, coefficients = ground_state(z_1, z_2, distance, 12)
    laguerre, legendre = (in_powers(to, 12) for to in (lag2poly, leg2poly))
    powers = laguerre.T @ coefficients @ legendre  # of t and eta

    def psi(x):
        one, two = jnp.linalg.norm(nuclei.displacements(x)[0], axis=-1)
        xi, eta = (one + two) / distance, (one - two) / distance
        t, k = 2 * p * (xi - 1), np.arange(12)
        value = t**k @ powers @ eta**k
        return LogPsi(jnp.sign(value), jnp.log(jnp.abs(value)) - t / 2)

    walkers = np.random.default_rng(0).normal(0.5, 0.7, (64, 1, 3))
    found = local_energies(molecule, psi, walkers)
    expected = energy + z_1 * z_2 / distance
    np.testing.assert_allclose(found, expected, atol=2e-4)  # of the basis
    assert molecule.references()[0].value == pytest.approx(expected, abs=1e-8)


def test_one_electron_about_two_protons_has_its_published_energy():
    """H2+ at R = 2: D. M. Bishop, J. Chem. Phys. 53, 1541 (1970)."""
    (reference,) = Molecule.of("H 0 0 0; H 0 2 0", 1).references()
    assert reference.kind == "exact"
    assert reference.value == pytest.approx(-0.6026342144949, abs=1e-11)


def test_terms_are_those_of_point_charges(strict_dtypes):
    molecule = Molecule.of("Li 0 0 0; H 0 0 3", n_up=1, charge=2)
    ansatz = Function(lambda _, x: LogPsi(jnp.ones((), x.dtype), -jnp.sum(x**2)))
    x = np.array([[0.0, 4.0, 0.0], [0.0, 4.0, 3.0]])
    terms = jax.jit(lambda x: molecule.terms(ansatz, {}, x))(x)
    assert terms["kinetic"] == pytest.approx(6 - 2 * 41)  # 3 n a - 2 a^2 x^2, a = 1
    attraction = 3 / 4 + 1 / 5 + 3 / 5 + 1 / 4
    assert terms["attraction"] == pytest.approx(-attraction)
    assert terms["repulsion"] == pytest.approx(1 / 3)
    assert terms["nuclei"] == pytest.approx(3 * 1 / 3)


def test_repulsion_of_three_nuclei_is_the_sum_over_pairs():
    nuclei = Nuclei.parse("O 0 0 0; H 3 0 0; He 0 4 0")
    assert nuclei.repulsion == pytest.approx(8 / 3 + 16 / 4 + 2 / 5)


def test_virial_ratio_is_that_of_atoms():
    atom, molecule = Molecule.of(BERYLLIUM), Molecule.of(HYDRIDE)
    terms = {"kinetic": 14.0, "attraction": -33.0, "repulsion": 5.0, "nuclei": 0.0}
    function, *means = atom.derived(terms)["virial_ratio"]
    assert function(*means) == 2.0
    assert molecule.derived(terms) == {}


def test_first_walkers_surround_neutral_atoms_with_both_spins():
    molecule = Molecule.of("Li 0 0 0; H 0 0 100")
    ion = Molecule.of("H 0 0 0; H 0 0 100", 1)

    @jax.jit
    def first(key):
        return [system.initial_walkers(key, 50) for system in (molecule, ion)]

    x, of_ion = map(np.asarray, first(jax.random.key(0)))
    at_hydrogen = np.linalg.norm(x - [0, 0, 100], axis=-1) < 50
    np.testing.assert_array_equal(np.sum(at_hydrogen, axis=1), 1)
    assert not at_hydrogen[:, : molecule.spins.up].any()
    above = of_ion[:, 0, 2] > 50
    assert 0 <= above.mean() < 1


@pytest.mark.parametrize(
    "atoms, options, message",
    [
        ("Xx 0 0 0", {}, "atoms must be elements from H to Ar, got 'Xx'"),
        ("H 0 0", {}, "positions in bohr, got 'H 0 0'"),
        ("H 0 0 a", {}, "positions in bohr, got 'H 0 0 a'"),
        ("", {}, "atoms must be elements from H to Ar, got ''"),
        ("H 0 0 0; H 0 0 0", {}, "positions must be different"),
        ("H 0 0 inf", {}, "positions must be a finite number, got inf"),
        ("H 0 0 0", {"charge": 1}, "charge must be an integer >= -1 and <= 0, got 1"),
        ("He 0 0 0", {"n_up": 3}, "n_up must be an integer >= 0 and <= 2, got 3"),
    ],
)
def test_invalid_molecules_are_refused(atoms, options, message):
    with pytest.raises(ValueError, match=message):
        MoleculeOptions(atoms=atoms, **options).experiment()


def test_ansatz_about_other_nuclei_is_refused():
    molecule, other = Molecule.of(HYDRIDE), Molecule.of("H 0 0 0; Li 0.2 0 3.015")
    with pytest.raises(ValueError, match="nuclei of MolecularBackflow must equal"):
        VMC(ansatz_of(other), molecule, Metropolis(), FirstOrder())


# The ansatz.


@pytest.mark.parametrize("nucleus, particle", [(0, 0), (0, 3), (1, 1)])
def test_local_energy_is_finite_where_an_electron_meets_a_nucleus(nucleus, particle):
    molecule, _, params, walkers = start(HYDRIDE)
    center = np.asarray(molecule.nuclei.positions[nucleus])
    direction = np.array([0.6, 0.0, 0.8])

    def at(r):
        x = walkers[0].copy()
        x[particle] = center + r * direction
        return float(local_energy(HYDRIDE)(params, x))

    far, near, nearest = at(1e-3), at(1e-4), at(1e-5)
    # without the cusp the energy would change by Z (1e5 - 1e4)
    assert abs(near - nearest) < 0.02 * abs(near - far) + 0.2
    assert abs(nearest) < 1e3


@pytest.mark.further
def test_spherical_average_of_psi_has_the_cusp_of_the_charge():
    """d psi / dr = -Z psi for psi averaged over directions (T. Kato, 1957)."""
    molecule, ansatz, params, walkers = start(LITHIUM)
    center = np.asarray(molecule.nuclei.positions[0])
    sides = np.array([*np.eye(3), *-np.eye(3)])
    x = jnp.asarray(walkers[0])

    def psi(r):
        def at(side):
            moved = x.at[0].set(center + r * side)
            return ansatz.apply(params, moved).over(ansatz.apply(params, x))

        return jnp.mean(jax.vmap(at)(sides))

    value, slope = jax.jit(jax.value_and_grad(psi))(1e-7)
    assert slope / value == pytest.approx(-3, abs=1e-4)


def test_hydrogen_like_atoms_start_in_their_ground_state():
    molecule = Molecule.of("Be 0.3 0 0", 3)
    backflow = MolecularBackflow(molecule.nuclei, molecule.spins, 1, 4, 1)
    walkers = walkers_of(molecule, 2)

    @jax.jit
    def energies(key, walkers):
        params = backflow.init(key, walkers[0])
        layers = params["params"]
        factors = layers["Dense_1"]
        factors = factors | {"kernel": jnp.zeros_like(factors["kernel"])}
        bare = {"params": layers | {"Dense_1": factors}}
        return jax.vmap(lambda x: molecule.local_energy(backflow, bare, x))(walkers)

    np.testing.assert_allclose(energies(jax.random.key(1), walkers), -8, rtol=1e-9)


def test_exchange_of_equal_spins_changes_the_sign():
    _, _, params, walkers = start(HYDRIDE)
    apply = psi_of(HYDRIDE)
    before = jax.tree.map(np.asarray, apply(params, walkers))
    for order in ([1, 0, 2, 3], [0, 1, 3, 2]):
        after = apply(params, walkers[:, np.array(order)])
        np.testing.assert_array_equal(after.sign, -before.sign)
        np.testing.assert_allclose(after.logabs, before.logabs, rtol=1e-9)
    flipped = apply(params, walkers[:, np.array([2, 3, 0, 1])])
    np.testing.assert_allclose(flipped.logabs, before.logabs, rtol=1e-9)


def test_spin_is_among_the_features_without_flip_symmetry():
    molecule, _, _, walkers = start(HYDRIDE)
    ansatz = ansatz_of(molecule, flip_symmetric=False)
    params = parameters(ansatz, walkers[0])
    apply = jax.jit(jax.vmap(ansatz.apply, (None, 0)))
    before = apply(params, walkers).logabs
    assert not np.allclose(before, apply(params, walkers[:, np.array([2, 3, 0, 1])])[1])


def test_local_energy_matches_finite_differences():
    molecule, _, params, walkers = start(HYDRIDE)
    x = walkers[0]

    @jax.jit
    def potential(x):
        constant = Function(lambda _, x: LogPsi(jnp.ones(()), 0 * jnp.sum(x)))
        terms = molecule.terms(constant, {}, x)
        return sum(terms[name] for name in terms if name != "kinetic")

    psi = functools.partial(psi_of(HYDRIDE), params)
    expected = potential(x) + kinetic_by_differences(psi, x, batch=len(walkers))
    found = local_energy(HYDRIDE)(params, x)
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize(
    "atoms, n_up",
    [
        *further(("N 0 0 0", 5)),
        pytest.param("Ar 0 0 0", 9, marks=pytest.mark.further),
        ("He 0 0 0", 2),
    ],
)
def test_first_psi_of_atoms_is_not_zero(atoms, n_up):
    molecule = Molecule.of(atoms, n_up=n_up)
    ansatz = ansatz_of(molecule)
    x = walkers_of(molecule, 1)[0]
    psi, _ = jax.jit(ansatz.init_with_output)(jax.random.key(1), x)
    assert psi.sign != 0 and np.isfinite(psi.logabs)


# The move.


def test_scale_of_a_move_is_that_of_the_nearest_shell():
    nuclei = Nuclei.parse("Be 0 0 0; H 0 0 50")
    x = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 50.0], [0.0, -3.0, 0.0]])
    scales = jax.jit(AboutNuclei(nuclei).scales)(x)[:, 0]
    np.testing.assert_allclose(scales, [1 / 4, 1, np.hypot(3, 1 / 4)], rtol=3e-3)


def test_move_samples_the_density_of_a_hydrogen_like_atom(optimized):
    molecule = Molecule.of("Li 0 0 0", 2)
    ansatz = Function(
        lambda _, x: LogPsi(jnp.ones((), x.dtype), -3 * jnp.linalg.norm(x))
    )
    sampler = Metropolis(20, width=0.6, move=AboutNuclei(molecule.nuclei))
    state = sampler.init(jnp.asarray(walkers_of(molecule, 4096)))
    step = jax.jit(lambda key, state: sampler.step(key, ansatz, {}, state))
    radii = []
    for i in range(8):
        state, info = step(jax.random.key(i), state)
        radii.append(np.linalg.norm(state.walkers[:, 0], axis=-1) if i > 1 else [])
    radii = np.concatenate(radii)
    assert 0.2 < info["acceptance"] < 0.9
    error = np.sqrt(0.75 / 9 / radii.size) * 1.5  # chains forget in a step or two
    assert abs(np.mean(radii) - 1.5 / 3) < 4 * error  # <r> = 3 / 2 Z
    assert abs(np.mean(1 / radii) - 3) < 4 * 3 * 1.5 / np.sqrt(radii.size)  # <1/r> = Z


@pytest.mark.slow
def test_short_run_reaches_helium_from_above(tmp_path, without_figures):
    from nqs.runs import run

    options = MoleculeOptions(
        iterations=40,
        burn_in=30,
        n_walkers=128,
        evaluation_steps=100,
        directory=str(tmp_path / "a"),
    )
    result = run(options.experiment())
    excess = result["energy"] - result["references"][0]["value"]
    assert -3 * result["energy_error"] < excess < 0.01
    ratio, error = result["terms"]["kinetic"]
    assert ratio == pytest.approx(2.9, abs=0.2)

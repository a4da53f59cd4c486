"""The harmonic trap: exact states have no variance, and references are exact."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import (
    Coulomb,
    Gaussian,
    HarmonicPairs,
    HarmonicTrap,
    InverseSquare,
    oscillator_levels,
)
from hamiltonians.references.two_in_a_trap import two_body_energy
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from tests.cases import at, further


def local_energies(trap, log_psi):
    """(16,) local energies of `log_psi(x)`, at walkers away from its nodes.

    Of 32 first walkers those with the larger |psi|: at a node the two parts of the
    kinetic energy diverge and with them their rounding.
    """
    ansatz = Function(lambda params, x: log_psi(x))

    @jax.jit
    @jax.vmap
    def evaluate(x):
        return trap.local_energy(ansatz, {}, x), log_psi(x).logabs

    first = jax.jit(lambda key: trap.initial_walkers(key, 32))
    energies, logabs = evaluate(first(jax.random.key(0)))
    return np.asarray(energies)[np.argsort(logabs)[16:]]


def assert_eigenstate(trap, log_psi, energy):
    energies = local_energies(trap, log_psi)
    np.testing.assert_allclose(energies, energy, rtol=1e-11)  # rounding near nodes
    np.testing.assert_allclose(energies.mean(), energy, rtol=1e-12)
    assert energies.var() <= 1e-20


def gaussian(omegas, x):
    """Logarithm of the oscillator's ground state."""
    return -jnp.sum(jnp.asarray(omegas, x.dtype)[None, :] * x**2) / 2


def spins_of(n, n_up):
    """Spins of fermions; None for bosons."""
    return None if n_up is None else Spins.of(n, n_up)


def distances(x):
    i, j = np.triu_indices(len(x), 1)
    return jnp.linalg.norm(x[i] - x[j], axis=-1)


def hermite(x):
    """The first four Hermite polynomials, stacked in front."""
    return jnp.stack([jnp.ones_like(x), 2 * x, 4 * x**2 - 2, 8 * x**3 - 12 * x])


def determinant(levels, omegas, x):
    """Sign and logarithm of the determinant of Hermite polynomials (n, n)."""
    polynomials = hermite(jnp.sqrt(jnp.asarray(omegas))[None, :] * x)  # (4, n, d)
    orbitals = 1.0
    for axis, quanta in enumerate(np.transpose(levels)):
        orbitals = orbitals * polynomials[quanta, :, axis]
    return jnp.linalg.slogdet(orbitals)


def free_fermions(trap, x):
    """The ground state of the trap without interaction."""
    sign, logabs = jnp.ones(()), gaussian(trap.omegas, x)
    up, down = trap.spins.up, trap.spins.down
    for n, spin in ((up, x[:up]), (down, x[up:])):
        if n:
            levels = oscillator_levels(n, trap.omegas)
            sign_spin, log_spin = determinant(levels, trap.omegas, spin)
            sign, logabs = sign * sign_spin, logabs + log_spin
    return LogPsi(sign, logabs)


@pytest.mark.parametrize(
    "n, d, omega",
    [
        *further((1, 3, 2.5)),
        (4, 3, (1.0, 1.0, 2.82843)),
        *further((10, 1, 1.7), (10, 2, (0.5, 1.3))),
    ],
)
def test_bosons_in_their_ground_state_have_no_variance(n, d, omega, strict_dtypes):
    trap = HarmonicTrap(n, d, omega)

    def log_psi(x):
        return LogPsi(jnp.ones((), x.dtype), gaussian(trap.omegas, x))

    assert_eigenstate(trap, log_psi, n * sum(trap.omegas) / 2)


@pytest.mark.parametrize(
    "n, d, omega, n_up",
    [
        *further((3, 1, 1.3, 2)),
        (6, 2, (0.28, 0.3), 3),
        *further((10, 2, 1.0, 10), (8, 3, 0.5, 4)),
    ],
)
def test_free_fermions_have_no_variance_and_the_reference_energy(n, d, omega, n_up):
    trap = HarmonicTrap(n, d, omega, spins=spins_of(n, n_up))
    (reference,) = trap.references()
    assert_eigenstate(trap, lambda x: free_fermions(trap, x), reference.value)


def test_excited_states_have_the_energy_of_their_quanta():
    trap = HarmonicTrap(n=2, d=2, omega=(0.8, 1.1))
    quanta = np.array([[3, 1], [0, 2]])

    def log_psi(x):
        polynomials = hermite(jnp.sqrt(jnp.asarray(trap.omegas))[None, :] * x)
        psi = polynomials[3, 0, 0] * polynomials[1, 0, 1] * polynomials[2, 1, 1]
        return LogPsi(jnp.sign(psi), jnp.log(jnp.abs(psi)) + gaussian(trap.omegas, x))

    energy = np.sum((quanta + 0.5) * trap.omegas)
    assert_eigenstate(trap, log_psi, energy)


# (d, omega, n_up, energy, f(r)): two electrons, psi = f(r) times the oscillator;
# M. Taut, Phys. Rev. A 48, 3561 (1993); J. Phys. A 27, 1045 (1994)
TWO_ELECTRONS = [
    (2, 1.0, 1, 3.0, lambda r: 1 + r),
    (2, 1 / 6, 1, 2 / 3, lambda r: 1 + r + r**2 / 6),
    (3, 1 / 2, 1, 2.0, lambda r: 1 + r / 2),
    (3, 1 / 10, 1, 1 / 2, lambda r: 1 + r / 2 + r**2 / 20),
    (2, 1 / 3, 2, 4 / 3, lambda r: 1 + r / 3),
]


@pytest.mark.parametrize("d, omega, n_up, energy, prefactor", at(TWO_ELECTRONS, 1, 2))
def test_two_electrons_in_a_dot_have_no_variance(d, omega, n_up, energy, prefactor):
    trap = HarmonicTrap(2, d, omega, Coulomb(), spins_of(2, n_up))

    def log_psi(x):
        separation = x[0] - x[1]
        r = jnp.linalg.norm(separation)
        logabs = jnp.log(prefactor(r)) + gaussian(trap.omegas, x)
        if n_up == 1:
            return LogPsi(jnp.ones((), x.dtype), logabs)
        direction = jax.lax.complex(separation[0], separation[1]) / r
        return LogPsi(direction, logabs + jnp.log(r))  # the triplet, with l_z = 1

    assert_eigenstate(trap, log_psi, energy)


@pytest.mark.parametrize("n, lam", [*further((2, 2.0)), (4, 1.5)])
def test_calogero_ground_state_has_no_variance(n, lam, strict_dtypes):
    trap = HarmonicTrap(n, 1, 0.8, InverseSquare(lam))

    def log_psi(x):
        logabs = lam * jnp.sum(jnp.log(distances(x))) + gaussian(trap.omegas, x)
        return LogPsi(jnp.ones((), x.dtype), logabs)

    energy = 0.8 * (n / 2 + lam * n * (n - 1) / 2)
    assert_eigenstate(trap, log_psi, energy)
    assert trap.references()[0].value == pytest.approx(energy, rel=1e-14)


@pytest.mark.parametrize("n, kappa", [(2, 0.5), *further((10, -0.05))])
def test_bosons_on_springs_have_no_variance(n, kappa, strict_dtypes):
    trap = HarmonicTrap(n, 2, (1.0, 1.2), HarmonicPairs(kappa))
    stiff = np.sqrt(np.square(trap.omegas) + n * kappa)

    def log_psi(x):
        center = jnp.mean(x, axis=0)
        softer = jnp.sum((stiff - np.asarray(trap.omegas)) * center**2) * n / 2
        return LogPsi(jnp.ones((), x.dtype), gaussian(stiff, x) + softer)

    (reference,) = trap.references()
    assert_eigenstate(trap, log_psi, reference.value)


def test_local_energy_of_a_state_that_is_not_an_eigenstate_varies():
    trap = HarmonicTrap(n=2, d=2, interaction=Coulomb(), spins=Spins(1, 1))
    energies = local_energies(
        trap, lambda x: LogPsi(jnp.ones((), x.dtype), gaussian(trap.omegas, x))
    )
    assert energies.var() > 1e-2


def test_terms_are_named_and_sum_to_the_local_energy(strict_dtypes):
    ansatz = Function(lambda params, x: LogPsi(jnp.ones((), x.dtype), -jnp.sum(x**2)))
    trap = HarmonicTrap(2, 2, (1.0, 2.0), Coulomb(3.0))

    @jax.jit
    def evaluate(x):
        return trap.terms(ansatz, {}, x), trap.local_energy(ansatz, {}, x)

    x = np.array([[0.0, 1.0], [3.0, 5.0]])
    terms, energy = evaluate(x)
    assert set(terms) == {"kinetic", "trap", "interaction"}
    assert terms["kinetic"] == pytest.approx(4 - 2 * 35)  # (2 a - (2 a x)^2) / 2, a = 1
    assert terms["trap"] == pytest.approx((9 + 4 * 26) / 2)
    assert terms["interaction"] == pytest.approx(3 / 5)
    assert energy == pytest.approx(sum(terms.values()))
    single, _ = evaluate(x.astype(np.float32))
    assert {term.dtype for term in single.values()} == {np.dtype("float32")}
    free = jax.eval_shape(lambda x: HarmonicTrap(2).terms(ansatz, {}, x), x)
    assert set(free) == {"kinetic", "trap"}


def test_one_particle_has_no_interaction():
    trap = HarmonicTrap(1, 3, 0.5, Coulomb())
    assert_eigenstate(
        trap,
        lambda x: LogPsi(jnp.ones((), x.dtype), gaussian(trap.omegas, x)),
        trap.references()[0].value,
    )


@pytest.mark.parametrize(
    "potential, r, expected",
    [
        (Coulomb(2.0), 4.0, 0.5),
        (Gaussian(-20.0, 0.5), 0.5, -20 / np.sqrt(2 * np.pi) / 0.5 * np.exp(-0.5)),
        (InverseSquare(3.0), 2.0, 1.5),
        (HarmonicPairs(0.5), 3.0, 2.25),
    ],
)
def test_pair_potentials_act_on_any_shape(potential, r, expected, strict_dtypes):
    for shape in ((), (3,), (2, 1)):
        energies = potential(jnp.full(shape, r))
        assert energies.shape == shape
        np.testing.assert_allclose(energies, expected, rtol=1e-15)
    assert potential(jnp.full(3, r, jnp.float32)).dtype == jnp.float32


def test_gaussian_strength_is_its_integral_over_a_line():
    x = np.linspace(-5, 5, 1001)
    assert np.sum(Gaussian(1.7, 0.4)(x)) * 0.01 == pytest.approx(1.7, rel=1e-12)


def energy_of(n, d, omega, interaction=None, n_up=None):
    trap = HarmonicTrap(n, d, omega, interaction, spins_of(n, n_up))
    (reference,) = trap.references()
    assert (reference.kind, reference.error) == ("exact", 0)
    return reference.value


@pytest.mark.parametrize(
    "n, d, n_up, energy",
    [
        (10, 3, None, 15.0),
        (6, 1, 3, 9.0),
        (6, 2, 3, 10.0),
        (8, 2, 4, 16.0),  # an open shell
        (8, 3, 4, 18.0),
        (20, 3, 20, 75.0),
        (100, 2, 50, 670.0),
        (100, 3, 100, 640.0),
    ],
)
def test_free_particles_fill_shells(n, d, n_up, energy):
    assert energy_of(n, d, 1.0, None, n_up) == energy
    assert energy_of(n, d, 0.1, None, n_up) == pytest.approx(energy / 10, rel=1e-14)


def test_shells_of_an_anisotropic_trap_fill_along_the_soft_axis():
    # quanta 0 1 2 3 of the soft axis lie below the first of the stiff one
    assert energy_of(4, 2, (1.0, 3.5), None, 4) == pytest.approx(4 * 3.5 / 2 + 8)
    assert energy_of(5, 2, (1.0, 3.5), None, 5) == pytest.approx(5 * 3.5 / 2 + 8 + 4)
    # an elliptical trap of bosons: E_0 / n = 1 + gamma / 2
    assert energy_of(7, 3, (1.0, 1.0, 2.82843)) == pytest.approx(7 * (1 + 2.82843 / 2))


def test_oscillator_levels_are_ordered_by_energy():
    assert oscillator_levels(4, (1.0, 1.0)) == [(0, 0), (1, 0), (0, 1), (2, 0)]
    # 3 * 0.1 is not 0.3 in floating point, yet the levels are degenerate
    assert oscillator_levels(5, (0.1, 0.3))[3:] == [(3, 0), (0, 1)]
    levels = oscillator_levels(200, (1.0, 2**0.5, 3**0.5))
    energies = np.array(levels) @ np.sqrt([1.0, 2.0, 3.0])
    assert np.all(np.diff(energies) > 0)
    assert len(set(levels)) == 200


# Radial equation in a polynomial-Gaussian basis at 120 digits; 1e-12 hartree
DOTS = [
    (2, 0.1, 1, 0.440791888014072),
    (2, 1 / 6, 1, 2 / 3),
    (2, 0.28, 1, 1.0216440136005172),
    (2, 0.5, 1, 1.6597721499943012),
    (2, 1.0, 1, 3.0),
    (2, 0.1, 2, 0.47254156810879416),
    (2, 1 / 3, 2, 4 / 3),
    (2, 1.0, 2, 3.596498881746538),
    (3, 0.1, 1, 0.5),
    (3, 0.5, 1, 2.0),
    (3, 1.0, 1, 3.7301209543414666),
    (3, 0.25, 2, 1.25),
    (3, 1.0, 2, 4.515076707627033),
]


@pytest.mark.parametrize("d, omega, n_up, energy", at(DOTS, 1, 6, 8, 12))
def test_two_electrons_in_a_dot_have_their_exact_energy(d, omega, n_up, energy):
    value = energy_of(2, d, omega, Coulomb(), n_up)
    assert value == pytest.approx(energy, rel=1e-11)
    if n_up == 2:  # both down is the same
        assert value == energy_of(2, d, omega, Coulomb(), 0)


# Sinc-DVR, 1e-10 hartree: (V_0, two bosons, two polarized fermions), sigma_0 = 0.5
GAUSSIANS = [
    (-20.0, -10.53252690944452, -2.471755863802887),
    (-1.0, 0.6161986309368679, 1.9238705052591918),
    (0.0, 1.0, 2.0),
    (20.0, 2.6002231917517884, 2.605639446951123),
]


@pytest.mark.parametrize("strength, bosons, fermions", at(GAUSSIANS, 1, 3))
def test_two_particles_with_a_gaussian_have_their_exact_energy(
    strength, bosons, fermions
):
    pairs = Gaussian(strength, 0.5)
    assert energy_of(2, 1, 1.0, pairs) == pytest.approx(bosons, abs=1e-9)
    assert energy_of(2, 1, 1.0, pairs, 1) == pytest.approx(bosons, abs=1e-9)
    assert energy_of(2, 1, 1.0, pairs, 2) == pytest.approx(fermions, abs=1e-9)


@pytest.mark.parametrize(
    "n, d, kappa, n_up, energy",
    [
        (10, 1, -0.05, None, 3.6819805153394642),
        (10, 3, 0.5, None, 34.5681115275729),
        (5, 1, 1.0, 5, 29.893876913398135),
        (6, 2, 0.5, 3, 19.0),
        (8, 3, 1.0, 4, 51.0),
        (4, 3, -0.05, 4, 8.20820393249937),
    ],
)
def test_harmonic_pairs_have_their_closed_form(n, d, kappa, n_up, energy):
    value = energy_of(n, d, 1.0, HarmonicPairs(kappa), n_up)
    assert value == pytest.approx(energy, rel=1e-14)


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("n_up", [None, *further(1), 2])  # 2: an open shell for d > 1
@pytest.mark.parametrize("kappa", [-0.1, 1.5])
def test_closed_form_of_springs_agrees_with_the_radial_equation(d, n_up, kappa):
    springs = HarmonicPairs(kappa)
    by_hand = energy_of(2, d, 0.7, lambda r: kappa * r**2 / 2, n_up)
    assert energy_of(2, d, 0.7, springs, n_up) == pytest.approx(by_hand, rel=1e-10)


def test_calogero_particles_have_one_energy_for_all_statistics():
    for n_up in (None, 0, 3, 5):
        assert energy_of(5, 1, 1.0, InverseSquare(1.5), n_up) == 17.5
    # without interaction bosons can pass each other
    assert energy_of(5, 1, 1.0, InverseSquare(1.0), 5) == 12.5
    assert energy_of(5, 1, 1.0, InverseSquare(1.0)) == 2.5
    radial = two_body_energy(InverseSquare(2.0), d=1, omega=1.0)
    assert energy_of(2, 1, 1.0, InverseSquare(2.0)) == pytest.approx(radial, rel=1e-9)


def test_any_pair_potential_has_a_reference_for_two_particles():
    def yukawa(r):
        return jnp.exp(-2 * r) / r

    energy = energy_of(2, 3, 1.0, yukawa, 1)
    assert 3 < energy < energy_of(2, 3, 1.0, Coulomb(), 1)
    # repulsion in first order, by quadrature over the oscillator's ground state
    r = np.linspace(1e-6, 12, 200001)
    density = r**2 * np.exp(-(r**2) / 2)
    first_order = 3 + 0.01 * np.average(yukawa(r), weights=density)
    weak = energy_of(2, 3, 1.0, lambda r: 0.01 * yukawa(r), 1)
    assert weak == pytest.approx(first_order, abs=1e-5)  # second order is 1e-6
    assert HarmonicTrap(2, 3, 1.0, yukawa).references()[0].kind == "exact"


@pytest.mark.parametrize(
    "d, potential",
    [
        (3, lambda r: r**-12 - r**-6),  # a hard core
        (3, lambda r: np.where(r < 1, np.inf, 0.0)),
        (3, lambda r: -1 / r**2),  # falls to the center
        (1, lambda r: 1 / r),
        (2, lambda r: -(r**4)),  # not bound
        (1, Gaussian(-20.0, 0.01)),  # too narrow for the basis
        (3, lambda r: np.full_like(r, np.nan)),
    ],
)
def test_potentials_beyond_the_basis_have_no_reference(d, potential):
    assert HarmonicTrap(2, d, 1.0, potential).references() == ()


def test_unknown_energies_have_no_reference():
    assert HarmonicTrap(3, 2, 1.0, Coulomb(), Spins(2, 1)).references() == ()
    assert HarmonicTrap(2, 2, (1.0, 1.1), Coulomb(), Spins(1, 1)).references() == ()
    assert HarmonicTrap(6, 2, 1.0, Coulomb(), Spins(6)).references() == ()  # polarized
    assert HarmonicTrap(6, 2, 1.0, Coulomb()).references() == ()  # bosons
    assert HarmonicTrap(6, 2, 1.0, Coulomb(2.0), Spins(3, 3)).references() == ()
    assert HarmonicTrap(6, 2, (1.0, 1.1), Coulomb(), Spins(3, 3)).references() == ()


def test_larger_dots_have_published_estimates():
    first, second = HarmonicTrap(6, 2, 1.0, Coulomb(), Spins(3, 3)).references()
    assert (first.value, first.error, first.kind) == (20.15932, 8e-5, "estimate")
    assert (second.value, second.error) == (20.1597, 2e-4)
    (small,) = HarmonicTrap(8, 3, 0.1, Coulomb(), Spins(4, 4)).references()
    assert "Høgberget" in small.source


def test_first_walkers_are_as_wide_as_the_ground_state(strict_dtypes):
    trap = HarmonicTrap(n=3, d=2, omega=(0.5, 4.0))
    walkers = trap.initial_walkers(jax.random.key(2), 2000)
    assert walkers.shape == (2000, 3, 2)
    assert walkers.dtype == jnp.result_type(float)
    # <x_a^2> = 1 / (2 omega_a); 6000 draws give it to 2 %
    np.testing.assert_allclose(jnp.mean(walkers**2, (0, 1)), (1, 1 / 8), rtol=0.08)
    assert len(np.unique(walkers)) == walkers.size


@pytest.mark.parametrize(
    "trap, expected",
    [
        # omega^2 <sum x^2> = E by the virial theorem, without interaction or with 1/r^2
        *further((HarmonicTrap(10, 2, 0.5, spins=Spins(10)), 30 / 10)),
        (HarmonicTrap(5, 1, 1.0, InverseSquare(2.0), Spins(5)), 22.5 / 5),
        # omega^2 <x_1^2 + x_2^2> / 2 = 0.177097 from the radial equation
        (
            HarmonicTrap(2, 2, 0.1, Coulomb(), Spins(1, 1)),
            0.17709655075499448 / 0.01 / 2,
        ),
    ],
)
def test_shells_and_repulsion_widen_the_first_walkers(trap, expected):
    walkers = trap.initial_walkers(jax.random.key(3), 4000)
    width = float(jnp.sqrt(jnp.mean(walkers**2)))
    assert width == pytest.approx(np.sqrt(expected), rel=0.2)  # a starting point
    assert width > 1.1 * np.sqrt(1 / (2 * trap.omegas[0]))


def test_first_walkers_can_be_compiled():
    trap = HarmonicTrap(2, 1, 1.0, Gaussian(5.0, 0.5))
    compiled = jax.jit(trap.initial_walkers, static_argnums=1)(jax.random.key(0), 4)
    np.testing.assert_allclose(compiled, trap.initial_walkers(jax.random.key(0), 4))


def test_traps_with_equal_fields_are_equal_and_have_equal_hashes():
    trap = HarmonicTrap(6, 2, 0.28, Coulomb(), Spins(3, 3))
    assert trap == HarmonicTrap(
        n=6, d=2, omega=0.28, interaction=Coulomb(), spins=Spins(3, 3)
    )
    assert hash(trap) == hash(HarmonicTrap(6, 2, 0.28, Coulomb(), Spins(3, 3)))
    assert (trap.energy_unit, trap.length_unit) == ("hartree", "bohr")
    assert trap.omegas == (0.28, 0.28)


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(n=0), "n must be .* >= 1, got 0"),
        (dict(n=2.0), "n must be .* got 2.0"),
        (dict(n=2, d=4), "d must be an integer .* got 4"),
        (dict(n=2, d=2.0), "d must be an integer .* got 2.0"),
        (dict(n=2, omega=0.0), "omega must be finite and positive, got 0.0"),
        (dict(n=2, omega=-1.0), "omega must be finite and positive, got -1.0"),
        (dict(n=2, omega=np.nan), "omega must be finite and positive, got nan"),
        (dict(n=2, omega=np.inf), "omega must be finite and positive, got inf"),
        (dict(n=2, omega=(1.0, -1.0)), "finite and positive, got -1.0"),
        (dict(n=2, omega="soft"), "finite and positive, got 'soft'"),
        (dict(n=2, d=3, omega=(1.0, 2.0)), "one number or d=3 of them, got .1.0, 2.0."),
        (dict(n=2, spins=Spins(2, 1)), "spins must add up to n=2, got Spins.up=2"),
        (dict(n=2, spins=1), "spins must be Spins.up, down., got 1"),
        (dict(n=2, interaction=1.0), "function of distance such as Coulomb.*got 1.0"),
        (dict(n=2, interaction=Coulomb), "function of distance .*got <class"),
        (dict(n=2, d=1, interaction=Coulomb()), "d must be 2 or 3 for Coulomb.* got 1"),
        (dict(n=2, interaction=InverseSquare(2.0)), "d must be 1 for Inverse.* got 2"),
        (
            dict(n=4, interaction=HarmonicPairs(-0.25)),
            "omega.2 . n kappa must be positive .* got 0 from kappa=-0.25",
        ),
        (
            dict(n=4, omega=(1.0, 0.5), interaction=HarmonicPairs(-0.1)),
            "n kappa must be positive .* got -0.15",
        ),
    ],
)
def test_invalid_fields_of_a_trap_raise(fields, message):
    with pytest.raises(ValueError, match=message):
        HarmonicTrap(**fields)


@pytest.mark.parametrize(
    "potential, message",
    [
        (lambda: Coulomb(np.nan), "strength must be a finite number, got nan"),
        (lambda: Gaussian(np.inf, 1.0), "strength must be a finite number, got inf"),
        (lambda: Gaussian("1", 1.0), "strength must be a finite number, got '1'"),
        (lambda: Gaussian(1.0, 0.0), "width must be finite and positive, got 0.0"),
        (lambda: Gaussian(1.0, np.nan), "width must be finite and positive, got nan"),
        (lambda: InverseSquare(0.5), "exponent must be at least 1.* got 0.5"),
        (lambda: InverseSquare(np.nan), "exponent must be a finite number, got nan"),
        (lambda: HarmonicPairs(np.inf), "kappa must be a finite number, got inf"),
    ],
)
def test_invalid_parameters_of_a_pair_potential_raise(potential, message):
    with pytest.raises(ValueError, match=message):
        potential()

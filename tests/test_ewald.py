"""Charges in a periodic box: known constants, and no dependence on the splitting."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erfc

from hamiltonians.forces.ewald import Ewald
from nqs.space.box import Box
from tests.cases import at, further

SKEW = ((1.0, 0.2, 0.1), (0.7, 1.3, -0.2), (-0.4, 0.5, 0.9))
SLANTED = ((1.0, 0.0), (3.3, 0.8))  # its shortest vectors are not these
LONG = ((1.0, 0.0, 0.0), (0.1, 0.7, 0.0), (0.3, 0.2, 2.5))
CELLS = [("cubic", 3), ("fcc", 3), (SKEW, 3), (LONG, 3), ("square", 2), (SLANTED, 2)]


def lattice(vectors, cutoff):
    """All lattice vectors but zero within a distance, a wide margin around them."""
    reach = int(cutoff * np.max(np.linalg.norm(np.linalg.inv(vectors), axis=0))) + 1
    steps = np.array(
        list(itertools.product(range(-reach, reach + 1), repeat=len(vectors)))
    )
    points = steps[np.any(steps != 0, axis=1)] @ vectors
    return points[np.linalg.norm(points, axis=1) < cutoff]


def brute_force(box, x, alpha):
    """Energy of charges x (n, d) by direct summation with wide cutoffs."""
    d, volume, n = box.d, box.volume, len(x)
    reciprocal = 2 * np.pi * np.linalg.inv(box.vectors).T
    size = np.max(np.linalg.norm(x[:, None] - x[None], axis=-1))
    images = lattice(box.vectors, 6.0 / alpha + size)
    waves = lattice(reciprocal, 12.0 * alpha)
    g = np.linalg.norm(waves, axis=1)
    if d == 3:
        v = 4 * np.pi / volume * np.exp(-(g**2) / (4 * alpha**2)) / g**2
        background = np.pi / (alpha**2 * volume)
    else:
        v = 2 * np.pi / volume * erfc(g / (2 * alpha)) / g
        background = 2 * np.sqrt(np.pi) / (alpha * volume)
    far = np.linalg.norm(images, axis=1)
    xi = np.sum(erfc(alpha * far) / far) - 2 * alpha / np.sqrt(np.pi)
    energy = n / 2 * (xi - background + np.sum(v))
    for i, j in itertools.combinations(range(n), 2):
        r = x[i] - x[j]
        distances = np.linalg.norm(np.vstack([r[None], r + images]), axis=1)
        energy += np.sum(erfc(alpha * distances) / distances)
        energy += np.sum(v * np.cos(waves @ r)) - background
    return energy


def energy_of(ewald, x):
    return float(jax.jit(ewald.energy)(x))


def charges(box, n=5, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    return rng.uniform(0, spread, (n, box.d)) @ box.vectors


# xi times the root of the volume, as many digits as are published
MADELUNG = [
    ("cubic", 3, -2.8372974794806196, 1e-11),
    ("square", 2, -3.9002649200019555, 1e-11),
    ("triangular", 2, -3.9210315786, 1e-10),
]


@pytest.mark.parametrize("shape, d, xi, digits", MADELUNG)
def test_madelung_constants_equal_published_values(shape, d, xi, digits):
    for volume in (1.0, 7.3):
        found = Ewald(Box.shaped(shape, volume, d)).madelung * volume ** (1 / d)
        assert found == pytest.approx(xi, rel=digits)


@pytest.mark.parametrize("shape, d", [("bcc", 3), *CELLS], ids=str)
def test_madelung_constants_are_those_of_brute_force(shape, d):
    box = Box.shaped(shape, 1.3, d)
    # two charges without their mutual energy are twice one charge
    one = brute_force(box, np.zeros((1, d)), 3.1)
    assert Ewald(box).madelung == pytest.approx(2 * one, rel=1e-10)
    for splitting in (1.7, 4.0, 8.0):
        found = Ewald(box, splitting).madelung
        assert found == pytest.approx(2 * one, rel=1e-10)


@pytest.mark.parametrize("shape, d", at(CELLS, 2, 5), ids=str)
def test_energies_are_those_of_brute_force_for_every_splitting(shape, d, strict_dtypes):
    box = Box.shaped(shape, 2.0, d)
    x = charges(box, spread=2.0)
    expected = brute_force(box, x, 3.1)
    for splitting in (None, 2.0):
        energy = jax.jit(Ewald(box, splitting).energy)(x)
        assert (energy.shape, energy.dtype) == ((), x.dtype)
        assert float(energy) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape, d", [(SKEW, 3), *further((SLANTED, 2))], ids=str)
def test_energy_of_many_charges_is_independent_of_the_splitting(shape, d):
    box = Box.shaped(shape, 14.0, d)
    ewald = Ewald(box)
    x = jnp.asarray(charges(box, 14, seed=1, spread=4.0))
    energy = jax.jit(ewald.energy)(x)
    for splitting in (0.7 * ewald.alpha, 1.4 * ewald.alpha):
        other = jax.jit(Ewald(box, splitting).energy)(x)
        # relative to the Madelung energy, which charges at random may cancel
        assert abs(other - energy) < 1e-9 * abs(7 * ewald.madelung)


def test_transposed_reciprocal_lattice_gives_another_energy(monkeypatch):
    box = Box(SKEW)
    x = charges(box)
    expected = brute_force(box, x, 3.1)
    assert energy_of(Ewald(box), x) == pytest.approx(expected, rel=1e-9)
    transposed = property(lambda box: 2 * np.pi * np.linalg.inv(box.vectors))
    monkeypatch.setattr(Box, "reciprocal", transposed)
    assert abs(energy_of(Ewald(box), x) / expected - 1) > 1e-4
    madelung = [Ewald(box, splitting).madelung for splitting in (3.0, 6.0)]
    assert abs(madelung[0] / madelung[1] - 1) > 1e-6


@pytest.mark.parametrize("shape, d", CELLS, ids=str)
def test_the_energy_is_periodic_symmetric_and_even(shape, d):
    box = Box.shaped(shape, 2.0, d)
    x = charges(box)
    energy = jax.jit(Ewald(box).energy)
    expected = float(energy(x))
    for vector in box.vectors:
        moved = x.copy()
        moved[2] += 3 * vector
        assert float(energy(moved)) == pytest.approx(expected, rel=1e-10)
    shift = 0.37 * np.arange(1, d + 1)
    assert float(energy(x + shift[None])) == pytest.approx(expected, rel=1e-10)
    assert float(energy(x[::-1])) == pytest.approx(expected, rel=1e-12)
    assert float(energy(-x)) == pytest.approx(expected, rel=1e-12)


def test_one_charge_has_its_madelung_energy():
    ewald = Ewald(Box(SKEW))
    energy = energy_of(ewald, np.array([[0.3, 0.1, 2.0]]))
    assert energy == pytest.approx(ewald.madelung / 2, rel=1e-12)


@pytest.mark.parametrize("shape, d", [("bcc", 3), *further(("square", 2))])
def test_a_lattice_of_charges_has_the_energy_of_its_primitive_cell(shape, d):
    primitive = Box.shaped(shape, 1.0, d)
    larger = Box(tuple(map(tuple, (2 * primitive.vectors).tolist())))
    x = np.array(list(itertools.product((0, 1), repeat=d))) @ primitive.vectors
    expected = 2**d * Ewald(primitive).madelung / 2
    assert energy_of(Ewald(larger), x) == pytest.approx(expected, rel=1e-9)


def test_the_dipole_of_rock_salt_has_its_madelung_constant():
    # attraction of a pair of unlike charges is -psi: E = n xi / 2 - psi per pair
    box = Box.shaped("fcc", 2.0, 3)  # nearest neighbors at distance 1
    ewald = Ewald(box)
    x = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    repulsion = energy_of(ewald, x) - ewald.madelung
    assert ewald.madelung - repulsion == pytest.approx(-1.747564594633182, rel=1e-9)


@pytest.mark.parametrize("shape, d", at(CELLS, 2, 5), ids=str)
def test_single_precision_gives_six_digits(shape, d, strict_dtypes):
    box = Box.shaped(shape, 14.0, d)
    ewald = Ewald(box)
    x = jnp.asarray(charges(box, 14, seed=2), jnp.float32)
    energy = jax.jit(ewald.energy)(x)
    assert energy.dtype == jnp.float32
    exact = jax.jit(ewald.energy)(x.astype(jnp.float64))
    assert abs(float(energy) - float(exact)) < 1e-5 * abs(7 * ewald.madelung)


def test_energy_of_touching_charges_is_not_finite():
    energy = energy_of(Ewald(Box(SKEW)), np.zeros((2, 3)))
    assert not np.isfinite(energy)


def evaluations(f, x):
    """Elements on which transcendental functions are evaluated, by name."""
    counts = {}

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            name = equation.primitive.name
            size = sum(math.prod(out.aval.shape) for out in equation.outvars)
            counts[name] = counts.get(name, 0) + size
            for inner in equation.params.values():
                if hasattr(inner, "eqns") or hasattr(inner, "jaxpr"):
                    walk(getattr(inner, "jaxpr", inner))

    walk(jax.make_jaxpr(f)(x).jaxpr)
    return {name: counts.get(name, 0) for name in ("sin", "cos", "erfc", "exp")}


@pytest.mark.parametrize("n", [2, 14, 28])
def test_long_part_evaluates_one_sin_and_cos_per_coordinate(n):
    ewald = Ewald(Box.shaped("cubic", 14.0, 3))
    assert len(ewald.images) == 7  # the nearest, and through the six faces
    counts = evaluations(ewald.energy, jnp.zeros((n, 3)))
    pairs = n * (n - 1) // 2
    assert counts == {"sin": 3 * n, "cos": 3 * n, "erfc": 7 * pairs, "exp": 0}


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((Box(((1.0,),)),), "box.d must be an integer >= 2 and <= 3, got 1"),
        ((Box(SKEW), 0.0), "splitting must be finite and positive, got 0.0"),
        ((Box(SKEW), np.nan), "splitting must be finite and positive, got nan"),
        ((Box(SKEW), None, 0.0), "accuracy must be within 0 and 1, got 0.0"),
        ((Box(SKEW), None, 1.0), "accuracy must be within 0 and 1, got 1.0"),
    ],
)
def test_invalid_settings_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        Ewald(*arguments)


def test_ewald_sums_with_equal_fields_are_equal_and_have_equal_hashes():
    assert Ewald(Box(SKEW)) == Ewald(Box(SKEW))
    assert hash(Ewald(Box(SKEW), 3.0)) == hash(Ewald(Box(SKEW), 3.0))

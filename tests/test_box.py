"""Periodic boxes: images, closed shells and a smooth distance, in any cell."""

import itertools

import jax
import numpy as np
import pytest

from nqs.laplacian.waves import squared_distance, waves
from nqs.space.box import SHAPES, Box, reduced
from tests.cases import at

SKEW = Box(((1.0, 0.2, 0.1), (0.7, 1.3, -0.2), (-0.4, 0.5, 0.9)))
SLANTED = Box(((1.0, 0.0), (3.3, 0.8)))  # its shortest vectors are not these


def box_of(shape, volume=1.0):
    d = next(d for d, names in SHAPES.items() if shape in names)
    return Box.shaped(shape, volume, d)


BOXES = [SKEW, SLANTED, *(box_of(shape, 2.0) for d in SHAPES for shape in SHAPES[d])]


def brute_force_image(box, r):
    """Shortest of r + R over many lattice vectors."""
    steps = itertools.product(range(-6, 7), repeat=box.d)
    images = np.asarray(r)[None, :] + np.array(list(steps)) @ box.vectors
    return images[np.argmin(np.linalg.norm(images, axis=1))]


def positions(box, n=200, spread=3.0, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-spread, spread, (n, box.d)) @ box.vectors


@pytest.mark.parametrize("box", at(BOXES, 0, 1, 2), ids=str)
def test_the_nearest_image_is_that_of_brute_force(box, strict_dtypes):
    r = positions(box, spread=1.5)
    nearest = np.asarray(jax.jit(box.nearest_image)(r))
    expected = [np.linalg.norm(brute_force_image(box, each)) for each in r]
    np.testing.assert_allclose(np.linalg.norm(nearest, axis=1), expected, atol=1e-12)
    steps = (r - nearest) @ np.linalg.inv(box.vectors)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-12)


def test_the_nearest_image_keeps_shape_and_dtype(strict_dtypes):
    r = positions(SKEW, 24).astype(np.float32).reshape(2, 3, 4, 3)
    image = jax.jit(SKEW.nearest_image)
    nearest = image(r)
    assert (nearest.shape, nearest.dtype) == (r.shape, r.dtype)
    single = image(r[1, 2, 3])
    np.testing.assert_allclose(single, nearest[1, 2, 3], atol=1e-6)


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_wrapping_moves_into_the_cell_by_lattice_vectors(box, strict_dtypes):
    x = positions(box)
    wrapped = np.asarray(box.wrap(x))
    fractions = wrapped @ np.linalg.inv(box.vectors)
    assert np.all((fractions > -1e-12) & (fractions < 1 + 1e-12))
    steps = (x - wrapped) @ np.linalg.inv(box.vectors)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-12)
    np.testing.assert_allclose(box.wrap(wrapped + 1e-9), wrapped + 1e-9, atol=1e-12)


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_the_reciprocal_lattice_has_phases_of_two_pi(box):
    products = box.vectors @ box.reciprocal.T
    np.testing.assert_allclose(products, 2 * np.pi * np.eye(box.d), atol=1e-12)


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_the_smooth_distance_is_the_distance_of_close_particles(box, strict_dtypes):
    def square(r):
        return squared_distance(box, waves(box, r))

    direction = np.array([0.5, -0.8, 0.3])[: box.d]
    direction /= np.linalg.norm(direction)
    steps = 0.02 * box.inradius * np.array([1.0, 0.5])
    errors = [float(square(s * direction)) / s**2 - 1 for s in steps]
    # relative errors of second order: a quarter at half the distance
    assert abs(errors[0]) < 0.02
    assert errors[0] == pytest.approx(4 * errors[1], rel=0.01)


@pytest.mark.parametrize("box", at(BOXES, 0, 2, 4), ids=str)
def test_smooth_distance_is_periodic_and_vanishes_only_at_lattice_points(box):
    def square(r):
        return np.asarray(squared_distance(box, waves(box, r)))

    r = positions(box)
    for vector in box.vectors:
        np.testing.assert_allclose(square(r + vector), square(r), atol=1e-12)
    np.testing.assert_allclose(square(-r), square(r), atol=1e-12)
    np.testing.assert_allclose(square(box.vectors), 0, atol=1e-12)
    assert np.all(square(r) > 0)
    far = np.array([np.linalg.norm(brute_force_image(box, each)) for each in r]) > 0.1
    assert np.min(square(r[far])) > 1e-3


@pytest.mark.parametrize(
    "shape, closed",
    [
        ("line", (1, 3, 5, 7)),
        ("square", (1, 5, 9, 13, 21, 25)),
        ("triangular", (1, 7, 13, 19, 31)),
        ("cubic", (1, 7, 19, 27, 33, 57)),
        ("bcc", (1, 13, 19, 43)),  # the reciprocal lattice is fcc
        ("fcc", (1, 9, 15, 27)),  # the reciprocal lattice is bcc
    ],
)
def test_closed_shells_are_those_of_free_electrons(shape, closed):
    box = box_of(shape, 3.7)
    found = []
    for n in range(1, closed[-1] + 1):
        try:
            found.append(len(box.wave_numbers(n)))
        except ValueError:
            continue
    assert tuple(found) == closed


@pytest.mark.parametrize("box", [SKEW, SLANTED], ids=str)
@pytest.mark.parametrize("twist", [0.0, 0.3])
def test_lowest_waves_equal_those_of_a_larger_list(box, twist):
    twists = (twist, -0.7 * twist, 0.21 * twist)[: box.d]
    m = np.array(list(itertools.product(range(-12, 13), repeat=box.d)))
    squares = np.sort(np.sum(((m + twists) @ box.reciprocal) ** 2, axis=1))
    for n in (n for n in range(1, 30) if squares[n] > squares[n - 1] * (1 + 1e-8)):
        k = box.wave_vectors(n, twists)
        assert k.shape == (n, box.d)
        np.testing.assert_allclose(np.sum(k**2, axis=1), squares[:n], atol=1e-9)


def test_wave_vectors_of_a_twist_gain_its_phase():
    twist = (0.25, 0.1, -0.4)
    k = SKEW.wave_vectors(1, twist)
    phases = np.exp(1j * k @ SKEW.vectors.T)[0]
    np.testing.assert_allclose(phases, np.exp(2j * np.pi * np.array(twist)), rtol=1e-12)
    np.testing.assert_allclose(k[0], np.asarray(twist) @ SKEW.reciprocal, rtol=1e-12)
    # half of a reciprocal vector: k and -k are degenerate
    assert len(box_of("cubic").wave_vectors(2, (0.5, 0.0, 0.0))) == 2
    np.testing.assert_array_equal(
        SKEW.wave_vectors(7), SKEW.wave_vectors(7, (0.0,) * 3)
    )


def test_zero_particles_have_zero_waves():
    assert box_of("cubic").wave_numbers(0).shape == (0, 3)
    assert box_of("square").wave_vectors(0, (0.1, 0.2)).shape == (0, 2)


def test_error_for_an_open_shell_names_the_nearest_closed_shells():
    with pytest.raises(ValueError) as caught:
        box_of("cubic").wave_numbers(8)
    assert str(caught.value) == (
        "8 particles of one spin are an open shell at twist (0.0, 0.0, 0.0); the "
        "nearest closed shells are 7 and 19"
    )


@pytest.mark.parametrize(
    "shape, inradius",
    [
        ("line", 1 / 2),
        ("square", 1 / 2),
        ("cubic", 1 / 2),
        ("bcc", np.sqrt(3) / 4 * 2 ** (1 / 3)),  # a cube of volume 2 holds two points
        ("fcc", np.sqrt(2) / 4 * 4 ** (1 / 3)),  # and one of volume 4, four
    ],
)
def test_inradius_is_half_of_the_shortest_lattice_vector(shape, inradius):
    assert box_of(shape).inradius == pytest.approx(inradius, rel=1e-12)
    assert box_of(shape, 8.0).volume == pytest.approx(8.0, rel=1e-12)


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_reduced_vectors_are_shortest_and_span_the_same_lattice(box):
    short = reduced(box.vectors)
    m = short @ np.linalg.inv(box.vectors)
    np.testing.assert_allclose(m, np.round(m), atol=1e-9)
    assert abs(np.linalg.det(np.round(m))) == pytest.approx(1)
    steps = np.array(
        [m for m in itertools.product(range(-6, 7), repeat=box.d) if any(m)]
    )
    lengths = np.sort(np.linalg.norm(steps @ box.vectors, axis=1))
    assert np.linalg.norm(short[0]) == pytest.approx(lengths[0], rel=1e-12)
    assert 2 * box.inradius == pytest.approx(lengths[0], rel=1e-12)


def test_boxes_with_equal_cells_are_equal_and_have_equal_hashes():
    assert Box(SKEW.cell) == SKEW
    assert hash(Box(SKEW.cell)) == hash(SKEW)
    stretched = Box.shaped(
        tuple(tuple(3 * a for a in row) for row in SKEW.cell), 2.0, 3
    )
    assert stretched.volume == pytest.approx(2.0, rel=1e-12)
    ratio = stretched.vectors / SKEW.vectors
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-12)


@pytest.mark.parametrize(
    "cell, message",
    [
        ((), "d lattice vectors of d numbers"),
        (((1.0, 0.0),), "d lattice vectors of d numbers"),
        (((1.0, 0.0), (0.0,)), "d lattice vectors of d numbers"),
        (tuple((1.0,) * 4 for _ in range(4)), "d = 1, 2 or 3"),
        (((1.0, 2.0), (2.0, 4.0)), "must span a volume, got .*2.0, 4.0"),
        (((1.0, 0.0), (0.0, np.nan)), "cell must be a finite number, got nan"),
        (((np.inf, 0.0), (0.0, 1.0)), "cell must be a finite number, got inf"),
        (((0.0,),), "must span a volume"),
    ],
)
def test_invalid_cells_raise(cell, message):
    with pytest.raises(ValueError, match=message):
        Box(cell)


@pytest.mark.parametrize(
    "shape, volume, d, message",
    [
        ("round", 1.0, 3, "one of cubic, bcc, fcc, got 'round'"),
        ("cubic", 1.0, 2, "one of square, triangular, got 'cubic'"),
        ("cubic", 0.0, 3, "volume must be finite and positive, got 0.0"),
        ("cubic", np.inf, 3, "volume must be finite and positive, got inf"),
        (SLANTED.cell, 1.0, 3, "cell must be d=3 lattice vectors"),
    ],
)
def test_invalid_shapes_raise(shape, volume, d, message):
    with pytest.raises(ValueError, match=message):
        Box.shaped(shape, volume, d)


@pytest.mark.parametrize("twist", [(0.1,), (0.1, 0.2, np.nan), (0.1, 0.2, np.inf)])
def test_invalid_twists_raise(twist):
    with pytest.raises(ValueError, match="twist must be"):
        SKEW.wave_numbers(1, twist)

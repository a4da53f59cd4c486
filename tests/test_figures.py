"""Figures are drawn whatever the numbers are, and show what they should."""

import matplotlib.image
import numpy as np
import pytest

from nqs.figures import draw_figures
from nqs.types import Reference

EXACT = (Reference(3.0, 0.0, "exact", "textbook"),)
RANDOM = np.random.default_rng(0)


def metrics(energy):
    energy = np.asarray(energy, float)
    step = np.arange(1.0, len(energy) + 1)
    return {"step": step, "energy": energy, "acceptance": np.full(len(energy), 0.5)}


def drawn(directory, columns, samples, profiles=None, references=EXACT):
    """The figures by name, as arrays of colors."""
    directory = directory / "figures"
    profiles = {} if profiles is None else profiles
    draw_figures(directory, columns, samples, profiles, references, ("hartree", "bohr"))
    assert {path.suffix for path in directory.iterdir()} == {".png"}
    return {path.stem: matplotlib.image.imread(path) for path in directory.iterdir()}


def share_of(image, color):
    """The share of pixels that have a color, up to antialiasing."""
    return np.mean(np.abs(image[..., :3] - np.array(color)).max(axis=-1) < 0.15)


BLUE, ORANGE = (0.13, 0.40, 0.67), (0.84, 0.38, 0.30)


def test_a_run_gives_its_four_figures(tmp_path):
    energy = 3 + np.exp(-np.arange(200) / 20) + 0.01 * RANDOM.normal(size=200)
    grid = np.linspace(0.1, 4, 40)
    profile = (grid, np.exp(-(grid**2)), np.full(40, 0.01))
    samples = RANDOM.normal(3, 0.1, (100, 16))
    images = drawn(tmp_path, metrics(energy), samples, {"density": profile})
    assert set(images) == {"energy", "acceptance", "local_energy", "density"}
    for image in images.values():
        assert image.shape == (480, 768, 4)
        assert share_of(image, BLUE) > 0.001
    for name in ("energy", "local_energy"):
        assert share_of(images[name], ORANGE) > 0.0005  # the reference
    assert share_of(images["local_energy"], BLUE) > 0.1  # a filled histogram


def test_without_a_reference_there_is_no_line(tmp_path):
    images = drawn(
        tmp_path, metrics([3.0, 2.9, 3.1]), RANDOM.normal(3, 1, 50), None, ()
    )
    assert share_of(images["energy"], ORANGE) == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scatter", [0.0, 1e-15, 1e-7, 1e-3])
def test_an_eigenstate_has_a_histogram(tmp_path, dtype, scatter):
    samples = (3 + scatter * RANDOM.normal(size=(50, 16))).astype(dtype)
    images = drawn(tmp_path, metrics(np.full(10, 3.0)), samples)
    assert share_of(images["local_energy"], BLUE) > 0.005


@pytest.mark.parametrize(
    "energy",
    [[3.0], [3.0, 3.0], [np.nan, np.nan], [3.1, np.nan, 3.05, 3.02], [1e300, 3.0, 2.0]],
    ids=["one step", "constant", "all NaN", "some NaN", "a spike"],
)
def test_odd_energies_are_drawn_without_complaint(tmp_path, energy):
    images = drawn(tmp_path, metrics(energy), np.full((4, 4), 3.0))
    assert set(images) == {"energy", "acceptance", "local_energy"}


def test_without_training_there_is_no_figure_of_it(tmp_path):
    assert set(drawn(tmp_path, {}, RANDOM.normal(3, 1, 50))) == {"local_energy"}


def test_a_profile_without_error_or_all_zero_is_drawn(tmp_path):
    grid = np.linspace(0.1, 4, 40)
    profiles = {
        "density": (grid, np.exp(-grid), np.full(40, np.nan)),
        "empty": (grid, np.zeros(40), np.zeros(40)),
    }
    images = drawn(tmp_path, {}, RANDOM.normal(3, 1, 50), profiles)
    assert share_of(images["density"], BLUE) > 0.001
    assert "empty" in images


def test_outliers_do_not_squeeze_the_histogram(tmp_path):
    samples = np.append(RANDOM.normal(3, 0.1, 5000), [1e6, -1e6])
    image = drawn(tmp_path, {}, samples)["local_energy"]
    assert share_of(image, BLUE) > 0.1

"""Figures are drawn for any numbers, with the right curves and labels."""

import shutil

import matplotlib.image
import numpy as np
import pytest

from nqs.figures import main
from nqs.observables import Density, PairCorrelation, RadialDensity
from nqs.runs import run
from nqs.runs.figures import Profile, draw_figures, labeled
from nqs.space.spins import Spins
from nqs.statistics import uncertain
from nqs.statistics.extrapolation import blocks, extrapolate
from nqs.types import Reference
from tests.cases import at, further
from tests.tiny import experiment

EXACT = (Reference(3.0, 0.0, "exact", "textbook"),)
RANDOM = np.random.default_rng(0)


def metrics(energy):
    energy = np.asarray(energy, float)
    step = np.arange(1.0, len(energy) + 1)
    return {"step": step, "energy": energy, "acceptance": np.full(len(energy), 0.5)}


def draw(directory, columns, samples, profiles=None, references=EXACT, unit="hartree"):
    training = blocks(columns)
    result = {
        "energy": samples.mean(),
        "energy_error": 0.01,
        "energy_unit": unit,
        "variance": samples.var(),
        "references": [vars(reference) for reference in references],
    }
    line = extrapolate(training)
    arguments = result, columns, samples, profiles or {}, training, line
    draw_figures(directory, *arguments, formats=["png"])


def drawn(directory, *arguments):
    """The figures by name, as arrays of colors."""
    directory = directory / "figures"
    draw(directory, *arguments)
    assert {path.suffix for path in directory.iterdir()} == {".png"}
    return {path.stem: matplotlib.image.imread(path) for path in directory.iterdir()}


def share_of(image, color):
    """The share of pixels that have a color, up to antialiasing."""
    return np.mean(np.abs(image[..., :3] - np.array(color)).max(axis=-1) < 0.15)


BLUE, ORANGE = (0.13, 0.40, 0.67), (0.84, 0.38, 0.30)


def test_a_run_gives_its_four_figures(tmp_path):
    energy = 3 + np.exp(-np.arange(200) / 20) + 0.01 * RANDOM.normal(size=200)
    grid = np.linspace(0.1, 4, 40)
    profile = Profile(grid, np.exp(-(grid**2)), np.full(40, 0.01))
    samples = RANDOM.normal(3, 0.1, (100, 16))
    images = drawn(tmp_path, metrics(energy), samples, {"density": profile})
    assert set(images) == {"energy", "acceptance", "local_energy", "density"}
    for image in images.values():
        assert image.shape == (480, 768, 4)
        assert share_of(image, BLUE) > 0.001
    for name in ("energy", "local_energy"):
        assert share_of(images[name], ORANGE) > 0.0005  # the reference
    assert share_of(images["local_energy"], BLUE) > 0.1  # a filled histogram


def test_figure_without_a_reference_has_no_line(tmp_path):
    images = drawn(
        tmp_path, metrics([3.0, 2.9, 3.1]), RANDOM.normal(3, 1, 50), None, ()
    )
    assert share_of(images["energy"], ORANGE) == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scatter", [0.0, *further(1e-15), 1e-7, *further(1e-3)])
def test_an_eigenstate_has_a_histogram(tmp_path, dtype, scatter):
    samples = (3 + scatter * RANDOM.normal(size=(50, 16))).astype(dtype)
    images = drawn(tmp_path, metrics(np.full(10, 3.0)), samples)
    assert share_of(images["local_energy"], BLUE) > 0.005


@pytest.mark.parametrize(
    "energy",
    at(
        [[3.0], [3.0, 3.0], [np.nan] * 2, [3.1, np.nan, 3.05, 3.02], [1e300, 3.0, 2.0]],
        0,
        3,
    ),
    ids=["one step", "constant", "all NaN", "some NaN", "a spike"],
)
def test_unusual_energies_are_drawn(tmp_path, energy):
    images = drawn(tmp_path, metrics(energy), np.full((4, 4), 3.0))
    assert set(images) == {"energy", "acceptance", "local_energy"}


def test_run_without_training_has_no_figure_of_training(tmp_path):
    assert set(drawn(tmp_path, {}, RANDOM.normal(3, 1, 50))) == {"local_energy"}


def test_a_profile_without_error_or_all_zero_is_drawn(tmp_path):
    grid = np.linspace(0.1, 4, 40)
    profiles = {
        "density": Profile(grid, np.exp(-grid), np.full(40, np.nan)),
        "empty": Profile(grid, np.zeros(40), np.zeros(40)),
    }
    images = drawn(tmp_path, {}, RANDOM.normal(3, 1, 50), profiles)
    assert share_of(images["density"], BLUE) > 0.001
    assert "empty" in images


def test_outliers_do_not_squeeze_the_histogram(tmp_path):
    samples = np.append(RANDOM.normal(3, 0.1, 5000), [1e6, -1e6])
    image = drawn(tmp_path, {}, samples)["local_energy"]
    assert share_of(image, BLUE) > 0.1


def texts(monkeypatch, draw):
    """Every text of the figures that are drawn."""
    found = []

    def save(figure, path):
        for axes in figure.axes:
            legend = axes.get_legend()
            entries = [] if legend is None else legend.get_texts()
            found.extend(text.get_text() for text in entries)
            found.extend([axes.get_xlabel(), axes.get_ylabel(), axes.get_title()])

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", save)
    draw()
    return [text for text in found if text]


def test_axes_have_quantity_and_unit(tmp_path, monkeypatch):
    def labels(observable, shape, d, error=0.25):
        values = np.ones(shape)
        profile = labeled(observable, values, error * values, "bohr", d)
        figures = {observable.name: profile}
        return shown(figures)[2:]

    def shown(figures):
        return texts(
            monkeypatch, lambda: draw(tmp_path, {}, np.arange(9.0), figures, (), "Ry")
        )

    histogram = shown({})
    assert histogram == ["local energy (Ry)", "probability density"]
    assert labels(RadialDensity(3.0, 5), 5, 3) == [
        "r (bohr)",
        "one-body density (bohr$^{-3}$)",
    ]
    assert labels(PairCorrelation(3.0, Spins(2, 1), 5), (2, 5), 2) == [
        "equal spins",
        "opposite spins",
        "separation r (bohr)",
        "pairs per volume (bohr$^{-2}$)",
    ]
    assert labels(Density(3.0, 1, 5), 5, 1) == [
        "x (bohr)",
        "one-body density (bohr$^{-1}$)",
    ]
    plane = ["x (bohr)", "y (bohr)", "standard error at most 0.2"]
    bar = "one-body density (bohr$^{-2}$)"
    assert labels(Density(3.0, 2, 5), (5, 5), 2) == [*plane, bar]
    bar = "density integrated over z (bohr$^{-2}$)"
    assert labels(Density(3.0, 3, 5), (5, 5), 3, np.nan) == [*plane[:2], bar]


def test_curves_have_colors_and_empty_ones_are_omitted(tmp_path):
    grid = np.linspace(0.1, 4, 40)
    both = np.stack([np.exp(-grid), grid * np.exp(-grid)])
    one = np.stack([np.zeros(40), grid * np.exp(-grid)])
    names = ("equal spins", "opposite spins")
    profiles = {
        name: Profile(grid, values, np.full((2, 40), 0.01), curves=names)
        for name, values in {"both": both, "one": one}.items()
    }
    images = drawn(tmp_path, {}, RANDOM.normal(3, 1, 50), profiles)
    for name in ("both", "one"):
        assert share_of(images[name], ORANGE) > 0.003
    assert share_of(images["both"], BLUE) > 0.003 > share_of(images["one"], BLUE)


@pytest.mark.parametrize("n", [1, 7])
def test_an_image_shows_x_to_the_right_and_y_upwards(tmp_path, n):
    density = Density(2.0, 2, n)
    x, y = np.moveaxis(density.grid, -1, 0)
    values = np.exp(-((x - 2) ** 2) - (y + 2) ** 2)  # right, below
    profile = labeled(density, values, np.full((n, n), np.nan), "bohr", 2)
    image = drawn(tmp_path, {}, RANDOM.normal(3, 1, 50), {"map": profile})["map"]
    assert image.shape == (480, 624, 4)
    yellow, purple = (0.99, 0.91, 0.14), (0.27, 0.0, 0.33)
    if n > 1:
        there = np.argwhere(np.abs(image[..., :3] - yellow).max(axis=-1) < 0.15)
        row, column = np.median(there[there[:, 1] < 450], axis=0)
        assert row > 300 and column > 300
        assert np.abs(image[60, 150, :3] - purple).max() < 0.15


def test_energy_and_variance_are_drawn_with_line_and_evaluation(tmp_path, monkeypatch):
    variance = np.linspace(1.0, 0.1, 400)
    energy = 3 + 0.5 * variance + 1e-3 * RANDOM.normal(size=400)
    columns = metrics(energy) | {"variance": variance}
    samples = RANDOM.normal(3.05, 0.3, (100, 16))
    image = drawn(tmp_path, columns, samples)["energy_variance"]
    assert share_of(image, BLUE) > 0.003 and share_of(image, ORANGE) > 0.0005
    assert share_of(image, (0, 0, 0)) > 0.001
    line = extrapolate(blocks(columns))
    found = texts(monkeypatch, lambda: draw(tmp_path, columns, samples))
    assert f"extrapolated: {uncertain(line.energy, line.error)}" in found
    assert "energy (hartree)" in found and "variance (hartree$^2$)" in found
    evaluated = f"evaluated: {samples.mean():.3f}(10)"
    assert evaluated in found and "exact: 3" in found
    flat = columns | {"energy": 3 + 1e-3 * RANDOM.normal(size=400)}
    found = texts(monkeypatch, lambda: draw(tmp_path, flat, samples))
    assert evaluated in found and "extrapolated" not in " ".join(found)


@pytest.mark.parametrize(
    "steps, labels",
    [(60, ["one step"]), (150, ["one step", "mean of 3 steps"])],
)
def test_legend_names_one_step_and_mean(tmp_path, monkeypatch, steps, labels):
    found = texts(
        monkeypatch,
        lambda: draw(tmp_path, metrics(np.linspace(4, 3, steps)), np.ones(9)),
    )
    assert found[: len(labels) + 1] == [*labels, "exact: 3"]


def test_merged_bins_are_drawn_at_their_centers_and_named(tmp_path, monkeypatch):
    observable = RadialDensity(4.0, 40)
    profile = labeled(observable, np.ones(10), np.full(10, 0.1), "bohr", 3, width=4)
    np.testing.assert_allclose(profile.grid, RadialDensity(4.0, 10).grid)
    unknown = profile._replace(error=np.full(10, np.nan))
    for figure, title in (
        (profile, "4 bins merged into one"),
        (unknown, "4 bins merged into one, no error bars"),
    ):
        found = texts(
            monkeypatch,
            lambda figure=figure: draw(tmp_path, {}, np.arange(9.0), {"g": figure}),
        )
        assert title in found


@pytest.mark.parametrize(("n", "bins"), [(64, 10), (1000, 20), (10**6, 100)])
def test_local_energies_of_few_samples_have_few_bins(tmp_path, monkeypatch, n, bins):
    counts = []

    def save(figure, path):
        counts.append(len(figure.axes[0].patches))

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", save)
    draw(tmp_path, {}, np.linspace(2, 4, n))
    assert counts == [bins]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with its figures; copy it before a change."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run(experiment(directory=str(directory), evaluation_steps=100))
    return directory


def test_figures_are_drawn_again_in_another_style_and_format(finished, tmp_path):
    directory = tmp_path / "run"
    shutil.copytree(finished, directory)
    first = {path.name for path in (directory / "figures").iterdir()}
    assert {"energy.png", "energy.pdf", "density.pdf"} <= first
    before = (directory / "figures/density.png").read_bytes()
    folder = tmp_path / "again"
    main([str(directory), "--formats", "png", "svg", "--output", str(folder)])
    assert (folder / "density.png").read_bytes() == before
    names = {path.with_suffix(".png").name for path in folder.glob("*.svg")}
    assert names == {name for name in first if name.endswith(".png")}
    (tmp_path / "my.mplstyle").write_text("axes.facecolor: black\n")
    main([str(directory), "--style", str(tmp_path / "my.mplstyle")])
    assert (directory / "figures/density.png").read_bytes() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--style", "unknown"], "style must be one of matplotlib, got 'unknown'"),
        (["--formats", "bmp"], "Format 'bmp' is not supported"),
    ],
)
def test_unknown_styles_and_formats_are_refused(finished, capsys, options, message):
    with pytest.raises(SystemExit):
        main([str(finished), *options])
    assert message in capsys.readouterr().err

"""Measured rows, and the tables of experiments/README.md that are written from them."""

import re
import shlex

import numpy as np
import pytest

from experiments.command_line.main import options_of
from experiments.results import equation_of_state
from experiments.results.tables import (
    FIELDS,
    FOLDER,
    PAGE,
    TABLE,
    cells,
    filled,
    load,
)

UNCERTAIN = re.compile(r"(-?\d+\.?(\d*))\((\d+)\)")
NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))
ROWS = [row for name in NAMES for row in load(name)]
ENERGIES = [row for row in ROWS if "energy" in row]


def test_tables_are_written_from_the_rows():
    page = PAGE.read_text()
    assert filled(page) == page
    assert sorted(name for name, _ in TABLE.findall(page)) == NAMES


def test_every_row_but_those_of_speed_has_an_energy():
    speed = [row for name in NAMES if "speed" in name for row in load(name)]
    assert [row for row in ROWS if "energy" not in row] == speed


@pytest.mark.parametrize("row", ENERGIES, ids=lambda row: row["system"])
def test_row_with_an_energy_has_every_field(row):
    assert [*row] == [*FIELDS, "columns"]
    for name, kind in FIELDS.items():
        assert row[name] is None or type(row[name]) is kind, name
    for name in ("system", "seed", "energy", "hardware"):
        assert row[name] is not None, name
    for name in ("error", "seconds", "cpu_seconds"):
        assert row[name] is None or row[name] > 0, name
    assert row["commit"] is None or re.fullmatch("[0-9a-f]{7}", row["commit"])
    if row["command"]:
        name, *options = shlex.split(row["command"])
        options_of(name)
        seed = options[options.index("--seed") + 1] if "--seed" in options else 0
        assert int(seed) == row["seed"]


@pytest.mark.parametrize("row", ENERGIES, ids=lambda row: row["system"])
def test_columns_show_the_numbers_of_the_fields(row):
    (name,) = (name for name, text in row["columns"].items() if text == "{energy}")
    shown = cells(row)
    assert "{" not in "".join(shown.values())
    if row["error"] is None:
        assert float(shown[name]) == row["energy"]
        return
    match = UNCERTAIN.fullmatch(shown[name])
    assert float(match[1]) == row["energy"]
    assert float(f"{match[3]}e-{len(match[2])}") == pytest.approx(row["error"])
    if row["reference"] is not None:
        text = next(text for text in row["columns"].values() if "{reference" in text)
        value = re.search(r"-?\d+\.?\d*", text.format_map(row))
        assert float(value[0]) == row["reference"]


def test_equation_of_state_is_drawn_from_energies_below_hartree_fock(tmp_path):
    points = equation_of_state.measured("pairs")
    densities, energies = points[:, 0], points[:, 1]
    assert len(densities) >= 5 and np.all(np.diff(energies) > 0)
    bounds = [equation_of_state.hartree_fock(rho) for rho in densities]
    assert np.all(energies < bounds)
    equation_of_state.draw(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000

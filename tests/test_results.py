"""Measured rows and the tables of experiments/README.md agree."""

import pytest

from experiments.results.tables import FOLDER, PAGE, TABLE, filled, load, record

NAMES = sorted(path.stem for path in FOLDER.glob("*.jsonl"))


def test_tables_are_written_from_the_rows():
    page = PAGE.read_text()
    assert filled(page) == page
    assert sorted(name for name, _ in TABLE.findall(page)) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_a_row_are_those_of_its_columns(name):
    for row in load(name):
        assert row == record(row["columns"])


def test_an_uncertain_number_is_read_in_its_own_digits():
    assert record({"energy": "-0.0797841(54)"}) == {
        "energy": -0.0797841,
        "error": pytest.approx(5.4e-6),
        "columns": {"energy": "-0.0797841(54)"},
    }

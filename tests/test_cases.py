"""Every test runs in one of the commands of the Makefile."""

import re
import tomllib
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from tests.cases import at, few, further, most

ROOT = Path(__file__).parents[1]


def expressions():
    """The expressions of marks of `make test`, and of the other commands."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    options = settings["tool"]["pytest"]["ini_options"]["addopts"]
    (default,) = re.findall("-m '(.*?)'", options)
    found = re.findall(r'pytest -m (?:"(.*?)"|(\w+))', (ROOT / "Makefile").read_text())
    return [default, *(quoted or word for quoted, word in found)]


@pytest.mark.parametrize("rare", ["", "slow"])
@pytest.mark.parametrize("others", ["", "further", "whole", "further whole"])
def test_each_test_runs_in_one_command(rare, others):
    marks = {rare, *others.split()}
    selected = [
        text
        for text in expressions()
        if Expression.compile(text).evaluate(lambda name: name in marks)
    ]
    assert len(selected) == 1


def marked(cases):
    """The values of the cases that are marked."""
    return [case.values for case in cases if hasattr(case, "marks")]


def test_cases_are_marked_by_name_and_by_place():
    table = {"a": 1, "b": 2, "c": 3}
    assert marked(few(table, "b")) == [("a",), ("c",)]
    assert marked(most(table, "b")) == [("b",)]
    assert marked(at([(1, 2), (3, 4)], 1)) == [(1, 2)]
    slow = pytest.param(5, marks=pytest.mark.slow)
    assert further(slow) == [slow]
    with pytest.raises(AssertionError, match="'d'"):
        few(table, "d")

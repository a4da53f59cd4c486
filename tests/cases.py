"""Cases of parametrized tests that `make check` runs, beside those of `make test`."""

import pytest


def further(*cases):
    """The given cases, marked `further`; a tuple holds the arguments of one case.

    Cases with other marks keep these.
    """
    found = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        marked = pytest.param(*values, marks=pytest.mark.further)
        found.append(case if hasattr(case, "marks") else marked)
    return found


def at(table, *places):
    """All cases of a table; those at other places are marked `further`."""
    return [
        case if place in places else further(case)[0]
        for place, case in enumerate(table)
    ]


def few(table, *kept):
    """All names of a table; those that are not `kept` are marked `further`."""
    assert set(kept) <= set(table), f"{set(kept) - set(table)} are not in the table"
    return [name if name in kept else further(name)[0] for name in table]


def most(table, *rest):
    """All names of a table; those of the `rest` are marked `further`."""
    assert set(rest) <= set(table), f"{set(rest) - set(table)} are not in the table"
    return few(table, *(name for name in table if name not in rest))

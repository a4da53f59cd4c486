"""Cases of parametrized tests that `make check` runs, beside those of `make test`."""

import pytest


def further(*cases):
    """The given cases, marked `further`; a tuple holds the arguments of one case."""
    found = []
    for case in cases:
        values = case if isinstance(case, tuple) else (case,)
        found.append(pytest.param(*values, marks=pytest.mark.further))
    return found


def few(table, *kept):
    """All names of a table; those that are not `kept` are marked `further`."""
    assert set(kept) <= set(table), f"{set(kept) - set(table)} are not in the table"
    return [name if name in kept else further(name)[0] for name in table]


def most(table, *rest):
    """All names of a table; those of the `rest` are marked `further`."""
    return few(table, *(name for name in table if name not in rest))

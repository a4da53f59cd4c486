"""Progress lines and bars, and values with errors."""

import io
import math
import sys
import types

import pytest

from nqs.runs import progress
from nqs.runs.progress import Progress
from nqs.statistics import uncertain


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.000123, 0.00034, "3.00012(34)"),
        (-0.5, 0.012, "-0.500(12)"),
        (2.9999996, 0.00034, "3.00000(34)"),
        (1.0, 0.096, "1.000(96)"),
        (1.0, 0.0994, "1.000(99)"),
        (1.0, 0.0996, "1.00(10)"),  # not 1.000(100)
        (1.23456, 0.00999, "1.235(10)"),
        (12.34, 9.6, "12.3(96)"),
        (12.34, 9.96, "12(10)"),
        (1234.5, 12.0, "1234(12)"),
        (1234.5, 345.0, "1234(345)"),
        (0.0, 1e-8, "0.000000000(10)"),
        (1e6, 0.5, "1000000.00(50)"),
        (3.0, None, "3"),
        (3.00000000001, 0.0, "3.00000000001"),
        (3.0, 1e-14, "3"),
        (3.25, math.nan, "3.25"),
        (3.25, math.inf, "3.25"),
        (math.nan, 0.1, "nan"),
        (math.inf, None, "inf"),
    ],
)
def test_error_is_shown_in_the_last_two_digits(value, error, text):
    assert uncertain(value, error) == text


def test_shown_digits_match_the_error():
    for exponent in range(-9, 1):
        for mantissa in (1.0, 3.7, 9.4, 9.94, 9.951, 9.999):
            error = mantissa * 10.0**exponent
            shown, _, digits = uncertain(math.pi, error).rstrip(")").partition("(")
            decimals = len(shown.partition(".")[2])
            assert int(digits) * 10.0**-decimals == pytest.approx(error, rel=0.05)
            assert float(shown) == pytest.approx(math.pi, abs=10.0**-decimals)
            assert 10 <= int(digits) <= 99


def lines_of(capsys, steps, info):
    shown = Progress("hartree", 100)
    with shown.phase("train", 0, steps):
        for done in range(1, steps + 1):
            shown.update(done, info)
    return capsys.readouterr().out.splitlines()


INFO = {"energy": 3.0, "variance": 0.04, "acceptance": 0.512}


def test_without_a_terminal_there_are_plain_lines_of_the_first_and_last_step(capsys):
    first, last = lines_of(capsys, 1000, INFO)
    assert first.startswith("train 1/1000  E 3.000(20) hartree  variance 0.04  accept")
    assert last.startswith("train 1000/1000  E 3.000(20) hartree")
    assert "acceptance 0.51" in last and last.endswith("0:00 left")
    assert "\x1b" not in first + last


@pytest.mark.parametrize(
    "series, shown",
    [
        ([], "variance 0.04  acceptance"),
        ([1.0, 2.0, 3.0], "variance 0.04  mean 2  acceptance"),  # too few for an error
        (200 * [1.0, 2.0, 2.0, 1.0], "variance 0.04  mean 1.50000(62)  acceptance"),
    ],
)
def test_the_mean_so_far_has_its_error_bar(series, shown, capsys):
    bar = Progress("hartree", 100)
    with bar.phase("tau", 0, 1):
        bar.update(1, INFO, series)
    assert shown in capsys.readouterr().out


def test_a_line_is_printed_at_every_interval(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    assert len(lines_of(capsys, 10, INFO)) == 10


def test_lines_are_flushed(monkeypatch):
    class Log(io.StringIO):
        flushed = ""

        def flush(self):
            self.flushed = self.getvalue()

    monkeypatch.setattr(sys, "stdout", Log())
    shown = Progress("hartree", 1)
    with shown.phase("burn_in", 0, 100):
        shown.update(1, {"acceptance": 0.5})
        assert sys.stdout.flushed.startswith("burn_in 1/100  acceptance 0.50")


def test_remaining_time_counts_remaining_steps(capsys, monkeypatch):
    clock = iter([100.0, *(100.0 + i for i in range(1, 99))])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    shown = Progress("hartree", 1)
    with shown.phase("train", 1000, 1250):  # resumed: 1000 were done before
        shown.update(1010, {"acceptance": 0.5})
    # 10 steps in 2 ticks of the clock: 5 a second, 240 to go
    assert capsys.readouterr().out.endswith("5 steps/s  0:48 left\n")


def test_terminal_bar_ends_with_an_error(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    shown = Progress("hartree", 100)
    with pytest.raises(RuntimeError), shown.phase("train", 0, 4):
        shown.update(2, INFO)
        raise RuntimeError
    assert shown.live is None
    text = sys.stdout.getvalue()
    assert "train" in text and "2/4" in text and "E 3.000(20) hartree" in text


def test_bar_of_a_notebook_is_one_output_that_changes(monkeypatch, capsys):
    shown = []

    class Output:
        def update(self, content, raw):
            shown.append(content["text/plain"])

    def display(content, raw, display_id):
        return Output()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    module = types.ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    info = {"acceptance": 0.5, "energy": 3.0, "variance": 0.01}
    assert lines_of(capsys, 3, info) == []
    assert shown[0].startswith("train") and "0/3" in shown[0]
    assert "3/3" in shown[-1] and "E 3.000(10) hartree" in shown[-1]

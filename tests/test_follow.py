"""The live view of runs."""

import json
import os
import time

import numpy as np
import pytest

from nqs.files.directory import alone
from nqs.views.follow import SILENT, row, rows, sparkline
from nqs.watch import main


@pytest.fixture
def unfinished(tmp_path):
    """A run that has done 50 of 200 steps in 100 seconds."""
    directory = tmp_path / "run"
    directory.mkdir()
    config = {"iterations": 200, "n_walkers": 100}
    (directory / "config.json").write_text(json.dumps(config))
    lines = [
        json.dumps({"step": i, "energy": 3.0, "variance": 0.01, "acceptance": 0.5})
        for i in range(1, 51)
    ]
    metrics = directory / "metrics.jsonl"
    metrics.write_text("\n".join(lines) + '\n{"step": 51, "ener')
    now = time.time()
    os.utime(directory / "config.json", (now - 100, now - 100))
    os.utime(metrics, (now, now))
    return directory


def finish(directory, energy=3.0):
    result = {"iterations": 200, "energy": energy, "energy_error": 0.01}
    result |= {"variance": 0.1, "acceptance": 0.5}
    (directory / "result.json").write_text(json.dumps(result))


def test_a_run_is_followed_from_its_files(unfinished):
    found = row(unfinished)
    assert (found.status, found.steps) == ("running", "50/200")
    # five steps of 100 walkers: sqrt(0.01 / 100 / 5)
    assert (found.energy, found.variance) == ("3.0000(45)", "0.01")
    assert (found.acceptance, found.left) == ("0.50", "5:00")


def test_status_depends_on_lock_and_latest_change(unfinished):
    metrics = unfinished / "metrics.jsonl"
    before = time.time() - SILENT - 1
    os.utime(metrics, (before, before))
    assert row(unfinished).status == "stopped"
    with alone(unfinished):
        assert row(unfinished).status == "running"
    finish(unfinished)
    assert row(unfinished).status == "finished"
    (unfinished / "result.json").write_text("{")
    assert row(unfinished).status == "damaged"


def test_runs_of_a_series_have_one_row_each(unfinished, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"iterations": 9}')
    found = rows([tmp_path])
    assert sorted(each.steps for each in found) == ["0/9", "50/200"]


def test_command_shows_a_table_and_refuses_other_folders(unfinished, tmp_path, capsys):
    finish(unfinished, energy=2.5)
    main([str(unfinished), "--once"])
    shown = capsys.readouterr().out
    assert "finished" in shown and "2.500(10)" in shown
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit):
        main([str(tmp_path / "empty")])
    assert capsys.readouterr().err == f"error: {tmp_path / 'empty'} holds no run\n"


def test_sparklines_follow_the_values():
    assert sparkline(np.arange(8.0)) == "▁▂▃▄▅▇██"
    assert sparkline(np.full(5, 2.0)) == "▁▁▁▁▁"
    assert sparkline(np.array([np.nan])) == ""
    assert len(sparkline(np.arange(1000.0))) == 16

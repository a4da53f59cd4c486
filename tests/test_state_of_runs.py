"""Untrained states, resume commands, and the precision of the process."""

import types

import jax
import jax.numpy as jnp
import pytest

from nqs.files.directory import RunError, read_json, write_json
from nqs.runs import load, run
from nqs.runs.again import evaluate_again
from nqs.runs.watch import Watch
from tests.tiny import experiment


def test_untrained_run_is_evaluated_only_with_untrained_true(tmp_path, without_figures):
    run(experiment(iterations=0, directory=str(tmp_path / "a")))
    path = tmp_path / "a" / "config.json"
    write_json(path, read_json(path) | {"iterations": 5})  # as after a kill in burn-in
    with pytest.raises(RunError, match="must hold trained parameters"):
        evaluate_again(tmp_path / "a", 5, 0)
    result = evaluate_again(tmp_path / "a", 5, 0, untrained=True)
    assert "training had come to step 0 of 5" in result["warnings"]


def test_resume_hint_of_a_series_names_the_series(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Watch, "save", lambda self, run: None)
    start = types.SimpleNamespace(experiment=experiment())
    watch = Watch(start, tmp_path / "rs_2.0", [15], parent=tmp_path)
    with pytest.raises(SystemExit):
        watch.after_step(types.SimpleNamespace(done={"train": 3}), "train")
    hint = capsys.readouterr().err
    assert f"directory={str(tmp_path)!r}" in hint and "rs_2.0" not in hint


def test_load_keeps_the_precision_of_the_process(tmp_path, without_figures):
    run(experiment(directory=str(tmp_path / "a")))
    try:
        jax.config.update("jax_enable_x64", False)
        found = load(tmp_path / "a")
        assert not jax.config.jax_enable_x64
        assert found.params["a"].dtype == jnp.float64
    finally:
        jax.config.update("jax_enable_x64", True)

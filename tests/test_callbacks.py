"""Callbacks, hand-made loops, diagnostics and saved samples."""

import contextlib
import json

import jax
import numpy as np
import optax
import pytest

import nqs
from nqs.files.directory import RunError, read_json
from nqs.observables import MeanSquareRadius
from nqs.optimizers import FirstOrder, NaturalGradient
from nqs.optimizers.schedules import Schedule
from nqs.runs import SaveSamples, Stop, StopAtPlateau, StopAtVariance, loop, run
from nqs.runs.diagnostics import scheduled
from nqs.statistics import estimate
from nqs.statistics.estimates import split_r_hat
from tests.tiny import Well, experiment

pytestmark = pytest.mark.usefixtures("without_figures", "built_once")


class Recorder:
    """Look at everything."""

    def __init__(self):
        self.seen, self.result = [], None

    def step(self, step):
        params, walkers = step.params["a"], step.walkers
        assert walkers.shape == (16, 1, 1) and step.local_energy is None
        self.seen.append((step.phase, step.number, step.info["energy"], float(params)))

    def evaluation(self, step):
        assert step.info["energy"] == pytest.approx(step.local_energy.mean())
        self.seen.append((step.phase, step.number, step.info["energy"], None))

    def end(self, result):
        self.result = result


class Broken:
    def step(self, step):
        step.info["energy"] = 0.0

    def evaluation(self, step):
        raise ValueError("no disk")

    def end(self, result):
        result.clear()
        raise KeyError("energy")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run without callbacks; tests must not change it."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run(experiment(directory=str(directory)))
    return directory


def metrics(directory):
    return (directory / "metrics.jsonl").read_bytes()


def test_callbacks_see_every_step_and_change_no_number(finished, tmp_path):
    recorder = Recorder()
    result = run(experiment(directory=str(tmp_path / "a")), callbacks=[recorder])
    assert metrics(tmp_path / "a") == metrics(finished)
    assert result["energy"] == read_json(finished / "result.json")["energy"]
    phases = [(phase, number) for phase, number, *_ in recorder.seen]
    train, evaluation = ([(name, i) for i in range(1, n + 1)] for name, n in (("train", 5), ("evaluation", 4)))  # fmt: skip # noqa: E501
    assert phases == train + evaluation
    assert len({params for *_, params in recorder.seen[:5]}) == 5
    assert recorder.result == result


def test_exceptions_of_callbacks_become_warnings(finished, tmp_path):
    result = run(experiment(directory=str(tmp_path / "a")), callbacks=[Broken()])
    warnings = [text for text in result["warnings"] if "callback" in text]
    assert "callback Broken.step raised TypeError" in warnings[0]
    assert warnings[1] == "callback Broken.evaluation raised ValueError('no disk')"
    assert len(warnings) == 2 and result["energy"] is not None
    assert metrics(tmp_path / "a") == metrics(finished)


class StopAfter:
    def __init__(self, number):
        self.number = number

    def step(self, step):
        return Stop("enough") if step.number == self.number else "go on"


def test_stopped_training_is_evaluated_and_stays_stopped(tmp_path):
    directory = tmp_path / "a"
    changes = {"directory": str(directory), "evaluation_steps": 100}
    result = run(experiment(**changes), callbacks=[StopAfter(3)])
    assert "train stopped after step 3 of 5: enough" in result["warnings"]
    assert len(nqs.read(directory).columns["step"]) == 3
    assert result["n_samples"] == 1600
    again = run(experiment(**changes, resume=True))
    assert again["energy"] == result["energy"]
    assert "train was stopped after step 3" in again["warnings"]
    more = run(experiment(**changes, iterations=6, resume=True))
    assert len(nqs.read(directory).columns["step"]) == 6
    assert more["energy"] != result["energy"]


def test_variance_and_plateau_stop_the_training(tmp_path):
    well = {"iterations": 200, "evaluation_steps": 20}
    first = experiment(directory=str(tmp_path / "a"), **well)
    result = run(first, callbacks=[StopAtVariance(0.01, 5)])
    columns = nqs.read(tmp_path / "a").columns["variance"]
    assert np.mean(columns[-5:]) < 0.01 <= np.mean(columns[-6:-1])
    assert any("variance 0.00" in text for text in result["warnings"])
    second = experiment(directory=str(tmp_path / "b"), **well)
    run(second, callbacks=[StopAtPlateau(20)])
    energies = nqs.read(tmp_path / "b").columns["energy"]
    assert 40 <= len(energies) < 200
    halves = energies[-40:].reshape(2, 20)
    error = np.sqrt(halves.var(axis=1, ddof=1).sum() / 20)
    assert halves[0].mean() - halves[1].mean() < error


def test_a_hand_made_loop_is_a_run(finished, tmp_path):
    steps = nqs.steps(experiment(directory=str(tmp_path / "a")))
    phases = [step.phase for step in steps]
    assert phases == ["burn_in"] * 3 + ["train"] * 5 + ["evaluation"] * 4
    assert metrics(tmp_path / "a") == metrics(finished)
    assert steps.result == read_json(tmp_path / "a" / "result.json")


def test_a_loop_that_is_left_can_be_resumed(finished, tmp_path):
    changes = {"directory": str(tmp_path / "a"), "checkpoint_every": float("inf")}
    for step in nqs.steps(experiment(**changes)):
        if step.phase == "train" and step.number == 3:
            break
    del step
    resumed = nqs.steps(experiment(**changes, resume=True))
    numbers = [step.number for step in resumed if step.phase == "train"]
    assert numbers == [4, 5]
    assert metrics(tmp_path / "a") == metrics(finished)
    with pytest.raises(ZeroDivisionError):
        for step in nqs.steps(experiment(directory=str(tmp_path / "b"))):
            step.number / 0  # noqa: B018
    assert run(experiment(directory=str(tmp_path / "b"), resume=True))["energy"]


@pytest.mark.parametrize("phase", ["train", "evaluation"])
def test_interrupts_in_a_notebook_return_what_there_is(
    finished, tmp_path, monkeypatch, phase
):
    monkeypatch.setattr("nqs.runs.watch.in_notebook", lambda: True)
    changes = {"directory": str(tmp_path / "a")}

    class Interrupt:
        def step(self, step):
            if (step.phase, step.number) == (phase, 3):
                signals.append(2)

        evaluation = step

    signals = []
    monkeypatch.setattr(loop, "signals", lambda: contextlib.nullcontext(signals))
    found = run(experiment(**changes), callbacks=[Interrupt()])
    assert found["interrupted"].startswith(f"SIGINT: stopped after step 4 of {phase}")
    assert found["directory"] == str(tmp_path / "a")
    assert np.isfinite(found["energy"])
    assert not (tmp_path / "a" / "result.json").exists()
    signals.clear()
    result = run(experiment(**changes, resume=True))
    assert result["energy"] == read_json(finished / "result.json")["energy"]


def test_diagnostics_hold_hyper_parameters_and_time(tmp_path):
    schedule = Schedule("inverse_time", 10)
    natural = NaturalGradient(0.1, schedule, noise=3.0)
    directory, steps = tmp_path / "a", 60
    changes = {"optimizer": natural, "iterations": steps, "clip": None}
    run(experiment(directory=str(directory), **changes))
    found = nqs.read(directory).columns
    np.testing.assert_allclose(found["learning_rate"], 0.1 / (1 + np.arange(60) / 10))
    expected = 1e-4 + 3.0 * 0.1**2 * found["variance"]
    np.testing.assert_allclose(found["damping"], expected)
    assert np.all(np.diff(found["seconds"]) > 0)
    assert np.isfinite(found["r_hat"]).nonzero()[0].tolist() == [49]
    assert 0.9 < found["r_hat"][49] < 3


def test_injected_hyper_parameters_of_optax_are_logged(tmp_path):
    rate = optax.linear_schedule(0.1, 0.0, 5)
    chain = optax.multi_transform({"all": optax.inject_hyperparams(optax.sgd)(rate)}, lambda params: jax.tree.map(lambda _: "all", params))  # fmt: skip # noqa: E501
    run(experiment(directory=str(tmp_path / "a"), optimizer=chain))
    found = nqs.read(tmp_path / "a").columns["learning_rate"]
    np.testing.assert_allclose(found, 0.1 * (1 - np.arange(5) / 5), atol=1e-7)


def test_learning_rates_of_schedules_in_python_are_unknown():
    def rate(step):
        return 0.1 if step < 3 else 0.01

    assert scheduled(FirstOrder("sgd", rate), 5) is None
    assert scheduled(FirstOrder("sgd", 0.2), 3).tolist() == [0.2] * 3
    assert scheduled(optax.sgd(0.1), 5) is None


def test_samples_are_saved_and_read(finished, tmp_path):
    directory = tmp_path / "a"
    changes = {"directory": str(directory), "evaluation_steps": 6}
    run(experiment(**changes, save_samples=2))
    found = nqs.read(directory)
    assert found.walkers.shape == (3, 16, 1, 1)
    np.testing.assert_array_equal(found.walkers[-1], nqs.load(directory).walkers)
    with np.load(directory / "samples" / "000000004.npz") as file:
        np.testing.assert_array_equal(file["local_energy"], found.local_energy[:, 3])
    assert found.config == read_json(finished / "config.json") | {"evaluation_steps": 6}
    with pytest.raises(ValueError, match="every must be an integer >= 1, got 0"):
        SaveSamples(0)


def test_a_loaded_psi_is_measured_with_other_systems_and_observables(finished):
    psi = nqs.load(finished)
    same = nqs.evaluate(psi, steps=100, burn_in=20)
    saved = read_json(finished / "result.json")
    assert abs(same["energy"] - saved["energy"]) < 5 * same["energy_error"] + 0.05
    other = nqs.evaluate(psi, Well(omega=2.0), [MeanSquareRadius()], steps=100)
    a, (square, error) = float(psi.params["a"]), other["observables"]["r_squared"]
    assert abs(square - 1 / (2 * a)) < 4 * error
    exact = (a - a**2 * square) / 2 + 2.0**2 * square / 2
    assert other["energy"] == pytest.approx(exact, rel=1e-12)
    assert float(psi(psi.walkers[0]).logabs) <= 0
    with pytest.raises(ValueError, match="hamiltonian must be given"):
        nqs.evaluate(tuple(psi))
    import nqs.evaluate as module

    assert module(psi, steps=2, burn_in=0)["n_samples"] == 32


def test_metrics_go_to_tensorboard(tmp_path):
    pytest.importorskip("tensorboardX")
    directory = tmp_path / "a"
    run(experiment(directory=str(directory)), callbacks=[nqs.TensorBoard()])
    (path,) = (directory / "tensorboard").iterdir()
    content = path.read_bytes()
    assert b"energy" in content and b"variance" in content


def test_metrics_go_to_weights_and_biases_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = nqs.WeightsAndBiases(project="tiny", mode="offline")
    directory = tmp_path / "a"
    result = run(experiment(directory=str(directory)), callbacks=[logger])
    assert not [text for text in result["warnings"] if "callback" in text]
    assert list((directory / "wandb").glob("offline-run-*/*.wandb"))


def test_r_hat_of_equal_chains_is_one():
    values = np.random.default_rng(0).normal(size=(16, 50))
    assert split_r_hat(values) == pytest.approx(1, abs=0.05)
    apart = values + 3 * np.arange(16)[:, None]
    assert split_r_hat(apart) > 3
    assert estimate(values).r_hat == pytest.approx(split_r_hat(values - values.mean()))


def test_no_loop_starts_in_a_used_directory(finished):
    with pytest.raises(RunError, match="exists already"):
        next(iter(nqs.steps(experiment(directory=str(finished)))))
    assert json.loads((finished / "result.json").read_text())["experiment"] == "tiny"

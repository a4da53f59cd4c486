"""Searches for settings: what is searched, the trials, and the answer."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.command_line.main import options_of
from experiments.command_line.searches import (
    Search,
    default_value,
    search,
    searches,
)
from experiments.command_line.trials import Report, Trials
from experiments.command_line.tune import main
from experiments.command_line.tuned import answer, importances, rows, show_trials
from experiments.command_line.tuning import Tuning, late_energy, optuna, read
from experiments.command_line.variations import parsed
from nqs.files.directory import RunError, write_json
from nqs.jobs.claims import claimed
from nqs.jobs.workers import Jobs

TRAP = options_of("harmonic_oscillator")
FEW = ("--iterations", "20", "--ansatz", "ffnn(hidden=(2,))")
TEXTS = ("optimizer.learning_rate=log(0.001,0.3)", "ansatz.hidden=(2,)|(4,)")


def tuning(*texts, trials=5, **fields):
    found = searches(TRAP, FEW, texts or TEXTS)
    return Tuning("harmonic_oscillator", FEW, found, trials, **fields)


@pytest.fixture
def trials(tmp_path):
    tuning().save(tmp_path / "tune")
    return Trials(tmp_path / "tune")


class Script:
    """A worker whose trials have energies that depend on the learning rate."""

    def __init__(self, *statuses, energy=lambda rate: 1 + abs(np.log(rate / 0.1))):
        self.statuses, self.energy, self.made = list(statuses), energy, []

    def run(self, command, log, claim, look=None):
        status = self.statuses.pop(0) if self.statuses else 0
        options = parsed(TRAP, command[5:])
        rate = dict(options.optimizer.settings).get("learning_rate", 0.01)
        self.made.append((options.directory, rate, options.evaluation_steps))
        directory = log.parents[1] / options.directory
        directory.mkdir(exist_ok=True)
        log.write_text("error: not finite\n")
        if status == 0:
            lines = [
                json.dumps({"step": i, "energy": self.energy(rate) + 0.01 * (-1) ** i})
                for i in range(1, 21)
            ]
            (directory / "metrics.jsonl").write_text("\n".join(lines) + "\n")
            write_json(directory / "config.json", {"iterations": 20, "n_walkers": 8})
            result = {"iterations": 20, "energy": 1.0, "energy_error": None}
            result |= {"variance": 0.1, "acceptance": 0.5}
            write_json(directory / "result.json", result)
        return status


def test_searches_are_ranges_or_choices():
    assert search("clip=(2, 10)") == Search("clip", (), 2.0, 10.0, "")
    assert search("optimizer.learning_rate=log(1e-3,0.3)").kind == "log"
    assert search("ansatz.layers=int(1,4)").ends() == ["1", "4"]
    assert search("ansatz.hidden=(2,)|(4,)").choices == ("(2,)", "(4,)")
    assert search("optimizer=adam|sgd").ends() == ["adam", "sgd"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clip=log(0,1)", "above zero for log, got log"),
        ("clip=(3,2)", "from a lower to a higher number"),
        ("clip=2", "a search must be NAME=log"),
        ("clip=2|2", "with different values"),
        ("omega=1|2", "one of .*, which leave system and number of steps"),
        ("iterations=10|20", "number of steps as they are, got 'iterations'"),
        ("ansatz.hiden=1|2", "has no field 'hiden'; it has hidden"),
        ("n_walkers=int(1,8)", "n_walkers must be at least 2"),
    ],
)
def test_mistakes_in_a_search_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        searches(TRAP, FEW, [text])
    with pytest.raises(ValueError, match="tune requires --search"):
        searches(TRAP, FEW, [])


def test_default_values_are_those_of_the_experiment():
    dot = options_of("quantum_dot")(omega=0.5)
    assert default_value(dot, "optimizer.learning_rate") == "0.2"
    assert default_value(dot, "ansatz.width") == str(
        dot.experiment().ansatz.factors[0].width
    )
    assert default_value(dot, "n_walkers") == "256"
    assert default_value(dot, "optimizer.schedule") == "inverse_time"
    assert default_value(parsed(TRAP, FEW), "ansatz.hidden") == "(2,)"


def test_late_energy_is_robust_and_its_error_shrinks():
    rng = np.random.default_rng(1)
    energies = 2.0 + 0.1 * rng.standard_normal(400)
    energies[:300] += 5.0  # the beginning does not count
    mean, error = late_energy(energies)
    assert abs(mean - 2.0) < 4 * 0.1 / 10 and 0.005 < error < 0.03
    energies[350] = 1e6  # nor does one bad step
    assert abs(late_energy(energies)[0] - mean) < 0.01


def test_first_trial_has_the_default_settings_and_all_are_made_once(trials):
    worker = Script()
    assert len(trials.left()) == 5
    trials.work(worker)
    assert trials.left() == [] and len(worker.made) == 5
    assert worker.made[0] == (str(trials.place(0)), 0.01, 10)
    rates = [rate for _, rate, _ in worker.made]
    assert len(set(rates)) == 5 and 0.001 <= min(rates) <= max(rates) <= 0.3
    trials.work(worker)
    assert len(worker.made) == 5
    trial = trials.study().trials[1]
    mean, error = trial.user_attrs["energy"]
    assert trial.value == pytest.approx(mean + error)
    assert mean == pytest.approx(1 + abs(np.log(rates[1] / 0.1)), abs=0.01)


def test_default_outside_the_search_is_the_first_trial_nevertheless(tmp_path):
    tuning("ansatz.hidden=(3,)|(4,)", trials=2).save(tmp_path / "tune")
    trials, worker = Trials(tmp_path / "tune"), Script()
    trials.work(worker)
    found = trials.study().trials
    assert found[0].params == {} and set(found[1].params) == {"ansatz.hidden"}
    assert found[0].user_attrs["arguments"] == list(FEW)


def test_killed_trials_go_on_and_failures_are_kept(trials):
    worker = Script(-15)  # stopped before its first step
    trials.work(worker)
    assert [row.status for row in rows(trials)] == ["pending"]
    again = Script(0, 1)
    trials.work(again)
    assert again.made[0] == worker.made[0]
    states = [row.status for row in rows(trials)]
    assert states == ["done", "failed", "done", "done", "done"]
    assert rows(trials)[1].history == "not finite"


def test_trial_claimed_by_another_worker_is_left_to_it(trials):
    trials.study().ask()
    worker = Script()
    with claimed(trials.claim(0)):
        assert trials.running() == [0]
        trials.work(worker)
    assert str(trials.place(0)) not in [place for place, *_ in worker.made]
    assert len(trials.left()) == 1


def write_energies(directory, energies):
    directory.mkdir(exist_ok=True)
    lines = [json.dumps({"step": i + 1, "energy": e}) for i, e in enumerate(energies)]
    (directory / "metrics.jsonl").write_text("".join(f"{line}\n" for line in lines))


def test_trials_worse_than_the_others_are_pruned_but_not_the_default(tmp_path):
    study = optuna().create_study(pruner=optuna().pruners.ThresholdPruner(upper=2.0))
    stops = []
    for default in (False, True):
        study.enqueue_trial({}, user_attrs={"default": default})
        report = Report(study.ask(), tmp_path, 20)
        write_energies(tmp_path, [1.0] * 10)
        report.look(lambda: stops.append("early"))
        write_energies(tmp_path, [1.0] * 10 + [3.0] * 4)
        report.looked = 0.0
        report.look(lambda default=default: stops.append(default))
        assert report.pruned is not default
        assert report.reported == {2, 4, 6, 8, 10, 12, 14}
    assert stops == [False]


def trial(number, energy, error, **attributes):
    attributes |= {"energy": [energy, error], "arguments": ["--n", str(number)]}
    return SimpleNamespace(number=number, value=energy + error, user_attrs=attributes)


def test_answer_says_whether_the_default_is_best():
    default = trial(0, 1.0, 0.03, default=True)
    lines = answer("quantum_dot", [default, trial(1, 0.9, 0.03)])
    assert lines[-2:] == ["the best settings:", "nqs run quantum_dot --n 1"]
    lines = answer("quantum_dot", [default, trial(1, 0.95, 0.03)])
    assert "the default settings are best within two" in lines[-2]
    assert lines[-1] == "nqs run quantum_dot --n 0"


def test_results_have_the_importance_of_every_setting(tmp_path, capsys):
    tuning(trials=12).save(tmp_path / "tune")
    trials = Trials(tmp_path / "tune")
    trials.work(Script())
    show_trials(trials)
    out = capsys.readouterr().out
    assert "nqs run harmonic_oscillator --iterations 20" in out
    kept = json.loads((trials.directory / "results.json").read_text())
    assert len(kept["trials"]) == 12
    assert kept["importance"]["optimizer.learning_rate"] > 0.8
    assert (trials.directory / "figures" / "importance.png").stat().st_size > 1000
    assert importances(trials.study(), 3) == {}


def test_another_search_in_the_directory_is_refused(trials):
    tuning(trials=9).save(trials.directory)  # more of them
    assert read(trials.directory).trials == 9
    with pytest.raises(RunError, match=r"searches\[0\].high is 0.3 there, got 0.2"):
        other = ("optimizer.learning_rate=log(0.001,0.2)", TEXTS[1])
        tuning(*other).save(trials.directory)
    with pytest.raises(RunError, match="prune is True there, got False"):
        dataclasses.replace(tuning(), prune=False).save(trials.directory)


def test_command_makes_the_trials_of_a_search(tmp_path, monkeypatch, capsys):
    def make(tasks, jobs, name, look):
        assert jobs == Jobs(workers=1)
        tasks.work(Script())
        return tasks.left()

    monkeypatch.setattr("nqs.jobs.supervision.complete", make)
    place = ["--directory", str(tmp_path / "tune"), "--workers", "1"]
    asked = [text for each in TEXTS for text in ("--search", each)]
    arguments = ["harmonic_oscillator", *FEW, *asked, "--trials", "2", *place]
    main(arguments, options_of)
    main([str(tmp_path / "tune")], options_of)
    assert capsys.readouterr().out.count(" done ") == 4


def test_missing_optuna_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(RunError, match="install the extra `sweep`"):
        optuna()

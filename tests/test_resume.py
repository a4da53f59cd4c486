"""Runs that were killed at any moment resume bit-identically."""

import shutil
import signal
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.files import checkpoint
from nqs.files.directory import RunError, read_json
from nqs.runs import load, run
from nqs.runs.devices import walker_mesh
from nqs.runs.experiment import Experiment
from nqs.runs.loading import last_checkpoint
from nqs.runs.state import expected, identity, shapes
from nqs.vmc import VMC
from tests.cases import few, further
from tests.tiny import (
    OPTIMIZERS,
    SAMPLERS,
    Still,
    Well,
    experiment,
    forked,
    machine,
    process,
)

pytestmark = pytest.mark.usefixtures("without_figures", "built_once")

# Fields of a result that depend on the clock or on kills.
INCIDENTAL = {"compile_seconds", "train_seconds", "evaluate_seconds",
              "seconds_per_step", "peak_memory_mb", "warnings"}  # fmt: skip

# Steps 1 to 3 of a tiny run are burn-in, 4 to 8 training, 9 to 12 evaluation. With
# checkpoint_every=0 each is saved: opened as NUMBER.npz.tmp, renamed, read when the
# next one is saved, and deleted after the one that follows.
MOMENTS = [
    ("000000000", 1),  # while the very first checkpoint is written
    ("000000002", 2),  # burn-in
    ("000000003.npz", 2),  # a complete file that does not have its name yet
    ("metrics.jsonl.tmp", 2),  # before the first training step
    ("000000006", 1),  # training
    ("000000006.npz", 4),  # while the checkpoint before the last is deleted
    ("000000008", 3),  # between training and evaluation
    ("000000010", 2),  # evaluation
    ("observables.npz", 2),  # the run is over, its files are written
    ("result.json", 3),  # result.json is complete, but not yet in its place
]

# A signal while a step is saved takes effect after the next step.
STOPS = [
    ("000000000", 1),
    ("000000002", 1),
    ("metrics.jsonl.tmp", 2),
    ("000000005", 1),
    ("000000007", 1),
    ("000000009", 1),
    *MOMENTS[-2:],
]


def outcome(directory, experiment):
    """Output that is independent of kills: metrics, result, and last checkpoint."""
    fingerprint = identity(experiment.config())
    like = expected(*shapes(experiment))
    tree = last_checkpoint(directory, like, fingerprint, pytest.fail)
    del tree["seconds"]
    leaves = jax.tree_util.tree_leaves_with_path(jax.tree.map(np.asarray, tree))
    result = read_json(directory / "result.json")
    arrays = np.load(directory / "observables.npz")
    return {
        "metrics": [path.read_text() for path in sorted(directory.glob("*.jsonl"))],
        "result": {k: v for k, v in result.items() if k not in INCIDENTAL},
        "observables": {name: arrays[name].tobytes() for name in arrays},
        "tree": {
            jax.tree_util.keystr(path): np.asarray(leaf).tobytes()
            for path, leaf in leaves
        },
    }


def assert_equal(one, other):
    assert one["metrics"] == other["metrics"]
    assert one["result"] == other["result"]
    assert one["observables"] == other["observables"]
    assert one["tree"] == other["tree"]
    assert "['vmc'].params" in str(one["tree"].keys())
    assert "['samples'].terms['kinetic']" in one["tree"]


def in_the_end(directory, **settings):
    """The outcome of a run without interruption."""
    run(machine(**settings, directory=str(directory)))
    return outcome(directory, machine(**settings))


def interrupted_at_every(moments, number, directory, **settings):
    """The outcome of a run that is interrupted at each moment and resumed."""
    settings |= {"directory": str(directory), "checkpoint_every": 0.0}
    for name, count in moments:
        resume = {"resume": (directory / "config.json").exists()}
        code = forked(settings | resume, number, name, count)
        # a signal after the last step has no effect
        over = number == signal.SIGTERM and (name, count) in MOMENTS[-2:]
        expected = {signal.SIGKILL: -9, signal.SIGTERM: 0 if over else 143}[number]
        assert code == expected, (name, count)
    run(machine(**settings, resume=True))
    return outcome(directory, machine(**settings))


@pytest.mark.parametrize(
    ("sampler", "optimizer", "moments"),
    [
        ("metropolis", "adam", [MOMENTS[i] for i in (3, 7)]),
        *further(("metropolis", "adam", [MOMENTS[i] for i in (1, 9)])),
        pytest.param(
            *("langevin", "momentum", [MOMENTS[i] for i in (2, 5)]),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("gibbs", "spring", [MOMENTS[i] for i in (0, 6)]),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_run_resumes_bit_identically(tmp_path, sampler, optimizer, moments):
    parts = {"sampler": sampler, "optimizer": optimizer, "observe_every": 2}
    undisturbed = in_the_end(tmp_path / "a", **parts, checkpoint_every=0.0)
    killed = interrupted_at_every(moments, signal.SIGKILL, tmp_path / "b", **parts)
    assert_equal(killed, undisturbed)


def test_checkpoint_of_training_has_the_sampler_state_of_training(
    tmp_path, monkeypatch
):
    """`load` and `start_from` need walkers that belong to the parameters."""
    save, kept = checkpoint.save, []

    def watched(folder, step, tree, **settings):
        kept.append(jax.device_get(tree))
        save(folder, step, tree, **settings)

    monkeypatch.setattr(checkpoint, "save", watched)
    run(experiment(directory=str(tmp_path / "a"), checkpoint_every=0.0))
    in_training = [tree for tree in kept if 0 < tree["done"]["train"] < 5]
    widths = [tree["sampler"].width for tree in in_training]
    assert len(in_training) == 4 and len(set(map(float, widths))) > 1
    for tree in in_training:
        jax.tree.map(
            np.testing.assert_array_equal, tree["sampler"], tree["vmc"].sampler
        )


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_kills_and_stops_resume_bit_identically_with_all_parts(
    tmp_path, sampler, optimizer
):
    parts = {"sampler": sampler, "optimizer": optimizer, "real": True}
    parts |= {"observe_every": 2, "single_sampling": True}
    undisturbed = in_the_end(tmp_path / "a", **parts, checkpoint_every=0.0)
    for number, moments in ((signal.SIGKILL, MOMENTS), (signal.SIGTERM, STOPS)):
        directory = tmp_path / number.name
        again = interrupted_at_every(moments, number, directory, **parts)
        assert_equal(again, undisturbed)


@pytest.mark.slow
def test_kills_at_random_times_resume_bit_identically(tmp_path):
    lengths = {"iterations": 30, "evaluation_steps": 30, "checkpoint_every": 0.0}
    undisturbed = in_the_end(tmp_path / "a", **lengths)
    directory, times = tmp_path / "b", np.random.default_rng(0).uniform(0, 4, 10)
    settings = lengths | {"directory": str(directory)}
    for seconds in times:
        resume = {"resume": (directory / "config.json").exists()}
        killed = process(settings | resume)
        killed.stdout.readline()  # the message before the name of the run directory
        killed.stdout.readline()
        time.sleep(seconds)
        killed.kill()
        killed.communicate()
    run(machine(**settings, resume=True))
    assert_equal(outcome(directory, machine(**lengths)), undisturbed)


@pytest.mark.whole
def test_stop_signals_save_and_print_the_resume_command(tmp_path):
    # every phase takes half a second, during which the signal is sent
    settings = {"iterations": 500, "evaluation_steps": 500}
    directory = tmp_path / "it's here"
    parts = settings | {"directory": str(directory)}
    for number, phase in ((signal.SIGTERM, "train"), (signal.SIGINT, "evaluation")):
        child = process(parts | {"resume": phase == "evaluation"})
        for line in child.stdout:
            if line.startswith(phase):
                child.send_signal(number)
                break
        _, errors = child.communicate(timeout=300)
        assert child.returncode == 128 + number
        assert f"{number.name}: stopped after step" in errors
        assert f"of {phase}; a checkpoint is saved. Resume with: " in errors
        assert f"directory={str(directory)!r}, resume=True" in errors
        assert "Traceback" not in errors
        step = int(errors.partition("stopped after step ")[2].split()[0])
        before = {"train": 3, "evaluation": 3 + 500}[phase]
        saved = sorted((directory / "checkpoints").glob("*.npz"))
        assert int(saved[-1].stem) == before + step
        assert not (directory / "result.json").exists()
    run(machine(**parts, resume=True))
    undisturbed = in_the_end(tmp_path / "b", **settings)
    assert_equal(outcome(directory, machine(**settings)), undisturbed)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of 5 training and 4 evaluation steps; copy it before use."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run(experiment(directory=str(directory)))
    return directory


def resumed(finished, directory, **changes):
    """A copy of the finished run, resumed with changes."""
    shutil.copytree(finished, directory)
    return run(experiment(directory=str(directory), resume=True, **changes))


def test_a_finished_run_resumes_to_the_same_result(finished, tmp_path):
    resumed(finished, tmp_path / "a")
    same = outcome(tmp_path / "a", experiment())
    assert_equal(same, outcome(finished, experiment()))


@pytest.mark.parametrize(
    "longer", [{"iterations": 9}, *further({"evaluation_steps": 7})], ids=str
)
def test_extended_run_equals_longer_run(finished, tmp_path, longer):
    resumed(finished, tmp_path / "a", **longer)
    run(experiment(directory=str(tmp_path / "b"), **longer))
    one, other = (outcome(tmp_path / k, experiment(**longer)) for k in "ab")
    assert_equal(one, other)
    assert read_json(tmp_path / "a" / "config.json") == experiment(**longer).config()


def older(field):
    """`Experiment.config` of a version that had no such field."""
    current = Experiment.config

    def config(self):
        settings = inner = current(self)
        for name in field[:-1]:
            inner = inner[name]
        del inner[field[-1]]
        return settings

    return config


FIELDS = [
    *further((("clip",),)),
    ("options", "n"),
    *further((("hamiltonian", "omega"),)),
]


@pytest.mark.parametrize("field", FIELDS, ids=str)
def test_runs_resume_with_the_defaults_of_newer_fields(tmp_path, monkeypatch, field):
    directory, options = str(tmp_path / "a"), {"n": 1, "iterations": 5}
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "config", older(field))
        run(experiment(directory=directory, options=options))
    longer = {"evaluation_steps": 7, "options": options}
    for _ in range(2):  # the second finds what the first has written
        run(experiment(directory=directory, resume=True, **longer))
    run(experiment(directory=str(tmp_path / "b"), **longer))
    texts = [(tmp_path / name / "metrics.jsonl").read_text() for name in "ab"]
    results = [read_json(tmp_path / name / "result.json") for name in "ab"]
    assert texts[0] == texts[1] and results[0]["energy"] == results[1]["energy"]
    assert load(directory).params == load(tmp_path / "b").params


def test_runs_do_not_resume_with_other_values_of_newer_fields(tmp_path, monkeypatch):
    directory = str(tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "config", older(("hamiltonian", "omega")))
        run(experiment(directory=directory))
    stiff = Well(omega=2.0)
    with pytest.raises(RunError, match="omega cannot change on resume: .* got 2.0"):
        run(experiment(directory=directory, resume=True, hamiltonian=stiff))


def test_run_resumes_on_another_number_of_devices_and_prints_the_number(
    finished, tmp_path, monkeypatch, capsys
):
    longer = {"iterations": 9}
    same = resumed(finished, tmp_path / "a", **longer)
    assert "on 4 devices (4 before): the continuation is the same bit for bit" in (
        capsys.readouterr().out
    )
    monkeypatch.setattr(
        "nqs.runs.start.walker_mesh", lambda n: walker_mesh(n, jax.devices()[:2])
    )
    other = resumed(finished, tmp_path / "b", **longer)
    assert "on 2 devices (4 before): the continuation is the same statistically" in (
        capsys.readouterr().out
    )
    assert other["device"] == "2 x cpu"
    # the same moves are accepted; the order of summation differs
    assert other["energy"] == pytest.approx(same["energy"], rel=1e-10)


@pytest.mark.parametrize("field", ["iterations", "evaluation_steps"])
def test_a_run_cannot_be_made_shorter(finished, tmp_path, field):
    with pytest.raises(RunError, match=f"{field} may only be raised.* got 2"):
        resumed(finished, tmp_path / "a", **{field: 2})
    assert_equal(outcome(tmp_path / "a", experiment()), outcome(finished, experiment()))


def test_extended_training_continues_from_training_walkers(finished, tmp_path):
    resumed(finished, tmp_path / "a", evaluation_steps=6)
    longest = {"evaluation_steps": 6, "iterations": 8}
    run(experiment(directory=str(tmp_path / "a"), resume=True, **longest))
    run(experiment(directory=str(tmp_path / "b"), **longest))
    one, other = (outcome(tmp_path / k, experiment(**longest)) for k in "ab")
    assert_equal(one, other)


def test_a_run_killed_before_its_first_checkpoint_starts_again(
    finished, tmp_path, capsys
):
    shutil.copytree(finished, tmp_path / "a")
    shutil.rmtree(tmp_path / "a" / "checkpoints")
    run(experiment(directory=str(tmp_path / "a"), resume=True))
    assert "warning: no checkpoint is left" in capsys.readouterr().err
    again = outcome(tmp_path / "a", experiment())
    assert_equal(again, outcome(finished, experiment()))


def test_restart_without_checkpoint_uses_start_from(finished, tmp_path):
    start = {"start_from": str(finished)}
    run(experiment(directory=str(tmp_path / "a"), **start))
    assert load(tmp_path / "a").params != load(finished).params
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    shutil.rmtree(tmp_path / "b" / "checkpoints")
    run(experiment(directory=str(tmp_path / "b"), resume=True, **start))
    one, other = (outcome(tmp_path / k, experiment(**start)) for k in "ab")
    assert_equal(one, other)


def test_resume_does_not_need_start_from(finished, tmp_path):
    source = shutil.copytree(finished, tmp_path / "source")
    start = {"start_from": str(source), "directory": str(tmp_path / "a")}
    energy = run(experiment(**start))["energy"]
    shutil.rmtree(source)
    assert run(experiment(**start, resume=True))["energy"] == energy


@pytest.mark.parametrize("name", few(OPTIMIZERS, "adam", "lion", "spring"))
def test_the_state_of_every_optimizer_survives_a_checkpoint(tmp_path, name):
    well = Well()
    vmc = VMC(experiment().ansatz, well, Still(), OPTIMIZERS[name])
    state = vmc.init(jax.random.key(0), well.initial_walkers(jax.random.key(1), 8))
    step = jax.jit(lambda i, state: vmc.step(jax.random.key(i), state)[0])
    for i in range(6):
        if i == 3:
            checkpoint.save(tmp_path, 3, state, identity="")
        state = step(jnp.asarray(i), state)
    _, again = checkpoint.restore(tmp_path, state, identity="", warn=pytest.fail)
    for i in range(3, 6):
        again = step(jnp.asarray(i), again)
    leaves = jax.tree_util.tree_leaves_with_path(state)
    for (path, leaf), other in zip(leaves, jax.tree.leaves(again), strict=True):
        where = jax.tree_util.keystr(path)
        assert np.asarray(leaf).tobytes() == np.asarray(other).tobytes(), where
    assert np.all(np.asarray(state.params["a"]) != 0.7)

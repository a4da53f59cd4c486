"""Invalid input and damaged files give one sentence and change no file."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import resource
import shutil
import sys

import jax.numpy as jnp
import pytest

from experiments.command_line import options
from experiments.command_line.notation import Part
from experiments.harmonic_oscillator import HarmonicOscillatorOptions
from experiments.quantum_dot import QuantumDotOptions
from nqs.evaluate import main as evaluate_main
from nqs.files import checkpoint
from nqs.files import directory as directory_module
from nqs.files.directory import RunError, alone, read_json, write_json
from nqs.files.metrics import Metrics
from nqs.optimizers import FirstOrder
from nqs.runs import load, result, run
from nqs.runs.again import evaluate_again
from nqs.types import Function, LogPsi
from tests import tiny
from tests.cases import at, further
from tests.tiny import FULL_DISK, SAMPLERS, Still, Well, gaussian, narrow, process

pytestmark = pytest.mark.usefixtures("without_figures", "built_once")


def experiment(**changes):
    """A run whose walkers do not move, which is fast."""
    return tiny.experiment(**{"sampler": Still()} | changes)


def snapshot(directory):
    """Checksums of every file below a directory."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def refused(monkeypatch, capsys):
    """Call a command that must end with a code and one sentence, which is returned."""

    def call(*arguments, command=lambda: options.main(QuantumDotOptions)):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            command()
        errors = capsys.readouterr().err
        assert stopped.value.code not in (0, None)
        assert "Traceback" not in errors
        # tyro draws a box
        return " ".join(errors.replace("│", " ").split())

    return call


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--omgea", "1"], "--omega"),
        (["--n", "two"], "invalid literal for int()"),
        (["--n", "2.5"], "invalid literal for int()"),
        (["--n-walkers", "1e3"], "invalid literal for int()"),
        (["--precision", "float16"], "invalid choice"),
        (["--ansatz", "fnn"], "unknown ansatz 'fnn'; known are "),
        (["--sampler", "nuts"], "unknown sampler 'nuts'; known are metropolis, lang"),
        (["--optimizer", "adm"], "unknown optimizer 'adm'; known are"),
        (["--optimizer", "adam(lr=1)"], "has no field 'lr'; it has learning_rate"),
        (
            ["--optimizer", "adam(learning_rate=-1)"],
            "learning_rate must be finite and positive",
        ),
        (["--optimizer", "adam(schedule='sin')"], "schedule must be one of"),
        (["--ansatz", "ffnn(hiden=(8,))"], "has no field 'hiden'; it has hidden"),
        (["--ansatz", "ffnn(name='a')"], "has no field 'name'"),
        (["--ansatz", "ffnn(hidden=8)"], "positive integers such as (32, 32), got 8"),
        (
            ["--ansatz", "ffnn(hidden=(8, 0))"],
            "hidden must be a tuple of positive integers",
        ),
        (["--ansatz", "ffnn(activation='tanhh')"], "got 'tanhh'"),
        (["--ansatz", "ffnn(activation='shape')"], "FeedForward cannot be evaluated"),
        (["--ansatz", "rbm(n_hidden=0)"], "n_hidden must be"),
        (["--ansatz", "ffnn(residual='no')"], "ansatz.residual must be True or False"),
        (["--ansatz", "ffnn(hidden="], "NAME or NAME(FIELD=VALUE, ...)"),
        (["--ansatz", "ffnn(32)"], "with numbers, text or tuples as values, got"),
        (["--ansatz", "ffnn(**{'hidden': 3})"], "NAME or NAME(FIELD=VALUE, ...)"),
        (["--ansatz", "ffnn(hidden=open('x'))"], "NAME or NAME(FIELD=VALUE, ...)"),
        (["--ansatz", "ffnn(hidden={[]: 1})"], "NAME or NAME(FIELD=VALUE, ...)"),
        (["--ansatz", ""], "or tuples as values, got ''"),
        (["--sampler", "metropolis(move='jump')"], "move must be one of all_particles"),
        (
            ["--sampler", "metropolis(width=-1.0)"],
            "Metropolis.width must be finite and positive",
        ),
        (["--sweeps", "0"], "sweeps must be an integer >= 1, got 0"),
        (["--omega", "-1"], "positive, got -1.0"),
        (["--omega", "nan"], "positive, got nan"),
        (["--n", "0"], "n must be an integer >= 1, got 0"),
        (["--n", "2", "--n-up", "3"], "n_up must be an integer >= 0 and <= 2, got 3"),
        (["--n", "2", "--n-up", "-1"], "n_up must be an integer >= 0 and <= 2, got -1"),
        (["--d", "4"], "d must be an integer >= 1 and <= 3, got 4"),
        (["--n-walkers", "0"], "n_walkers must be an integer >= 1, got 0"),
        (["--iterations", "-1"], "iterations must be an integer >= 0, got -1"),
        (["--evaluation-steps", "0"], "evaluation_steps must be an integer >= 1"),
        (["--chunk-size", "0"], "chunk_size must be an integer >= 1, got 0"),
        (
            ["--checkpoint-every", "nan"],
            "checkpoint_every must be finite and >= 0, got",
        ),
        (["--seed", "-1"], "seed must be an integer >= 0"),
        (["--seed", "4294967296"], "<= 4294967295, got 4294967296"),
        (["--sampler", "gibbs"], "ansatz must have a HiddenLayer, such as"),
        (["--resume"], "directory must be given to resume a run, got None"),
        (["--start-from", "nowhere"], "nowhere/config.json does not exist"),
        (["--start-from", "pyproject.toml"], "cannot read pyproject.toml/config.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistyped_option_prints_one_sentence(
    refused, tmp_path, monkeypatch, arguments, sentence
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").touch()
    assert sentence in refused("--ansatz", "ffnn(hidden=(4,))", *arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]


def test_error_for_gibbs_with_a_network_names_sampler_and_ansatz(refused):
    sentence = refused("--ansatz", "ffnn(hidden=(4,))", "--sampler", "gibbs")
    assert "Gibbs" in sentence and "got FeedForward" in sentence
    assert "GaussianBinaryRBM" in sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--n-up", "1"], "bosons have no spin, got n_up=1"),
        (["--ansatz", "slater"], "slater is antisymmetric, but these are bosons"),
        (["--ansatz", "ffnn(jastrow=True)"], "jastrow=True requires an interaction"),
        (["--interaction", "magnetic"], "unknown interaction 'magnetic'; known are"),
        (["--omega", "1", "2"], "omega"),
        (["--statistics", "anyons"], "invalid choice"),
        (["--statistics", "fermions", "--n", "3"], "not antisymmetric, but 2 of these"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_impossible_system_prints_one_sentence(refused, arguments, sentence):
    def command():
        options.main(HarmonicOscillatorOptions)

    assert sentence in refused(*arguments, command=command)


@pytest.mark.parametrize(
    "text",
    ["ffnn", "ffnn(hidden=(32, 32))", "a(b='c, d', e=None, f=-1.5, g=((1,), 2))"],
)
def test_part_prints_in_the_syntax_it_is_parsed_from(text):
    assert str(Part.parse(text)) == text
    assert Part.parse(str(Part.parse(text))) == Part.parse(text)
    assert Part.parse("a(b=[1, [2]])").settings == (("b", (1, (2,))),)


def a_number(params, x):
    return jnp.sum(x)


def a_pair(params, x):
    return 1.0 + x[0, 0], 0.0


def a_vector(params, x):
    return LogPsi(jnp.ones(1), -jnp.sum(x**2))


def a_complex_logabs(params, x):
    return LogPsi(jnp.ones(()), -jnp.sum(x**2) * 1j)


def a_mistake(params, x):
    return gaussian(params, x @ jnp.ones((3, 3)))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (a_number, "must be LogPsi(sign, logabs), both of shape (), got float64[]"),
        (a_pair, "both of shape (), got ("),
        (a_vector, "sign='float64[1]', logabs='float64[]'"),
        (a_complex_logabs, "logabs of Function must be real, got complex128"),
        (a_mistake, "Function cannot be evaluated: dot_general requires"),
    ],
)
def test_ansatz_without_log_psi_is_refused(tmp_path, function, sentence):
    with pytest.raises(RunError) as refusal:
        run(experiment(ansatz=Function(function), directory=str(tmp_path / "a")))
    assert sentence in str(refusal.value)
    assert not (tmp_path / "a").exists()


def test_error_in_a_hamiltonian_leaves_no_directory(tmp_path):
    ansatz = Function(lambda params, x: gaussian({"a": 1.0}, x))
    with pytest.raises(KeyError, match="a"):  # Well reads params["a"]
        run(experiment(ansatz=ansatz, directory=str(tmp_path / "a")))
    assert not (tmp_path / "a").exists()


def test_parameters_that_are_not_real_are_refused(tmp_path):
    ansatz = Function(no_phase, lambda key, x: {"a": jnp.ones((), complex)})
    with pytest.raises(RunError, match=r"parameter \['a'\] of Function must be real"):
        run(experiment(ansatz=ansatz, directory=str(tmp_path / "a")))


def no_phase(params, x):
    return gaussian({"a": params["a"].real}, x)


def test_hamiltonian_without_number_of_particles_is_refused():
    class Nameless(Well):
        n = property()  # raises AttributeError

    with pytest.raises(ValueError, match="hamiltonian must define n, got Nameless"):
        experiment(hamiltonian=Nameless.__new__(Nameless))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run; copy it before use."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run(experiment(directory=str(directory)))
    return directory


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run that crashed in its fourth training step; copy it before use."""
    directory = tmp_path_factory.mktemp("interrupted") / "run"
    append = Metrics.append

    def crash(self, step, info):
        if step == 4:
            raise KeyboardInterrupt
        append(self, step, info)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Metrics, "append", crash)
        run(experiment(directory=str(directory), checkpoint_every=0.0))
    return directory


@pytest.fixture
def crashed(interrupted, tmp_path):
    return shutil.copytree(interrupted, tmp_path / "crashed")


def resume(directory, **changes):
    changes = {"checkpoint_every": 0.0, "directory": str(directory)} | changes
    return run(experiment(**changes, resume=True))


def saved(directory):
    """The files of the checkpoints, oldest first."""
    return sorted((directory / "checkpoints").glob("*.npz"))


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {
    "one flipped byte": flip_a_byte,
    "truncated": lambda path: os.truncate(path, 10),
    "an empty file": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("damage", at(DAMAGES, 0))
def test_run_falls_back_to_an_undamaged_checkpoint(crashed, finished, capsys, damage):
    assert [p.stem for p in saved(crashed)] == ["000000005", "000000006"]
    DAMAGES[damage](saved(crashed)[1])
    found = resume(crashed)
    errors = capsys.readouterr().err
    assert errors.count("warning: ") == 1
    assert "the checkpoint of step 6 in " in errors and " is damaged: " in errors
    assert any("step 6" in text for text in found["warnings"])
    assert found["energy"] == read_json(finished / "result.json")["energy"]
    metrics = (finished / "metrics.jsonl").read_bytes()
    assert (crashed / "metrics.jsonl").read_bytes() == metrics


def test_evaluation_of_unfinished_run_has_a_warning(crashed):
    found = evaluate_again(crashed, 3, seed=1)
    assert "training had come to step 3 of 5" in found["warnings"]
    assert not (crashed / "result.json").exists()


def test_run_with_only_damaged_checkpoints_is_refused(crashed, refused):
    for path in saved(crashed):
        flip_a_byte(path)
    before = snapshot(crashed)
    with pytest.raises(RunError, match="every checkpoint in .* is damaged") as refusal:
        resume(crashed, iterations=50)
    assert "\n" not in str(refusal.value)
    assert snapshot(crashed) == before
    with pytest.raises(RunError, match="every checkpoint in .* is damaged"):
        load(crashed)
    assert "is damaged" in refused(crashed, command=evaluate_main)
    assert snapshot(crashed) == before


def test_checkpoints_of_another_run_are_refused(crashed, finished, tmp_path):
    other = shutil.copytree(finished, tmp_path / "other")
    shutil.rmtree(other / "checkpoints")
    shutil.copytree(crashed / "checkpoints", other / "checkpoints")
    before = snapshot(other)
    with pytest.raises(RunError, match="belongs to another run"):
        resume(other, checkpoint_every=60.0)
    with pytest.raises(RunError, match="belongs to another run"):
        load(other)
    assert snapshot(other) == before


def test_unrelated_files_among_checkpoints_are_ignored(crashed, finished):
    (crashed / "checkpoints" / "notes.txt").write_text("mine")
    (crashed / "checkpoints" / "best.npz").write_text("mine")
    assert resume(crashed)["energy"] == read_json(finished / "result.json")["energy"]
    assert (crashed / "checkpoints" / "notes.txt").read_text() == "mine"


def test_two_processes_cannot_run_in_one_directory(tmp_path):
    run(experiment(directory=str(tmp_path)))
    more = experiment(directory=str(tmp_path), resume=True, iterations=6)
    before = snapshot(tmp_path)
    with alone(tmp_path), pytest.raises(RunError, match="another process runs in"):
        run(more)
    assert snapshot(tmp_path) == before
    assert run(more)["iterations"] == 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"seed": 1}, "seed cannot change on resume: .* has 0, got 1"),
        *further(
            ({"n_walkers": 8}, "n_walkers cannot change on resume: .* has 16, got 8"),
            ({"precision": "float32"}, "precision cannot change on resume"),
            ({"hamiltonian": Well(omega=2.0)}, "hamiltonian.omega cannot change"),
        ),
        ({"hamiltonian": Well(omega=1)}, r"hamiltonian.omega .* has 1\.0, got 1$"),
        *further(({"sampler": SAMPLERS["langevin"]}, "sampler.part cannot change")),
        ({"optimizer": FirstOrder("adam", 0.1)}, "optimizer.method cannot change"),
        *further(
            ({"observables": ()}, "observables cannot change"),
            ({"checkpoint_every": 5.0}, "checkpoint_every cannot change"),
        ),
        ({"iterations": 4}, "iterations may only be raised on resume: .* 5, got 4"),
    ],
    ids=str,
)
def test_a_changed_configuration_is_refused_by_its_field(
    finished, tmp_path, changes, sentence
):
    directory = shutil.copytree(finished, tmp_path / "a")
    before = snapshot(directory)
    with pytest.raises(RunError, match=sentence):
        resume(directory, **{"checkpoint_every": 60.0} | changes)
    experiment().vmc()  # back to float64
    run_in_double = experiment(directory=str(directory), resume=True)
    assert snapshot(directory) == before
    assert run(run_in_double)["energy"] == read_json(finished / "result.json")["energy"]


def test_resume_may_raise_the_steps_of_the_run_but_not_of_a_part(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Iterative(FirstOrder):
        iterations: int = 3

    changes = {"directory": str(tmp_path / "a"), "burn_in": 0}
    run(experiment(optimizer=Iterative("sgd", 0.1), iterations=0, **changes))
    more = Iterative("sgd", 0.1, iterations=4)
    with pytest.raises(RunError, match="optimizer.iterations cannot change on resume"):
        run(experiment(optimizer=more, iterations=0, resume=True, **changes))


@pytest.mark.parametrize("kind", ["a run", "a file", "an unrelated folder"])
def test_an_existing_directory_is_refused(
    finished, tmp_path, kind, refused, monkeypatch
):
    monkeypatch.setattr("nqs.runs.loop.prepare", lambda _: pytest.fail("compiled"))
    path = tmp_path / "a"
    if kind == "a run":
        shutil.copytree(finished, path)
    elif kind == "a file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "thesis.tex").write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(RunError, match="exists already; resume it with --resume"):
        run(experiment(directory=str(path)))
    sentence = refused("--directory", path, "--ansatz", "ffnn(hidden=(4,))")
    assert sentence.startswith("error: ") and "exists already" in sentence
    assert snapshot(tmp_path) == before


def test_a_directory_that_cannot_be_made_is_refused(tmp_path, refused, monkeypatch):
    monkeypatch.delattr("nqs.runs.loop.prepare")  # before anything is compiled
    (tmp_path / "file").write_text("mine")
    directory = tmp_path / "file" / "run"
    sentence = refused("--directory", directory, "--ansatz", "ffnn(hidden=(4,))")
    assert sentence.startswith(f"error: cannot write to {directory}: Not a directory")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").write_text("mine")
    sentence = refused("--ansatz", "ffnn(hidden=(4,))")
    assert sentence.startswith("error: cannot write to runs: Not a directory")
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    sentence = refused("--directory", tmp_path / "new")
    assert sentence.startswith(f"error: cannot write to {tmp_path / 'new'}: Permission")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "{path}/config.json does not exist"),
        ("", "{path}/config.json does not exist"),
        ("file", "cannot read {path}/config.json: Not a directory"),
    ],
)
def test_resume_without_a_run_is_refused(tmp_path, refused, content, sentence):
    path = tmp_path / "a"
    if content == "file":
        path.write_text("mine")
    elif content is not None:
        path.mkdir()
    before = snapshot(tmp_path)
    options = ["--directory", path, "--resume", "--ansatz", "ffnn(hidden=(4,))"]
    assert sentence.format(path=path) in refused(*options)
    assert path.exists() == (content is not None)
    assert snapshot(tmp_path) == before


def configured(directory, config):
    """The directory of a run with these options that was killed at its start."""
    directory.mkdir()
    write_json(directory / "config.json", config.experiment().config())
    return directory


SMALL = QuantumDotOptions(n=1, n_up=1, ansatz=Part("ffnn", (("hidden", (4,)),)))


def test_resume_refuses_options_that_differ_from_the_run(tmp_path, refused):
    directory = configured(tmp_path / "a", SMALL)
    before = snapshot(tmp_path)
    again = ["--directory", directory, "--resume"]
    sentence = refused(*again, "--omega", "0.5")
    assert "options.omega cannot change on resume" in sentence
    assert "has 1.0, got 0.5" in sentence
    sentence = refused(*again, "--optimizer", "sgd")
    assert "options.optimizer cannot change on resume" in sentence
    assert "has 'spring', got 'sgd'" in sentence
    sentence = refused(f"--directory={directory}", "--resume", "--iterations", "9")
    assert "iterations may only be raised on resume" in sentence
    assert snapshot(tmp_path) == before


def test_run_of_another_experiment_is_not_resumed(tmp_path, finished, refused):
    dot = configured(tmp_path / "a", SMALL)

    def oscillator():
        options.main(HarmonicOscillatorOptions)

    again = ["--directory", dot, "--resume"]
    sentence = refused(*again, command=oscillator)
    other = "is a run of another experiment or version,"
    assert sentence == f"error: {dot} {other} 'quantum_dot'"
    sentence = refused("--directory", finished, "--resume")
    assert sentence == f"error: {finished} {other} 'tiny'"


@pytest.mark.parametrize(
    "content",
    [
        *further(""),
        "{",
        *further("[1, 2]", "7", "null", '{"options": null}'),
        "\xff",
        '{"iterations": 5}',
    ],
)
def test_a_damaged_config_is_refused(finished, tmp_path, content, refused):
    directory = shutil.copytree(finished, tmp_path / "a")
    (directory / "config.json").write_text(content, encoding="latin-1")
    before = snapshot(directory)
    with pytest.raises(RunError):
        resume(directory)
    for sentence in (
        refused("--directory", directory, "--resume"),
        refused(directory, command=evaluate_main),
        refused("--start-from", directory, "--ansatz", "ffnn(hidden=(4,))"),
    ):
        assert str(directory) in sentence
    assert snapshot(directory) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"iterations": 5', '"iterationt": 5'),
        ("tests.tiny:Well", "tests.tiny:Wall"),
        ('"omega": 1.0', '"omeha": 1.0'),
        ('"omega": 1.0', '"omega": 3.0'),
        ('"learning_rate": 0.1', '"learning_rate": -0.1'),
        ('"seed": 0', '"seed": 4'),
    ],
)
def test_valid_json_with_a_changed_config_is_refused(
    finished, tmp_path, old, new, refused
):
    directory = shutil.copytree(finished, tmp_path / "a")
    text = (directory / "config.json").read_text()
    assert text.count(old) == 1
    (directory / "config.json").write_text(text.replace(old, new))
    with pytest.raises(RunError, match="cannot change on resume"):
        resume(directory, checkpoint_every=60.0)
    assert str(directory) in refused(directory, command=evaluate_main)


def test_load_and_evaluate_require_a_checkpoint(tmp_path, finished, refused):
    with pytest.raises(RunError, match=r"nowhere/config.json does not exist"):
        load(tmp_path / "nowhere")
    empty = shutil.copytree(finished, tmp_path / "a")
    shutil.rmtree(empty / "checkpoints")
    with pytest.raises(RunError, match="holds no checkpoint yet"):
        load(empty)
    assert "does not exist" in refused(tmp_path / "nowhere", command=evaluate_main)
    assert ">= 1" in refused(finished, "--steps", "0", command=evaluate_main)
    assert "seed must be" in refused(finished, "--seed", "-1", command=evaluate_main)
    assert not (finished / "evaluations").exists()


@dataclasses.dataclass(frozen=True)
class Cliff(Well):
    """A well whose energies are not finite once a parameter has gone too far."""

    def terms(self, ansatz, params, x):
        terms = super().terms(ansatz, params, x)
        beyond = params["a"] > 0.8
        return terms | {"trap": jnp.where(beyond, jnp.nan, terms["trap"])}


def test_energies_that_are_not_finite_stop_the_run(tmp_path):
    directory = tmp_path / "a"
    changes = {"hamiltonian": Cliff(), "iterations": 100, "checkpoint_every": 0.0}
    changes["directory"] = str(directory)
    sentence = (
        r"16 local energies or wave-function values are not finite at step \d+ of "
        r"train; the run stopped, and its last good checkpoint is in .*checkpoints"
    )
    with pytest.raises(RunError, match=sentence) as refusal:
        run(experiment(**changes))
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    assert f"at step {len(lines) + 1} of train" in str(refusal.value)
    assert all(json.loads(line)["energy"] is not None for line in lines)
    assert not (directory / "result.json").exists()
    # the last checkpoint has parameters with finite energies
    assert 0.7 <= load(directory).params["a"] <= 0.8
    assert len(saved(directory)) == 1
    with pytest.raises(RunError, match=sentence) as again:
        run(experiment(**changes, resume=True))
    assert str(again.value) == str(refusal.value)
    assert 0.7 <= load(directory).params["a"] <= 0.8


def test_first_checkpoint_is_kept_after_a_failure(tmp_path):
    directory = tmp_path / "a"
    changes = {"ansatz": Function(gaussian, at_once), "hamiltonian": Cliff()}
    with pytest.raises(RunError, match="not finite at step 1 of train"):
        run(experiment(**changes, burn_in=0, directory=str(directory)))
    assert load(directory).params["a"] == 0.9


def at_once(key, x):
    return {"a": jnp.asarray(0.9, x.dtype)}


def steep(params, x):
    """A Gaussian whose gradient is not finite at the first parameters."""
    a = params["a"] + 0 * jnp.sqrt(params["a"] - params["a"])
    return gaussian({"a": a}, x)


def test_an_update_that_is_not_finite_stops_the_run(tmp_path):
    directory = tmp_path / "a"
    with pytest.raises(
        RunError, match="updates of the parameters are not finite at st"
    ):
        run(experiment(ansatz=Function(steep, narrow), directory=str(directory)))
    assert load(directory).params["a"] == 0.7
    assert (directory / "metrics.jsonl").read_text() == ""


def test_energies_that_are_not_finite_stop_an_evaluation(finished, monkeypatch):
    monkeypatch.setattr(Well, "terms", broken_terms)
    before = snapshot(finished)
    with pytest.raises(
        RunError, match="16 local .* not finite at step 1 of evaluation"
    ):
        evaluate_again(finished, 3, seed=1)
    assert snapshot(finished) == before


def broken_terms(self, ansatz, params, x):
    return {"kinetic": jnp.log(-jnp.sum(x**2)), "trap": params["a"]}


@contextlib.contextmanager
def full_disk():
    """Limit files to 100 bytes, so that writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def on_a_full_disk(monkeypatch, owner, name, call):
    """Let the disk be full during one call, counted from 1, of a function."""
    function, calls = getattr(owner, name), itertools.count(1)

    def limited(*arguments, **options):
        full = full_disk() if next(calls) == call else contextlib.nullcontext()
        with full:
            return function(*arguments, **options)

    monkeypatch.setattr(owner, name, limited)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [
        *further((checkpoint, "save", 1)),  # before burn-in
        (checkpoint, "save", 2),  # after training
        *further((checkpoint, "save", 3)),  # after the evaluation
        (Metrics, "append", 1),  # a line that is written in part
        *further((Metrics, "append", 3), (result, "draw_figures", 1)),
        (result, "write_json", 1),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_full_disk_stops_a_run_that_can_resume(
    tmp_path, finished, monkeypatch, capfd, owner, name, call
):
    changes = {"directory": str(tmp_path / "a")}
    with monkeypatch.context() as patch, pytest.raises(RunError) as refusal:
        on_a_full_disk(patch, owner, name, call)
        run(experiment(**changes))
    assert "File too large" in str(refusal.value)
    assert str(tmp_path / "a") in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert capfd.readouterr().err == ""
    assert not (tmp_path / "a" / "result.json").exists()
    energy = run(experiment(**changes, resume=True))["energy"]
    assert energy == read_json(finished / "result.json")["energy"]
    metrics = (finished / "metrics.jsonl").read_bytes()
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() == metrics


@pytest.mark.parametrize("name", [*further("draw_figures"), "write_json"])
def test_full_disk_leaves_an_earlier_result_unchanged(tmp_path, monkeypatch, name):
    directory = tmp_path / "a"
    walking = {"sampler": SAMPLERS["metropolis"], "checkpoint_every": 60.0}
    run(experiment(directory=str(directory), **walking))
    earlier = snapshot(directory)
    on_a_full_disk(monkeypatch, result, name, 1)
    with pytest.raises(RunError, match="saved files are unchanged"):
        resume(directory, evaluation_steps=6, **walking)
    now = snapshot(directory)
    for path in ("result.json", "observables.npz", "metrics.jsonl"):
        assert now[path] == earlier[path]
    figures = [path for path in earlier if path.startswith("figures/")]
    assert figures and all(now[path] == earlier[path] for path in figures)
    assert not [path for path in now if "unfinished" in path or path.endswith(".tmp")]


def test_a_full_disk_at_the_start_leaves_a_directory_that_can_be_used(
    tmp_path, monkeypatch
):
    changes = {"directory": str(tmp_path / "a"), "iterations": 0, "burn_in": 0}
    with monkeypatch.context() as patch, pytest.raises(RunError, match="cannot write"):
        on_a_full_disk(patch, directory_module, "write_json", 1)
        run(experiment(**changes))
    assert not list((tmp_path / "a").iterdir())
    run(experiment(**changes))


@pytest.mark.further
def test_a_full_disk_ends_a_process_with_one_sentence(tmp_path):
    directory = tmp_path / "a"
    settings = {"directory": str(directory), "checkpoint_every": 0.0}
    full = process(settings, FULL_DISK, "000000006", 1)
    _, errors = full.communicate(timeout=300)
    assert full.returncode == 1
    assert errors.startswith("error: could not write the checkpoint of step 6 to ")
    assert errors.endswith("; the one of step 5 is intact\n")
    assert errors.count("\n") == 1
    assert [path.stem for path in saved(directory)] == ["000000004", "000000005"]

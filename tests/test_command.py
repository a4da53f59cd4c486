"""The command `nqs`."""

import dataclasses
import functools
import importlib
import inspect
import subprocess
import sys

import flax.linen as nn
import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqs
from experiments.command_line import main as command_line
from experiments.command_line.notation import Part
from experiments.command_line.parts import ROOMS, parts
from hamiltonians import HarmonicTrap, Heisenberg, TransverseFieldIsing
from hamiltonians.references.lanczos import ground_state
from nqs.optimizers import FirstOrder
from nqs.space.lattice import Lattice
from samplers import Metropolis


@pytest.fixture
def nqs_command(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nqs", *arguments])
        command_line.main()
        return capsys.readouterr().out

    return call


@pytest.fixture
def refusal(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nqs", *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        assert ended.value.code == 2
        return capsys.readouterr().err

    return call


def test_list_shows_every_experiment(nqs_command):
    lines = nqs_command("list").splitlines()
    assert [line.split()[0] for line in lines] == command_line.names()
    assert "quantum_dot" in command_line.names()


def test_parts_shows_every_part_and_the_fields_of_one(nqs_command):
    lines = nqs_command("parts")
    for name in ("BinaryRBM", "ElectronGas", "Langevin", "FirstOrder", "Density"):
        assert f"  {name} " in lines
    text = nqs_command("parts", "Langevin")
    assert "sweeps = " in text and "Attributes:" in text


def test_parts_are_described_as_their_classes_are():
    for title, room in ROOMS.items():
        module = importlib.import_module(room)
        public = {name: getattr(module, name) for name in module.__all__}
        found = parts()[title]
        partials = {n: p for n, p in public.items() if isinstance(p, functools.partial)}
        classes = {n: p for n, p in public.items() if dataclasses.is_dataclass(p)}
        assert set(found) == set(partials) | set(classes)
        for name, part in (classes | partials).items():
            changed = part.keywords if name in partials else {}
            part = part.func if name in partials else part
            fields = {f.name: changed.get(f.name, f.default) for f in own_fields(part)}
            assert found[name].document == inspect.getdoc(part)
            assert list(found[name].fields) == list(fields)
            for field, default in fields.items():
                text = found[name].fields[field]
                if text == "":
                    assert default is dataclasses.MISSING
                else:
                    assert eval(text, vars(sys.modules[part.__module__])) == default


def own_fields(part):
    """Fields of a part without those of every Flax module."""
    linen = issubclass(part, nn.Module)
    hidden = ("parent", "name") if linen else ()
    return [field for field in dataclasses.fields(part) if field.name not in hidden]


def test_unknown_names_suggest_the_nearest(refusal):
    assert "must be one of quantum_dot" in refusal("run", "quantum_dots")
    assert "must be one of Backflow" in refusal("parts", "Backflo")
    assert "command must be list, run NAME" in refusal("lst")
    assert "command must be list, run NAME" in refusal("elephant")
    message = refusal("quantum_dot", "--n", "2")
    assert "must be nqs run quantum_dot, list," in message
    assert "or figures, got 'quantum_dot'" in message
    assert "must be one of quantum_dot" in refusal("sweep", "quantum_dots")
    assert "resume, sweep, tune, evaluate" in refusal("tuna")
    assert "got no experiment after run" in refusal("run")
    message = refusal("run", "quantum_dot", "--optimizer", "adam(lr=0.1)")
    assert "has no field 'lr'" in message and "learning_rate" in message


def test_error_for_a_mistyped_field_lists_the_fields():
    with pytest.raises(ValueError, match="it has hidden"):
        Part.parse("f(hiden=1)").build("ansatz", {"f": lambda depth=1, hidden=2: None})


@pytest.mark.further
def test_run_resume_and_evaluate(nqs_command, tmp_path, without_figures):
    directory = str(tmp_path / "a")
    few = ["--iterations", "2", "--burn-in", "2", "--n-walkers", "16",
           "--evaluation-steps", "4"]  # fmt: skip
    parts = ["--ansatz", "slater_jastrow", "--optimizer", "adam"]
    out = nqs_command("run", "quantum_dot", *parts, *few, "--directory", directory)
    assert out.splitlines()[-1].startswith("energy ")
    assert "warning: no error bar for energy" in out
    out = nqs_command("resume", directory, "--iterations", "3")
    assert out.splitlines()[-1].startswith("energy ")
    out = nqs_command("evaluate", directory, "--steps", "5")
    assert (tmp_path / "a" / "evaluations" / "0001" / "result.json").exists()


def test_resume_without_a_run_directory_is_refused(refusal, tmp_path):
    assert "must be followed by a run directory" in refusal("resume")
    assert "does not exist" in refusal("resume", str(tmp_path / "nowhere"))


def test_broken_pipe_ends_quietly():
    code = f"{sys.executable} -m experiments parts | head -1"
    done = subprocess.run(code, shell=True, capture_output=True, text=True)
    assert done.stdout.strip() == "ansätze" and done.stderr == ""


def test_interrupt_before_the_first_step_is_one_sentence(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "command", interrupted)
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted before the first step\n"


def test_public_names_are_those_of_their_objects_and_the_version_is_set():
    for name in nqs.__all__:
        found = getattr(nqs, name).__name__
        assert found.removeprefix("nqs.") == name  # nqs.evaluate may be its module
    assert nqs.__version__.count(".") == 2


class Gaussian(nnx.Module):
    def __init__(self):
        self.log_a = nnx.Param(jnp.zeros(()))

    def __call__(self, x):
        logabs = -jnp.exp(self.log_a[...]) * jnp.sum(x**2)
        return nqs.LogPsi(jnp.ones_like(logabs), logabs)


def test_nnx_module_trains_in_a_run(tmp_path, without_figures):
    experiment = nqs.Experiment(
        hamiltonian=HarmonicTrap(1, 1, 1.0),
        ansatz=nqs.from_nnx(Gaussian()),
        sampler=Metropolis(),
        optimizer=FirstOrder("adam", 0.05),
        iterations=60,
        burn_in=20,
        n_walkers=64,
        evaluation_steps=60,
        directory=str(tmp_path / "a"),
    )
    result = nqs.run(experiment)
    assert result["n_parameters"] == 1
    assert result["energy"] == pytest.approx(0.5, abs=0.01)


def test_nnx_module_with_random_state_is_refused():
    with pytest.raises(ValueError, match="no state but nnx.Param"):
        nqs.from_nnx(nnx.Dropout(0.5, rngs=nnx.Rngs(0)))


@pytest.mark.further
def test_function_of_a_partitioned_module_is_an_ansatz():
    """As for Equinox modules: parameters and static part are separate."""
    params, static = {"w": jnp.ones(3)}, jnp.tanh

    def combined(params, x):
        logabs = -static(params["w"]) @ x[0] ** 2
        return nqs.LogPsi(jnp.ones_like(logabs), logabs)

    ansatz = nqs.Function(combined, lambda key, x: params)
    trap = HarmonicTrap(1, 3, 1.0)
    vmc = nqs.VMC(ansatz, trap, Metropolis(), FirstOrder())
    walkers = trap.initial_walkers(jax.random.key(0), 8)
    _, info = vmc.step(jax.random.key(1), vmc.init(jax.random.key(2), walkers))
    assert np.isfinite(info["energy"])


def test_sign_rule_is_on_where_the_lattice_is_bipartite():
    assert Heisenberg(Lattice((8,))).marshall is True
    assert Heisenberg(Lattice((9,))).marshall is False
    with pytest.raises(ValueError, match="requires a bipartite lattice"):
        Heisenberg(Lattice((9,)), marshall=True)


def test_field_of_either_sign_has_a_positive_ground_state():
    models = [TransverseFieldIsing(Lattice((8,)), 1.0, h) for h in (1.0, -1.0)]
    energies, states = zip(*(ground_state(model) for model in models), strict=True)
    np.testing.assert_allclose(energies[0], energies[1], rtol=1e-12)
    np.testing.assert_allclose(energies[1], models[1].references()[0].value, rtol=1e-9)
    assert np.all(states[1] * np.sign(states[1][0]) > 0)


WITHOUT_JAX = """
import sys
from experiments.command_line.main import main, names

commands = [[], ["list"], ["parts"], ["parts", "Backflow"], ["parts", "Backflo"]]
commands += [["sweep"], ["tune"], ["sweep", "quantum_dot", "--over", "omgea=1,2"]]
for name in names():
    commands += [["run", name, "--help"], ["run", name, "--omgea", "1"]]
for arguments in commands:
    sys.argv = ["nqs", *arguments]
    try:
        main()
    except SystemExit:
        pass
heavy = {"jax", "flax", "optax", "scipy", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


def test_help_and_mistyped_options_import_no_jax():
    command = [sys.executable, "-c", WITHOUT_JAX]
    subprocess.run(command, capture_output=True, text=True, check=True)

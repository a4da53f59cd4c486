"""Files of a run directory, loading, starting from another run, and the result."""

import dataclasses
import itertools
import json
import math
import shlex
import signal
import subprocess
import sys
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec
from threadpoolctl import threadpool_info, threadpool_limits

import nqs
from nqs.evaluate import main as evaluate_main
from nqs.files.directory import read_json, write_json
from nqs.files.metrics import Metrics
from nqs.observables import MeanSquareRadius, RadialDensity
from nqs.runs import configure, load, run
from nqs.runs.again import evaluate_again
from nqs.runs.devices import shardings, walker_mesh
from nqs.runs.loading import last_checkpoint, saved_run
from nqs.runs.start import prepare
from nqs.runs.state import expected, identity, shapes
from nqs.statistics import uncertain
from nqs.types import Function, LogPsi
from tests.cases import further
from tests.tiny import (
    OPTIMIZERS,
    ROOT,
    Still,
    Well,
    exact,
    experiment,
    gaussian,
    narrow,
)

pytestmark = pytest.mark.usefixtures("without_figures", "built_once")

NUMBER = (int, float)
OPTIONAL = (int, float, type(None))
CONTRACT = {
    "experiment": str, "config": dict, "energy_unit": str, "length_unit": str, "n": int,
    "comparison": (dict, type(None)), "lanczos": (dict, type(None)),
    "n_parameters": int, "energy": float, "energy_error": OPTIONAL,
    "energy_per_particle": float, "energy_per_particle_error": OPTIONAL,
    "energy_imaginary": OPTIONAL, "variance": float, "v_score": OPTIONAL,
    "energy_extrapolated": (list, type(None)),
    "terms": dict, "observables": dict, "autocorrelation_time": float,
    "r_hat": OPTIONAL, "n_samples": int, "n_effective": float, "acceptance": float,
    "iterations": int, "n_walkers": int, "seed": int, "precision": str, "device": str,
    "versions": dict, "compile_seconds": float, "train_seconds": float,
    "evaluate_seconds": float, "seconds_per_step": float, "peak_memory_mb": float,
    "references": list, "deviation_sigma": OPTIONAL, "levels": list, "warnings": list,
}  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run with an error bar; tests must not change it."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run(experiment(directory=str(directory), evaluation_steps=100))
    return directory


@pytest.fixture
def float64_again():
    yield
    jax.config.update("jax_enable_x64", True)


def test_result_json_has_the_documented_fields(finished):
    result = read_json(finished / "result.json")
    assert set(result) == set(CONTRACT)
    for key, kind in CONTRACT.items():
        assert isinstance(result[key], kind), key
    assert set(result["versions"]) == {
        "python",
        "jax",
        "jaxlib",
        "flax",
        "optax",
        "nqs",
    }
    assert result["config"] == read_json(finished / "config.json")
    assert set(result["terms"]) == {"kinetic", "trap"}
    assert set(result["observables"]) == {"r_squared", "v_score"}
    for mean, error in [*result["terms"].values(), *result["observables"].values()]:
        assert isinstance(mean, float) and 0 < error < 0.2
    assert result["references"] == [
        {"value": 0.5, "error": 0.0, "kind": "exact", "source": "textbook"}
    ]
    assert result["experiment"] == "tiny"
    assert result["n_parameters"] == 1
    assert result["n_samples"] == 16 * 100
    assert (result["iterations"], result["n_walkers"], result["seed"]) == (5, 16, 0)
    assert result["precision"] == "float64"
    assert result["device"] == "4 x cpu"
    assert result["warnings"] == []
    for clock in ("compile", "train", "evaluate"):
        assert result[f"{clock}_seconds"] > 0
    assert 0 < 5 * result["seconds_per_step"] < result["train_seconds"]


def test_numbers_of_a_result_are_consistent(finished):
    result = read_json(finished / "result.json")
    terms = sum(mean for mean, _ in result["terms"].values())
    assert result["energy"] == pytest.approx(terms, rel=1e-12)
    assert result["energy_per_particle"] == result["energy"]
    assert result["energy_per_particle_error"] == result["energy_error"]
    expected = math.sqrt(result["variance"] / result["n_effective"])
    assert result["energy_error"] == pytest.approx(expected, rel=1e-12)
    sigma = (result["energy"] - 0.5) / result["energy_error"]
    assert result["deviation_sigma"] == pytest.approx(sigma, rel=1e-12)
    score = result["variance"] / result["energy"] ** 2
    assert result["v_score"] == pytest.approx(score, rel=1e-12)
    assert result["observables"]["v_score"][0] == pytest.approx(score, rel=1e-12)
    assert result["energy_extrapolated"] is None  # from 5 steps of training
    # the virial theorem of the trap gives r^2 = 2 <trap>
    assert result["observables"]["r_squared"][0] == pytest.approx(
        2 * result["terms"]["trap"][0], rel=1e-12
    )
    # a Gaussian of width a costs (a + 1 / a) / 4
    a = float(load(finished).params["a"])
    assert abs(result["energy"] - (a + 1 / a) / 4) < 4 * result["energy_error"]
    kinetic, trap = (result["terms"][name][0] for name in ("kinetic", "trap"))
    assert kinetic == pytest.approx(a / 2 - a**2 * trap, rel=1e-12)


def test_a_run_directory_holds_its_files(finished):
    files = {str(p.relative_to(finished)) for p in finished.rglob("*")}
    assert {"config.json", "metrics.jsonl", "observables.npz", "result.json"} <= files
    names = {"energy", "acceptance", "local_energy", "density"}
    assert {f"figures/{name}.png" for name in names} <= files
    saved = [p for p in files if p.startswith("checkpoints/")]
    assert 1 <= len(saved) <= 2
    assert not [p for p in files if p.endswith(".tmp")]


def test_metrics_are_a_line_of_scalars_for_every_step(finished):
    lines = (finished / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    names = {"energy", "variance", "kinetic", "trap", "acceptance", "width"}
    names |= {"gradient_norm", "update_norm", "non_finite"}
    for row in rows:
        assert names <= set(row)
        assert all(isinstance(value, NUMBER) for value in row.values())
        assert row["energy"] == pytest.approx(row["kinetic"] + row["trap"])


def test_profiles_are_saved_with_their_grid_and_error(finished):
    arrays = np.load(finished / "observables.npz")
    assert set(arrays) == {"density", "density_error", "density_grid"}
    np.testing.assert_array_equal(arrays["density_grid"], RadialDensity(4.0, 10).grid)
    width = 0.4  # both sides of the origin; beyond 4 bohr there is 1e-4 at most
    assert 2 * width * arrays["density"].sum() == pytest.approx(1, abs=1e-3)
    assert np.all(arrays["density_error"][:3] > 0)


def test_last_line_compares_energy_with_reference(tmp_path, capsys):
    result = run(experiment(directory=str(tmp_path / "a"), evaluation_steps=100))
    output = capsys.readouterr().out.splitlines()
    assert output[1] == f"run directory {tmp_path / 'a'}"
    energy = uncertain(result["energy"], result["energy_error"])
    sigma = f"{result['deviation_sigma']:+.1f} sigma"
    relative = 100 * abs(result["energy"] / 0.5 - 1)
    side = "above" if result["energy"] > 0.5 else "below"
    comparison = f"{side} exact 0.5 by {relative:.2g} % ({sigma}); textbook"
    assert output[-1] == f"energy {energy} hartree, {comparison}"


def test_load_returns_trained_parameters_and_walkers(finished):
    ansatz, params, walkers = load(finished)
    assert ansatz == experiment().ansatz
    assert walkers.shape == (16, 1, 1) and walkers.dtype == float
    psi = ansatz.apply(params, walkers[0])
    a, x = float(params["a"]), float(walkers[0, 0, 0])
    assert psi.logabs == pytest.approx(-a * x**2 / 2)
    assert a != 0.7
    # the walkers are those of the last sample
    sample = json.loads((finished / "result.json").read_text())["observables"]
    assert 0.2 * sample["r_squared"][0] < np.mean(walkers**2) < 5


def test_load_requires_an_ansatz_defined_in_a_script(tmp_path):
    def in_a_script(params, x):
        return gaussian(params, x)

    ansatz = Function(in_a_script, narrow)
    directory = str(tmp_path / "a")
    run(experiment(ansatz=ansatz, sampler=Still(), directory=directory))
    with pytest.raises(ValueError, match="ansatz of .*a script.*in_a_script.*ansatz="):
        load(directory)
    found = load(directory, ansatz=ansatz)
    assert found.ansatz is ansatz
    # the same function in another script has another address
    again = load(directory, ansatz=Function(lambda p, x: gaussian(p, x), narrow))
    assert again.params == found.params


def test_loaded_psi_has_the_precision_of_the_run(tmp_path):
    directory = str(tmp_path / "a")
    run(experiment(sampler=Still(), directory=directory))
    psi = load(directory)
    x = np.asarray(psi.walkers[0])
    with jax.enable_x64(False):
        assert psi(x).logabs.dtype == np.float64
    assert psi(x) == psi.ansatz.apply(psi.params, x)


def test_package_exports_load_and_experiment():
    assert nqs.load is load
    assert nqs.Experiment is type(experiment())


def test_finished_run_is_evaluated_again(finished, tmp_path, monkeypatch, capsys):
    before = (finished / "result.json").read_bytes()
    first = read_json(finished / "result.json")
    monkeypatch.setattr(sys, "argv", ["evaluate", str(finished), "--steps", "150"])
    evaluate_main()
    assert capsys.readouterr().out.splitlines()[-1].startswith("energy 0.")
    again = read_json(finished / "evaluations" / "0001" / "result.json")
    assert (finished / "result.json").read_bytes() == before
    assert set(again) == set(CONTRACT)
    assert again["n_samples"] == 16 * 150
    assert again["energy"] != first["energy"]
    error = math.hypot(again["energy_error"], first["energy_error"])
    assert abs(again["energy"] - first["energy"]) < 4 * error
    # of the same parameters: kinetic = a / 2 - a^2 trap in every sample
    a = float(load(finished).params["a"])
    kinetic, trap = (again["terms"][name][0] for name in ("kinetic", "trap"))
    assert kinetic == pytest.approx(a / 2 - a**2 * trap, rel=1e-12)
    evaluate_again(finished, 150, seed=1)
    evaluate_again(finished, 150, seed=2)
    same, other = (
        read_json(finished / "evaluations" / name / "result.json")["energy"]
        for name in ("0002", "0003")
    )
    assert same == again["energy"] != other


def test_second_evaluation_starts_from_saved_walkers(tmp_path):
    run(experiment(sampler=Still(), directory=str(tmp_path / "a")))
    again = evaluate_again(tmp_path / "a", 1, seed=1)
    square = np.mean(np.square(load(tmp_path / "a").walkers))
    assert again["observables"]["r_squared"][0] == pytest.approx(square, rel=1e-12)


class WalkState(NamedTuple):
    walkers: jax.Array
    width: jax.Array


class Walk(Still):
    """Moves that add up, of a width that every adaptation doubles."""

    def init(self, walkers, /):
        return WalkState(walkers, jnp.ones(()))

    def step(self, key, ansatz, params, state, /):
        noise = jax.random.normal(key, state.walkers.shape)
        walkers = state.walkers + state.width * noise
        return WalkState(walkers, state.width), {"acceptance": jnp.ones(())}

    def adapt(self, state, info, /):
        return state._replace(width=2 * state.width)


class Position(MeanSquareRadius):
    name = "position"

    def __call__(self, ansatz, params, x):
        return x[0, 0]


def positions(directory, burn_in, iterations, sampler):
    """Positions (2, w) of the walkers in two steps of an evaluation."""
    lengths = {"burn_in": burn_in, "iterations": iterations, "evaluation_steps": 2}
    walking = experiment(sampler=sampler, observables=(Position(),), **lengths)
    run(dataclasses.replace(walking, directory=str(directory)))
    like, fingerprint = expected(*shapes(walking)), identity(walking.config())
    tree = last_checkpoint(directory, like, fingerprint, pytest.fail)
    return tree["samples"].scalars["position"]


def test_every_step_has_its_own_key_and_only_evaluation_does_not_adapt(tmp_path):
    start = positions(tmp_path / "start", 0, 0, Still())[0]
    none = positions(tmp_path / "none", 0, 0, Walk())
    moves = [none[0] - start, none[1] - none[0]]
    for phase in ("burn_in", "iterations"):
        lengths = {"burn_in": 0, "iterations": 0}
        one, two = (
            positions(tmp_path / f"{phase} {n}", **lengths | {phase: n}, sampler=Walk())
            for n in (1, 2)
        )
        np.testing.assert_allclose(one[1] - one[0], 2 * moves[1])
        np.testing.assert_allclose(two[1] - two[0], 4 * moves[1])
        first = one[0] - start - 2 * moves[0]
        second = (two[0] - start - 4 * moves[0] - first) / 2
        moves += [first, second]
    for one, other in itertools.combinations(moves, 2):
        assert np.all(np.abs(one - other) > 1e-6)  # of independent normal numbers


def test_evaluation_and_start_from_use_averaged_parameters(tmp_path):
    settings = {"sampler": Still(), "averaging": 1.0}
    for iterations in (1, 2):
        directory = str(tmp_path / str(iterations))
        run(experiment(iterations=iterations, directory=directory, **settings))
    one, average = (float(load(tmp_path / name).params["a"]) for name in "12")
    last = float(saved_run(tmp_path / "2", {})[1]["vmc"].params["a"])
    assert last != one and average == pytest.approx((one + last) / 2, rel=1e-12)
    terms = read_json(tmp_path / "2" / "result.json")["terms"]
    kinetic, trap = terms["kinetic"][0], terms["trap"][0]
    assert kinetic == pytest.approx(average / 2 - average**2 * trap, rel=1e-12)
    started = experiment(start_from=str(tmp_path / "2"), **settings)
    state = prepare(started).state.vmc
    assert float(state.params["a"]) == float(state.average["a"]) == average


def test_start_from_takes_parameters_and_rescales_walkers(finished, tmp_path):
    source = load(finished)
    wide = Well(omega=0.25)
    idle = {"iterations": 0, "burn_in": 0, "hamiltonian": wide}
    start = experiment(start_from=str(finished), directory=str(tmp_path / "a"), **idle)
    run(start)
    found = load(tmp_path / "a")
    assert found.params == source.params
    config = read_json(tmp_path / "a" / "config.json")
    assert config["start_from"] == str(finished)
    # before the first step: lengths double if omega is divided by four
    state = prepare(dataclasses.replace(start, directory=None)).state.vmc
    np.testing.assert_array_equal(state.sampler.walkers, 2 * source.walkers)
    more = dataclasses.replace(start, directory=None, n_walkers=40)
    walkers = prepare(more).state.vmc.sampler.walkers
    np.testing.assert_array_equal(walkers[16:32], walkers[:16])
    np.testing.assert_array_equal(walkers[32:], walkers[:8])


def two_numbers(key, x):
    return {"a": jnp.ones(2, x.dtype)}


def sum_of_squares(params, x):
    return LogPsi(jnp.ones((), x.dtype), -jnp.sum(params["a"]) * jnp.sum(x**2))


def wider(params, x):
    return gaussian({"a": params["a"] + 0 * params["c"][0]}, x)


def one_and_two_numbers(key, x):
    return {"a": jnp.ones((), x.dtype), "c": jnp.ones(2, x.dtype)}


def test_start_from_names_newly_initialized_parameters(finished, tmp_path, capsys):
    ansatz = Function(wider, one_and_two_numbers)
    directory = str(tmp_path / "a")
    result = run(
        experiment(ansatz=ansatz, start_from=str(finished), directory=directory)
    )
    message = result["warnings"][0]
    assert "1 parameters are those of" in message
    assert message.endswith("['a']; 1 start anew: ['c']")
    printed = capsys.readouterr()
    assert message in printed.err
    assert "start_from: 1 of 2 arrays of parameters, 1 of 3 numbers," in printed.out
    report = read_json(tmp_path / "a" / "start_from.json")
    assert report["walkers"] == "taken" and report["length_factor"] == 1.0
    assert report["parameters"] == [
        {"name": "['a']", "shape": [], "given": [], "taken": True},
        {"name": "['c']", "shape": [2], "given": None, "taken": False},
    ]


def test_start_from_draws_new_walkers_of_another_shape(finished, tmp_path):
    started = experiment(
        hamiltonian=Well(n=3), start_from=str(finished), directory=str(tmp_path / "a")
    )
    start = prepare(started)
    assert start.state.vmc.sampler.walkers.shape == (16, 3, 1)
    assert start.state.vmc.params["a"] != 0.7  # taken from the other run
    assert "walkers start anew" in start.warnings[-1]


def test_single_precision_of_a_run_does_not_affect_later_runs(tmp_path, float64_again):
    single, double = str(tmp_path / "single"), str(tmp_path / "double")
    result = run(experiment(precision="float32", directory=single))
    assert result["precision"] == "float32"
    assert result["energy"] == pytest.approx(0.5, abs=0.2)
    found = load(single)
    assert found.params["a"].dtype == found.walkers.dtype == jnp.float32
    run(experiment(start_from=single, directory=double))
    found = load(double)
    assert found.params["a"].dtype == found.walkers.dtype == jnp.float64


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_an_exact_state_has_its_energy_without_error(
    tmp_path, precision, capsys, float64_again
):
    ansatz = Function(gaussian, exact)
    result = run(
        experiment(
            ansatz=ansatz,
            precision=precision,
            directory=str(tmp_path / "a"),
            evaluation_steps=10,
        )
    )
    rounding = 1e-14 if precision == "float64" else 1e-6
    assert result["energy"] == pytest.approx(0.5, rel=rounding)
    assert result["variance"] < rounding**2 * 10
    assert result["energy_error"] < rounding
    assert abs(result["deviation_sigma"]) < 3
    assert result["r_hat"] == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("energy 0.5")


def test_the_v_score_counts_the_particles(tmp_path):
    settings = {"iterations": 0, "burn_in": 0, "sampler": Still(), "n_walkers": 256}
    settings |= {"hamiltonian": Well(3), "directory": str(tmp_path / "a")}
    result = run(experiment(**settings))
    score = 3 * result["variance"] / result["energy"] ** 2
    assert result["v_score"] == pytest.approx(score, rel=1e-12)
    assert result["observables"]["v_score"][0] == pytest.approx(score, rel=1e-12)


def test_run_without_training_is_an_evaluation(tmp_path):
    result = run(experiment(iterations=0, burn_in=0, directory=str(tmp_path / "a")))
    assert (tmp_path / "a" / "metrics.jsonl").read_text() == ""
    assert result["seconds_per_step"] == 0


def test_too_few_samples_give_no_error_bar_but_a_warning(tmp_path, capsys):
    result = run(experiment(directory=str(tmp_path / "a")))
    assert result["energy_error"] is None
    assert result["energy_per_particle_error"] is None
    assert result["deviation_sigma"] is None
    assert math.isfinite(result["energy"])
    assert any("no error bar for energy" in text for text in result["warnings"])
    assert any("steps to each chain" in text for text in result["warnings"])
    assert read_json(tmp_path / "a" / "result.json")["energy_error"] is None
    assert "no error bar: too few samples" in capsys.readouterr().out.splitlines()[-1]


def test_warnings_of_the_ansatz_and_the_devices_are_in_the_result(tmp_path):
    def kinked(key, x):
        warnings.warn("this ansatz has kinks", stacklevel=1)
        return exact(key, x)

    changes = {"ansatz": Function(gaussian, kinked), "n_walkers": 13}
    changes |= {"sampler": Still(), "iterations": 0, "burn_in": 0}
    result = run(experiment(**changes, directory=str(tmp_path / "a")))
    assert "this ansatz has kinks" in result["warnings"]
    assert "13 walkers are no multiple of 4 devices; 1 used" in result["warnings"]
    assert result["device"] == "1 x cpu"


class NeverThere(RadialDensity):
    """An observable that is not finite."""

    name = "nowhere"
    grid = None

    def __call__(self, ansatz, params, x):
        return jnp.sqrt(-jnp.sum(x**2))


@dataclasses.dataclass(frozen=True)
class Nothing(Well):
    """A system whose energy is zero."""

    def terms(self, ansatz, params, x):
        return {"kinetic": jnp.zeros((), x.dtype) * params["a"]}

    def references(self):
        return ()


def test_undefined_numbers_are_null_in_the_result(tmp_path, capsys):
    directory = str(tmp_path / "a")
    changes = {"hamiltonian": Nothing(), "observables": (NeverThere(1.0),)}
    changes["sampler"] = Still()
    run(experiment(**changes, iterations=0, directory=directory))
    result = read_json(tmp_path / "a" / "result.json")
    assert result["energy"] == 0
    assert result["v_score"] is None
    assert result["observables"] == {"nowhere": [None, None]}
    assert "64 of 64 samples of nowhere are not finite" in result["warnings"]
    assert capsys.readouterr().out.splitlines()[-1].endswith(", no reference known")


def test_json_has_no_infinities_and_no_numpy(tmp_path):
    values = {"r_hat": math.inf, "nan": np.float32("nan"), "array": np.arange(2)}
    write_json(tmp_path / "a.json", values | {"nested": [(np.int64(3), -math.inf)]})
    expected = {"r_hat": None, "nan": None, "array": [0, 1], "nested": [[3, None]]}
    assert read_json(tmp_path / "a.json") == expected
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_an_infinite_setting_is_saved_and_resumed(tmp_path):
    settings = {"checkpoint_every": math.inf, "directory": str(tmp_path / "a")}
    settings["sampler"] = Still()
    first = run(experiment(**settings))
    again = run(experiment(**settings, resume=True))
    assert again["energy"] == first["energy"]
    assert load(tmp_path / "a").params["a"] != 0.7


def test_observe_every_logs_observables_in_training(tmp_path):
    """They are measured on separate walkers, which leaves the run unchanged."""
    quiet = run(experiment(directory=str(tmp_path / "a")))
    assert not (tmp_path / "a" / "observables.jsonl").exists()
    found = run(experiment(directory=str(tmp_path / "b"), observe_every=2))
    assert found["energy"] == quiet["energy"]
    text = (tmp_path / "b" / "observables.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["step"] for row in rows] == [2, 4]
    for row in rows:
        assert set(row) == {"step", "r_squared", "density"}
        square, error = row["r_squared"]
        assert 0 < error < square < 10
        density, errors = np.array(row["density"])
        assert density.shape == errors.shape == (10,)
        assert 2 * 0.4 * np.sum(density) == pytest.approx(Well().n, abs=0.1)
        assert np.all(errors >= 0) and np.any(errors > 0)
    assert rows[0]["r_squared"] != rows[1]["r_squared"]


def test_lapack_has_one_thread_in_a_run_and_all_threads_afterwards(tmp_path):
    def threads():
        return [pool["num_threads"] for pool in threadpool_info()]

    class Watched(Still):
        def step(self, *arguments):
            jax.debug.callback(lambda: seen.append(threads()))
            return super().step(*arguments)

    seen = []
    with threadpool_limits(2, user_api="blas"):
        run(experiment(sampler=Watched(), directory=str(tmp_path / "a")))
        assert set(threads()) == {2}
    assert seen and all(set(found) == {1} for found in seen)


def test_run_without_directory_creates_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # probably in the same second
        run(experiment(sampler=Still(), iterations=0, burn_in=0))
    one, other = (tmp_path / "runs").iterdir()
    assert one.name.startswith("tiny_2") and other.name.startswith("tiny_2")
    assert (one / "result.json").exists() and (other / "result.json").exists()
    messages = [
        s for s in capsys.readouterr().out.splitlines() if s.startswith("run dir")
    ]
    assert {f"run directory runs/{p.name}" for p in (one, other)} == set(messages)


def test_an_empty_directory_may_be_used(tmp_path):
    (tmp_path / "config.json.tmp").write_text("{")  # of a killed run
    run(experiment(sampler=Still(), iterations=0, burn_in=0, directory=str(tmp_path)))
    assert (tmp_path / "result.json").exists()


def test_metrics_continue_after_the_last_checkpoint(tmp_path):
    metrics, messages = Metrics(tmp_path / "metrics.jsonl"), []
    with metrics.open(0, messages.append):
        for step in range(1, 6):
            metrics.append(step, {"energy": np.float64(step) / 7, "bad": math.nan})
    with metrics.path.open("a") as file:
        file.write('{"step": 6, "ene')  # killed here
    with metrics.open(3, messages.append):
        metrics.append(4, {"energy": 0.5, "bad": math.inf})
    assert messages == []
    columns = metrics.columns()
    np.testing.assert_array_equal(columns["step"], [1, 2, 3, 4])
    np.testing.assert_array_equal(columns["energy"], [1 / 7, 2 / 7, 3 / 7, 0.5])
    assert np.isnan(columns["bad"]).all()
    lines = metrics.path.read_text().splitlines()
    metrics.path.write_text("\n".join([lines[0], lines[1][9:], *lines[2:]]) + "\n")
    np.testing.assert_array_equal(metrics.columns()["step"], [1, 3, 4])
    with metrics.open(4, messages.append):
        pass
    assert messages == [f"1 lines of {metrics.path} are missing or damaged"]


def test_damaged_line_of_metrics_keeps_the_result(finished, tmp_path):
    directory = tmp_path / "a"
    settings = {"directory": str(directory), "sampler": Still()}
    run(experiment(**settings))
    path = directory / "metrics.jsonl"
    path.write_text(path.read_text().replace('"step": 2', '"step": :'))
    before = read_json(directory / "result.json")
    again = run(experiment(**settings, resume=True))
    assert again["energy"] == before["energy"]


def test_signal_handlers_are_restored_after_a_run(tmp_path):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    run(experiment(sampler=Still(), directory=str(tmp_path / "a")))
    after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert after == before


def test_precision_and_matrix_products_are_set_for_the_process(float64_again):
    with jax.default_matmul_precision("default"):
        configure("float32")
        assert jax.config.jax_enable_x64 is False
    configure()
    assert jax.config.jax_enable_x64 is True
    assert jax.config.jax_default_matmul_precision == "highest"


def test_walkers_are_split_over_as_many_devices_as_divide_them():
    assert walker_mesh(16).size == 4
    assert walker_mesh(18).size == 3
    assert walker_mesh(13).size == 1
    assert walker_mesh(16, jax.devices()[:2]).size == 2
    state = experiment().vmc().init(jax.random.key(0), Well().initial_walkers(jax.random.key(1), 16))  # fmt: skip # noqa: E501
    placed = shardings(state, walker_mesh(16), 16)
    assert placed.sampler.walkers.spec == PartitionSpec("walkers")
    assert placed.sampler.width.spec == PartitionSpec()
    assert placed.params["a"].spec == PartitionSpec()


def fixed(params, x):
    return gaussian({"a": jnp.ones(())}, x)


@dataclasses.dataclass(frozen=True)
class Eigenstate(Well):
    """The well with the energies of its ground state."""

    def terms(self, ansatz, params, x):
        return super().terms(ansatz, {"a": jnp.ones(())}, x)


# The other methods of first order are the same class.
@pytest.mark.parametrize("optimizer", ["adam", *further("sr", "minsr"), "spring"])
def test_an_ansatz_without_parameters_is_measured(tmp_path, optimizer):
    parts = {"ansatz": Function(fixed), "hamiltonian": Eigenstate()}
    parts |= {"optimizer": OPTIMIZERS[optimizer], "sampler": Still()}
    result = run(experiment(**parts, directory=str(tmp_path / "a")))
    assert result["n_parameters"] == 0
    assert result["energy"] == pytest.approx(0.5, rel=1e-12)


def test_chunks_of_walkers_change_nothing_but_rounding(tmp_path):
    idle = {"iterations": 0, "burn_in": 0}
    chunked = run(experiment(chunk_size=5, directory=str(tmp_path / "a"), **idle))
    whole = run(experiment(directory=str(tmp_path / "b"), **idle))
    # the accepted moves are the same; the order of summation differs
    assert chunked["energy"] == pytest.approx(whole["energy"], rel=1e-10)
    assert chunked["acceptance"] == whole["acceptance"]


def test_interrupted_command_resumes_to_its_result(tmp_path, optimized):
    directory = tmp_path / "it's here"
    command = [sys.executable, "-m", "experiments.harmonic_oscillator"]
    options = "--n 1 --ansatz rbm --sampler gibbs --sweeps 1 --iterations 1000"
    options += " --burn-in 1 --n-walkers 16 --evaluation-steps 100"
    process = subprocess.Popen(
        [*command, *options.split(), "--directory", str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("train"):
            process.terminate()
            break
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 128 + signal.SIGTERM, errors
    messages = shlex.split(errors.strip().rpartition("Resume with: ")[2])
    assert messages[0] == "python"
    done = subprocess.run(
        [sys.executable, *messages[1:]], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = read_json(directory / "result.json")
    last = done.stdout.splitlines()[-1]
    assert last.startswith("energy 0.")
    assert f"({result['deviation_sigma']:+.1f} sigma)" in last
    assert abs(result["energy"] - 0.5) < 4 * result["energy_error"]
    assert result["experiment"] == "harmonic_oscillator"
    options = result["config"]["options"]
    assert (options["ansatz"], options["iterations"]) == ("rbm", 1000)
    assert len((directory / "metrics.jsonl").read_text().splitlines()) == 1000


def test_the_experiments_are_listed():
    command = [sys.executable, "-m", "experiments", "list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"quantum_dot", "harmonic_oscillator"} <= set(names)
    assert "command_line" not in names

"""Reading a run from its files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tyro

import nqs
from experiments.command_line.main import names, options_of
from nqs.files import reading
from nqs.files.directory import RunError, alone
from nqs.runs import run
from nqs.views import page
from tests.tiny import experiment

OLD = Path(__file__).parent / "data" / "version_0_1"  # commit 359e4eb
FEW = "--n-walkers 8 --iterations 2 --burn-in 1 --evaluation-steps 100"
EXPERIMENTS = {
    "bose_hubbard": "--length 4 --optimizer adam",
    "classical_ising": "--length 3 3",
    "classical_potts": "--length 3 3",
    "electron_gas": "--n-up 1 --n-down 1 --ansatz slater_jastrow --optimizer adam",
    "fermi_gas": "--n 2 --ansatz pairing(width=4,layers=1) --optimizer adam",
    "harmonic_oscillator": "--n 2",
    "heisenberg": "--length 4 --optimizer adam",
    "hubbard": "--length 4 --ansatz slater(hidden=(4,)) --optimizer adam",
    "ising": "--length 4 --optimizer adam",
    "molecule": "--ansatz backflow(layers=1,width=4,determinants=1) --optimizer adam",
    "neutron_matter": "--n 2 --ansatz pairing(width=4,layers=1) --optimizer adam",
    "nucleus": "--a 2 --z 1 --ansatz correlated(layers=1,width=4) --optimizer adam",
    "potts": "--length 4 --optimizer adam",
    "quantum_dot": "--n 2 --ansatz slater_jastrow --optimizer adam",
    "tv": "--length 4 --optimizer adam",
    "xxz": "--length 4 --optimizer adam",
}

pytestmark = pytest.mark.usefixtures("without_figures", "built_once")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run; tests must not change it."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run(experiment(directory=str(directory), evaluation_steps=100))
    return directory


def test_files_of_a_run_are_read(finished):
    found = nqs.read(finished)
    assert found.config == json.loads((finished / "config.json").read_text())
    assert found.result["energy"] == pytest.approx(np.mean(found.local_energy))
    assert found.local_energy.shape == (16, 100)
    assert set(found.terms) == {"kinetic", "trap"}
    assert found.columns["step"].tolist() == [1, 2, 3, 4, 5]
    assert found.walkers.shape == (1, 16, 1, 1)
    assert (found.status, found.missing, found.members) == ("finished", [], {})
    np.testing.assert_array_equal(found.walkers[0], nqs.load(finished).walkers)


def test_files_are_read_when_they_are_used(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    found = nqs.read(copy)
    (copy / "config.json").unlink()
    with pytest.raises(RunError, match="config.json does not exist"):
        assert found.config
    assert found.result["experiment"] == "tiny"


def test_metrics_are_a_table_with_pandas_and_columns_without(finished, monkeypatch):
    pandas = pytest.importorskip("pandas")
    found = nqs.read(finished)
    table = found.metrics
    assert isinstance(table, pandas.DataFrame) and len(table) == 5
    monkeypatch.setitem(reading.importlib.sys.modules, "pandas", None)  # type: ignore
    np.testing.assert_array_equal(found.metrics["energy"], table["energy"])


def test_observables_have_grids_and_errors(finished):
    pytest.importorskip("xarray")
    found = nqs.read(finished).observables
    density = found["density"]
    with np.load(finished / "observables.npz") as file:
        np.testing.assert_array_equal(density.values, file["density"])
        grid = density["density_grid"].values
        np.testing.assert_array_equal(grid, file["density_grid"])
        error = found["density_error"].values
        np.testing.assert_array_equal(error, file["density_error"])
    mean, error = nqs.read(finished).result["observables"]["r_squared"]
    assert (float(found["r_squared"]), float(found["r_squared_error"])) == (mean, error)


def test_images_have_two_axes(tmp_path):
    pytest.importorskip("xarray")
    x, y = np.linspace(-1, 1, 3), np.linspace(0, 1, 4)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    values = {"map": grid.sum(axis=-1), "map_grid": grid, "map_error": 0 * grid[..., 0]}
    np.savez(tmp_path / "observables.npz", **values)
    found = nqs.read(tmp_path).observables["map"]
    assert float(found.sel(map_x=1, map_y=0)) == 1
    np.testing.assert_array_equal(found["map_y"], y)


def test_chains_go_to_arviz(finished):
    pytest.importorskip("arviz_base")
    tree = nqs.read(finished).inference_data
    energies = tree["posterior"]["local_energy"]
    assert energies.dims == ("chain", "draw")
    np.testing.assert_array_equal(energies, nqs.read(finished).local_energy)


def test_missing_packages_are_named_with_their_extra(finished, monkeypatch):
    monkeypatch.setitem(reading.importlib.sys.modules, "xarray", None)  # type: ignore
    with pytest.raises(ImportError, match=r"xarray must be .* 'nqs\[analysis\]'"):
        assert nqs.read(finished).observables


def test_unfinished_and_broken_runs_name_what_is_missing(finished, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "result.json").unlink()
    (copy / "observables.npz").write_bytes(b"PK broken")
    for path in (copy / "checkpoints").iterdir():
        path.write_bytes(b"broken" * 30)
    found = nqs.read(copy)
    assert found.status == "unfinished"
    result, arrays, checkpoint = found.missing
    assert "result.json does not exist" in result
    assert "observables.npz is damaged" in arrays
    assert "no undamaged checkpoint" in checkpoint
    with alone(copy):
        assert found.status == "running"


def test_runs_of_the_first_version_are_read_except_for_their_psi(tmp_path):
    copy = tmp_path / "old"
    shutil.copytree(OLD, copy)
    found = nqs.read(copy)
    assert found.result["energy"] == 1.0365067048752805
    assert found.columns["step"].tolist() == [1, 2, 3, 4, 5]
    assert found.profiles == ["density", "density_map", "pair_correlation"]
    assert found.config["hamiltonian"]["n_up"] is None
    older = f"{copy / 'checkpoints'} holds checkpoints of Orbax, written by an older"
    assert found.missing == [f"{older} version"]
    with pytest.raises(RunError, match="of another version: .*argument 'n_up'"):
        nqs.load(copy)
    written = page.write_page((copy,), None).read_text()
    assert "1.0365(54) hartree" in written and older in written


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_runs_of_every_experiment_are_read(name, tmp_path):
    directory = str(tmp_path / "run")
    arguments = [*EXPERIMENTS[name].split(), *FEW.split(), "--directory", directory]
    tyro.cli(options_of(name), args=arguments).start()()
    found = nqs.read(directory)
    assert found.missing == []
    assert np.mean(found.local_energy) == pytest.approx(found.result["energy"])
    assert found.local_energy.shape == (8, 100)
    assert set(found.result["observables"]) <= set(found.observables)
    walkers = found.walkers
    leaves = walkers.values() if isinstance(walkers, dict) else [walkers]
    assert all(leaf.shape[:2] == (1, 8) for leaf in leaves)


def test_every_experiment_is_in_the_table():
    assert EXPERIMENTS.keys() == set(names())


def test_runs_of_a_series_are_members(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "rs_1")
    shutil.copytree(finished, tmp_path / "rs_2")
    members = nqs.read(tmp_path).members
    assert sorted(members) == ["rs_1", "rs_2"]
    assert members["rs_1"].result == nqs.read(finished).result


def test_folders_without_a_run_are_refused(tmp_path):
    with pytest.raises(RunError, match="holds no run"):
        nqs.read(tmp_path)
    with pytest.raises(RunError, match="must be the directory of a run"):
        nqs.read(tmp_path / "absent")

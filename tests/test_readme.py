"""Every Python block of the README and of docs/extending.md runs."""

import re
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

ROOT = Path(__file__).parents[1]


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)


def run_blocks(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    with warnings.catch_warnings():
        # x64 and the devices were set by conftest; rank promotion is strict only there
        for block in blocks:
            exec(compile(block, "page", "exec"), names)
    return names


def test_first_script_finds_the_two_electron_dot(tmp_path, monkeypatch, optimized):
    first, ansatz = blocks("README.md")
    result = run_blocks([first], tmp_path, monkeypatch)["result"]
    # the Pade-Jastrow state lies up to 6e-4 above the exact energy
    assert abs(result["energy"] - 3) < 6e-4 + 3 * result["energy_error"]
    assert result["energy_error"] < 1e-3
    quartic = run_blocks([ansatz], tmp_path, monkeypatch)["Quartic"]()
    x = jnp.ones((2, 1))
    params = quartic.init(jax.random.key(0), x)
    assert quartic.apply(params, x).logabs == -4


def test_parts_of_the_docs_reach_exact_energies(tmp_path, monkeypatch, optimized):
    names = run_blocks(blocks("docs/extending.md"), tmp_path, monkeypatch)
    tolerances = {"result": 2e-3, "with_chain": 2e-3, "bosons": 2e-2}
    tolerances |= {"electrons": 2e-2, "hydrogen": 3e-2}
    for name, tolerance in tolerances.items():
        found = names[name]
        excess = found["energy"] - found["references"][0]["value"]
        # an exact state has no error but rounding
        least = -3 * found["energy_error"] - 1e-12 * abs(found["energy"])
        assert least < excess < tolerance
    probability, error = names["result"]["observables"]["at_barrier"]
    assert 0 < error < 0.1 * probability < 0.1


@pytest.mark.whole
def test_instruments_of_the_docs_run(tmp_path, monkeypatch):
    found = run_blocks(blocks("docs/instruments.md"), tmp_path, monkeypatch)
    assert len(found["energies"]) == 30
    assert found["run"].walkers.shape == (3, 128, 1, 1)
    square, error = found["found"]["observables"]["r_squared"]
    assert abs(square - 0.5) < 0.05 and error < 0.05
    # <H> of another frequency in the same state: E + (1.2^2 - 1) <x^2> / 2
    expected = found["result"]["energy"] + 0.44 * square / 2
    assert abs(found["stiffer"]["energy"] - expected) < 0.05


def test_parts_of_the_docs_are_short():
    """Own ansatz, Hamiltonian, sampler, observable and optimizer in 30 lines each."""
    for block in [*blocks("docs/extending.md"), *blocks("docs/instruments.md")]:
        if "BoseHubbard" not in block:
            assert len([line for line in block.splitlines() if line]) <= 30, block


def test_blocks_of_other_pages_run(tmp_path, monkeypatch):
    (first,) = blocks("docs/first-run.md")
    assert first == blocks("README.md")[0]
    run_blocks(blocks("docs/method/statistics.md"), tmp_path, monkeypatch)


def test_readme_and_its_scripts_are_short():
    assert len((ROOT / "README.md").read_bytes()) <= 6000
    first, ansatz = blocks("README.md")
    assert len(first.splitlines()) <= 12
    assert len(ansatz.splitlines()) <= 15

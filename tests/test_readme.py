"""Every Python block of the README runs as it stands."""

import re
import warnings
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def run_blocks(blocks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    with warnings.catch_warnings():
        # x64 and the devices were set by conftest; rank promotion is strict only there
        for block in blocks:
            exec(compile(block, "README.md", "exec"), names)
    return names["result"]


def test_the_first_script_finds_the_two_electron_dot(tmp_path, monkeypatch, optimized):
    result = run_blocks(BLOCKS[:1], tmp_path, monkeypatch)
    # the Pade-Jastrow state lies up to 6e-4 above the exact energy
    assert abs(result["energy"] - 3) < 6e-4 + 3 * result["energy_error"]
    assert result["energy_error"] < 1e-3


def test_the_parts_of_ones_own_find_the_double_well(tmp_path, monkeypatch, optimized):
    result = run_blocks(BLOCKS[1:], tmp_path, monkeypatch)
    exact = result["references"][0]["value"]
    excess = result["energy"] - exact
    assert -3 * result["energy_error"] < excess < 2e-3

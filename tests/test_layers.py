"""Layers: a module imports lower layers only, and parts do not import other parts."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A room's layer; its modules may import lower layers and their own room.
LAYERS = {
    "nqs.types": 0,
    "nqs.capabilities": 0,
    "nqs.batching": 0,
    "nqs.checks": 0,
    "nqs.space": 0,
    "nqs.gradient": 1,
    "nqs.moves": 1,
    "nqs.laplacian": 1,
    "nqs.ratios": 1,
    "nqs.ansatze": 2,
    "nqs.optimizers": 2,
    "nqs.observables": 2,
    "hamiltonians": 2,
    "samplers": 2,
    "nqs.single": 2,
    "nqs.contracts": 3,
    "nqs.excited": 3,
    "nqs.vmc": 4,
    "nqs.statistics": 5,
    "nqs.files": 6,
    "nqs.runs": 7,
    "nqs.views": 8,
    "nqs.projection": 8,
    "nqs.evolution": 8,
    "nqs.jobs": 9,
    "nqs": 10,  # the public names, and the commands such as nqs.evaluate
    "experiments": 11,
}
# Modules of layer 0 that others of layer 0 use.
SHARED = {"nqs.types", "nqs.checks", "nqs.space"}
FILES = sorted(
    path
    for room in ("nqs", "hamiltonians", "samplers", "experiments")
    for path in (ROOT / room).rglob("*.py")
)


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def room(module):
    """The longest known prefix of a module's name."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        if (prefix := ".".join(parts[:length])) in LAYERS:
            return prefix
    return None


def imports(path):
    """Modules that a file imports, anywhere in it."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            known = [name for name in submodules if (ROOT / name.replace(".", "/")).with_suffix(".py").exists() or (ROOT / name.replace(".", "/")).is_dir()]  # fmt: skip # noqa: E501
            yield from known or [node.module]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_downwards(path):
    here = room(module_name(path))
    for imported in imports(path):
        there = room(imported)
        if there is None or there == here:
            continue
        if LAYERS[here] == 0 and there in SHARED:
            continue
        assert LAYERS[there] < LAYERS[here], f"{path} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_ansatze_import_flax(path):
    if "flax" in {name.split(".")[0] for name in imports(path)}:
        assert room(module_name(path)) == "nqs.ansatze"


COMPILE = ("nqs.runs", "nqs.views", "nqs.projection", "nqs.evolution")
# Functions that the forward Laplacian finds by their names, and exact solutions.
JITTED = (
    *("nqs.laplacian", "nqs.ansatze.layers"),
    *("hamiltonians.references.classical", "hamiltonians.references.lanczos"),
)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_runs_compile_steps(path):
    if not module_name(path).startswith((*COMPILE, *JITTED)):
        attributes = [
            f"{node.value.id}.{node.attr}"
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        ]
        assert "jax.jit" not in attributes


def test_import_of_a_higher_layer_is_detected(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from nqs.vmc import VMC\nimport samplers.gibbs\n")
    assert {room(name) for name in imports(wrong)} == {"nqs.vmc", "samplers"}
    assert LAYERS["nqs.vmc"] > LAYERS["samplers"]


def test_page_lists_the_rooms():
    page = (ROOT / "docs" / "code.md").read_text()
    rows = re.findall(r"^\| (\d+) \| `([\w.]+)` \|", page, re.MULTILINE)
    assert [(room, int(layer)) for layer, room in rows] == [*LAYERS.items()]


def test_files_and_functions_are_short():
    for path in FILES:
        text = path.read_text()
        assert len(text.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                lines = node.end_lineno - node.lineno + 1
                assert lines <= 40, (path, node.name, lines)


# Each room in turn, without the modules that the rooms before it have loaded.
ALONE = """
import importlib, sys
import flax.linen, folx, jax, optax, scipy.stats, tyro
for name in sys.argv[1:]:
    ours = ("nqs", "hamiltonians", "samplers", "experiments")
    for module in [m for m in sys.modules if m.split(".")[0] in ours]:
        del sys.modules[module]
    importlib.import_module(name)
    print(name)
"""


def test_every_room_is_imported_alone():
    command = [sys.executable, "-c", ALONE, *LAYERS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == [*LAYERS], done.stderr

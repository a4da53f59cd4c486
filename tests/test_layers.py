"""Who imports whom: parts never import each other, and the arrows never turn."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# A module's layer; it may import modules of lower layers, and of its own room.
LAYERS = {
    "nqs.types": 0,
    "nqs.batching": 0,
    "nqs.box": 0,
    "nqs.lattice": 0,
    "nqs.pairs": 0,
    "nqs.site_ratios": 0,
    "nqs.exchange": 0,
    "nqs.spins": 0,
    "nqs.ansatze": 1,
    "nqs.optimizers": 1,
    "nqs.statistics": 1,
    "nqs.observables": 1,
    "nqs.periodic_observables": 1,
    "nqs.lattice_observables": 1,
    "nqs.spin_observables": 1,
    "hamiltonians": 1,
    "samplers": 1,
    "nqs.vmc": 2,
    "nqs.evaluate": 2,
    # the rooms of nqs.run: experiment, directory, settings, figures ...
    "nqs": 3,
    "experiments": 4,
}
# nqs.evaluate measures walkers as nqs.vmc does; site and exchange ratios are
# capabilities that any ansatz can be given; observables share their bins.
ALLOWED = {
    ("nqs.evaluate", "nqs.vmc"),
    ("nqs.site_ratios", "nqs.types"),
    ("nqs.exchange", "nqs.types"),
    ("nqs.periodic_observables", "nqs.observables"),
    ("nqs.spin_observables", "nqs.observables"),
}
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


def is_main_block(node):
    return isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)


def imports(path):
    """Modules that a file imports, anywhere but in its `if __name__ == "__main__"`."""
    tree = ast.parse(path.read_text())
    tree.body = [node for node in tree.body if not is_main_block(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            known = [name for name in submodules if (ROOT / name.replace(".", "/")).with_suffix(".py").exists()]  # fmt: skip # noqa: E501
            yield from known or [node.module]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_downwards(path):
    here = room(module_name(path))
    for imported in imports(path):
        there = room(imported)
        if there is None or there == here or (here, there) in ALLOWED:
            continue
        assert LAYERS[there] < LAYERS[here], f"{path} imports {imported}"


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_only_ansatze_import_flax(path):
    if "flax" in {name.split(".")[0] for name in imports(path)}:
        assert room(module_name(path)) == "nqs.ansatze"


def test_the_check_would_notice_a_wrong_arrow(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from nqs.vmc import VMC\nimport samplers.gibbs\n")
    assert {room(name) for name in imports(wrong)} == {"nqs.vmc", "samplers"}
    assert LAYERS["nqs.vmc"] > LAYERS["samplers"]

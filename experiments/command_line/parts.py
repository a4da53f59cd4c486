"""Parts with their fields and defaults, read from the source instead of importing it.

The command `nqs parts` and the help of the options then do not import JAX.
"""

import ast
import functools
from pathlib import Path
from typing import NamedTuple

import experiments
from experiments.command_line.notation import nearest

ROOMS = {
    "ansätze": "nqs.ansatze",
    "Hamiltonians": "hamiltonians",
    "samplers": "samplers",
    "optimizers": "nqs.optimizers",
    "observables": "nqs.observables",
}
ROOT = Path(experiments.__path__[0]).parent


class Description(NamedTuple):
    """A part as its source describes it."""

    name: str
    document: str
    fields: dict[str, str]  # name: default as text, empty where there is none

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return self.document.split("\n")[0]


class Definition(NamedTuple):
    """The statement that defines a name, in its module."""

    module: str
    statement: ast.ClassDef | ast.Assign


@functools.cache
def syntax(module: str) -> ast.Module:
    """The syntax tree of a module."""
    path = ROOT / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(path.read_bytes())


def definition(module: str, name: str) -> Definition | None:
    """The definition of a name of a module; None for names of other libraries."""
    for statement in syntax(module).body:
        match statement:
            case ast.ClassDef(name=found) | ast.Assign(targets=[ast.Name(found)]):
                if found == name:
                    return Definition(module, statement)
            case ast.ImportFrom(module=str(origin), names=aliases):
                ours = origin.split(".")[0] in ("nqs", "hamiltonians", "samplers")
                if ours and name in [alias.name for alias in aliases]:
                    return definition(origin, name)
    return None


def constant(module: str, name: str) -> tuple[str, ...]:
    """A tuple of text that a module defines."""
    found = definition(module, name)
    assert found is not None and isinstance(found.statement, ast.Assign)
    return tuple(ast.literal_eval(found.statement.value))


def described(module: str, name: str) -> Description | None:
    """The part of a name, or None if that is no part.

    A part is a dataclass, a Flax module or a `partial` of one.
    """
    match definition(module, name):
        case Definition(home, ast.ClassDef() as node) if _is_part(home, node):
            document = ast.get_docstring(node) or ""
            return Description(name, document, _fields(home, node))
        case Definition(
            home, ast.Assign(value=ast.Call(ast.Name("partial"), [ast.Name(of)], set_))
        ):
            part = described(home, of)
            assert part is not None
            changed = {str(k.arg): ast.unparse(k.value) for k in set_}
            return part._replace(name=name, fields=part.fields | changed)
    return None


def _bases(module: str, node: ast.ClassDef) -> list[Definition]:
    names = [base.id for base in node.bases if isinstance(base, ast.Name)]
    found = [definition(module, name) for name in names]
    return [base for base in found if base is not None]


def _is_part(module: str, node: ast.stmt) -> bool:
    """Whether a class is a dataclass or a Flax module."""
    if not isinstance(node, ast.ClassDef):
        return False
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if any(text.startswith("dataclasses.dataclass") for text in decorators):
        return True
    return "nn.Module" in [ast.unparse(base) for base in node.bases]


def _fields(module: str, node: ast.ClassDef) -> dict[str, str]:
    """Fields of a class, those of its bases first."""
    fields = {}
    for home, base in reversed(_bases(module, node)):
        if isinstance(base, ast.ClassDef) and _is_part(home, base):
            fields |= _fields(home, base)
    for line in node.body:
        match line:
            case ast.AnnAssign(ast.Name(name), annotation, value):
                if not ast.unparse(annotation).startswith("ClassVar"):
                    fields[name] = "" if value is None else ast.unparse(value)
    return fields


def parts() -> dict[str, dict[str, Description]]:
    """Every public part by room and name."""
    rooms = {
        title: [described(room, name) for name in constant(room, "__all__")]
        for title, room in ROOMS.items()
    }
    return {
        title: {part.name: part for part in found if part is not None}
        for title, found in rooms.items()
    }


def find(name: str) -> Description:
    """The part of a name in any room."""
    found = [described(room, name) for room in ROOMS.values()]
    return next(part for part in found if part is not None)


def plain(name: str) -> str:
    """A name without case and underscores: `slater_jastrow` is `SlaterJastrow`."""
    return name.replace("_", "").lower()


def text(part: Description) -> list[str]:
    """The docstring of a part, with units, and its fields with their defaults."""
    fields = [
        f"  {name} = {default}" if default else f"  {name}"
        for name, default in part.fields.items()
    ]
    return [part.name, "", part.document, "", "Fields:", *fields]


def show_parts(arguments: list[str]) -> list[str]:
    """Lines of `nqs parts [NAME]`.

    Raises:
      ValueError: for an unknown name, with the nearest one.
    """
    known = parts()
    if not arguments:
        lines = []
        for title, members in known.items():
            lines += ["", title]
            lines += [f"  {name:22} {part.summary}" for name, part in members.items()]
        return lines[1:]
    every = {name: part for members in known.values() for name, part in members.items()}
    name = arguments[0]
    if name in constant("nqs.optimizers", "METHODS"):
        from nqs.optimizers import FirstOrder

        options = ", ".join(FirstOrder.option_names(name))
        return [*text(every["FirstOrder"]), "", f"Options of {name}: {options}"]
    for other, part in every.items():
        if plain(other) == plain(name):
            return text(part)
    listed = ", ".join(nearest(name, every))
    raise ValueError(f"part must be one of {listed}, got {name!r}")

"""`python -m experiments` lists the experiments."""

import ast
import pkgutil
from pathlib import Path

import experiments


def listing() -> list[str]:
    """One line an experiment: its name and the first line of its docstring."""
    folder = Path(experiments.__path__[0])
    names = sorted(module.name for module in pkgutil.iter_modules([str(folder)]))
    return [
        f"{name:20} {ast.get_docstring(ast.parse((folder / f'{name}.py').read_text()))}"
        for name in names
        if name not in ("command_line", "__main__")
    ]


if __name__ == "__main__":
    print("python -m experiments.NAME --help shows the options of each:\n")
    print("\n".join(listing()))

"""The command `nqs`, also `python -m experiments`."""

import ast
import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import experiments

USAGE = """usage: nqs COMMAND

  list                   the experiments
  run NAME [OPTIONS]     run one; `nqs run NAME --help` shows its options
  parts [NAME]           the parts, or one of them with fields and defaults
  sweep NAME [OPTIONS] --over OPTION=VALUES   runs over a grid of options
  tune NAME [OPTIONS] --search NAME=VALUES    a search for the best settings
  sweep DIR, tune DIR    the table of a sweep or a search
  resume DIR [OPTIONS]   continue a run, a series of runs, a sweep or a search
  evaluate DIR [OPTIONS] measure a run again with frozen parameters
  project DIR [OPTIONS]  diffusion Monte Carlo with the nodes of a run
  evolve DIR [OPTIONS]   real-time evolution of the psi of a run
  watch DIR ...          follow runs on the terminal, also while they run elsewhere
  report DIR ...         one HTML page about a run, or several side by side
  figures DIR [OPTIONS]  draw the figures again, in another style or format

`nqs run NAME --tyro-print-completion bash` prints a shell completion script."""

# Commands whose module has a `main(arguments, prog)`.
MODULES = {
    "evaluate": "nqs.evaluate",
    "project": "nqs.project",
    "evolve": "nqs.evolve",
    "watch": "nqs.watch",
    "report": "nqs.report",
    "figures": "nqs.figures",
}

# Commands of many runs, whose directory holds NAME.json.
MANY = {
    "sweep": "experiments.command_line.sweep",
    "tune": "experiments.command_line.tune",
}


def names() -> list[str]:
    """The names of all experiments."""
    folder = Path(experiments.__path__[0])
    return sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))


def listing() -> list[str]:
    """One line an experiment: its name and the first line of its docstring."""
    folder = Path(experiments.__path__[0])
    trees = {name: ast.parse((folder / f"{name}.py").read_bytes()) for name in names()}
    return [f"{name:20} {ast.get_docstring(tree)}" for name, tree in trees.items()]


def options_of(name: str) -> Any:
    """The options class of an experiment.

    Raises:
      ValueError: for an unknown name, with the nearest one.
    """
    from experiments.command_line.notation import nearest
    from experiments.command_line.options import Options

    if name not in names():
        known = ", ".join(nearest(name, names()))
        raise ValueError(f"experiment must be one of {known}, got {name!r}")
    module = importlib.import_module(f"experiments.{name}")
    return next(
        member
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, Options)
        and member.__module__ == module.__name__
    )


def resume(arguments: list[str]) -> None:
    """Continue the run or series in a directory.

    Raises:
      ValueError: if the directory holds no run of an experiment.
    """
    from experiments.command_line.options import main as run_options
    from nqs.files.directory import read_json

    if not arguments:
        raise ValueError("resume must be followed by a run directory")
    directory, *rest = arguments
    for many, module in MANY.items():
        if (Path(directory) / f"{many}.json").exists():
            importlib.import_module(module).resume(Path(directory), rest)
            return
    config = read_json(Path(directory) / "config.json")
    name = config.get("name")
    if name not in names():
        raise ValueError(
            f"{directory} must hold a run of an experiment, got {name!r}; resume it "
            "from the script that made it"
        )
    arguments = ["--directory", directory, "--resume", *rest]
    run_options(options_of(name), arguments, f"nqs run {name}")


def command(arguments: list[str]) -> None:
    """Carry out one command.

    Raises:
      ValueError: for an unknown command or name.
    """
    name, *rest = arguments or ["help"]
    if name in ("help", "--help", "-h"):
        print(USAGE)
    elif name == "list":
        print("\n".join(listing()))
    elif name == "parts":
        from experiments.command_line.parts import show_parts

        print("\n".join(show_parts(rest)))
    elif name == "run" and rest:
        from experiments.command_line.options import main as run_options

        run_options(options_of(rest[0]), rest[1:], f"nqs run {rest[0]}")
    elif name in MANY:
        importlib.import_module(MANY[name]).main(rest, options_of)
    elif name == "resume":
        resume(rest)
    elif name in MODULES:
        importlib.import_module(MODULES[name]).main(rest, f"nqs {name}")
    else:
        found = "no experiment after run" if name == "run" else repr(name)
        raise ValueError(f"command must be {_commands_near(name)}, got {found}")


def _commands_near(name: str) -> str:
    """All commands, after the run of an experiment with a name like the given one."""
    from experiments.command_line.notation import nearest

    known = ["list", "run NAME", "parts", "resume", *MANY, *MODULES]
    first, *_ = nearest(name, [*known, *(f"run {other}" for other in names())])
    listed = known if first in known else [f"nqs {first}", *known]
    return f"{', '.join(listed[:-1])} or {listed[-1]}"


def main() -> None:
    """Read the command line; a mistake ends with one sentence and status 2."""
    try:
        command(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:  # a run that has begun saves a checkpoint instead
        print("interrupted before the first step", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if not isinstance(error, ValueError) and type(error).__name__ != "RunError":
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None

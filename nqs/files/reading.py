"""Reading a run from its files, without running anything."""

import dataclasses
import importlib
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from nqs.files.datasets import dataset, inference_data
from nqs.files.directory import RunError, is_locked, read_json
from nqs.files.metrics import Metrics

FILES = ("config.json", "metrics.jsonl", "result.json", "observables.npz")


def read(directory: str | Path) -> "Run":
    """The files of a run, each read when it is first used.

    Raises:
      RunError: if the directory does not hold a run or a series of runs.
    """
    run = Run(Path(directory))
    if not run.directory.is_dir():
        raise RunError(f"{directory} must be the directory of a run, got none")
    if not (run.members or any((run.directory / name).exists() for name in FILES)):
        raise RunError(f"{directory} holds no run: none of {', '.join(FILES)}")
    return run


@dataclasses.dataclass(frozen=True)
class Run:
    """A run in a directory; every property is read when it is first used.

    A missing file raises a RunError that names it; `missing` lists all of them.
    """

    directory: Path

    @cached_property
    def config(self) -> dict[str, Any]:
        """Content of config.json."""
        return read_json(self.directory / "config.json")

    @cached_property
    def result(self) -> dict[str, Any]:
        """Content of result.json; a RunError before the run is finished."""
        return read_json(self.directory / "result.json")

    @cached_property
    def columns(self) -> dict[str, np.ndarray]:
        """Every metric of the training, (steps,) each; empty without any.

        With the diagnostics: `seconds` of the training, `learning_rate`, `damping`,
        `r_hat` of the 50 steps that end there; NaN where there is none.
        """
        found = Metrics(self.directory / "metrics.jsonl").columns()
        more = Metrics(self.directory / "diagnostics.ndjson").columns()
        if not (found and more):
            return found
        _, here, there = np.intersect1d(found["step"], more["step"], False, True)
        for name in more.keys() - found.keys():
            found[name] = np.full(len(found["step"]), np.nan)
            found[name][here] = more[name][there]
        return found

    @property
    def metrics(self) -> Any:
        """The columns as a pandas DataFrame, or as they are without pandas."""
        try:
            return importlib.import_module("pandas").DataFrame(self.columns)
        except ImportError:
            return self.columns

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Content of observables.npz: profiles, with their grids and errors."""
        return _arrays(self.directory / "observables.npz")

    @property
    def profiles(self) -> list[str]:
        """Names of the profiles."""
        return [name for name in self.arrays if f"{name}_grid" in self.arrays]

    @cached_property
    def observables(self) -> Any:
        """Profiles, scalars and their errors as an xarray Dataset.

        The error of NAME is NAME_error; NaN where it is not known.
        """
        scalars = self.result["observables"] if self.finished else {}
        return dataset(self.profiles, self.arrays, scalars)

    @cached_property
    def measurements(self) -> Any:
        """Everything measured in the evaluation, `nqs.statistics.Measurements`."""
        from nqs.statistics import Measurements  # imports JAX

        found = {"terms": {}, "scalars": {}, "profiles": {}}
        for path, values in self._checkpoint.items():
            for field, named in found.items():
                start = f"['samples'].{field}["
                if path.startswith(start):
                    named[path[len(start) + 1 : -2]] = values
        samples = "['samples'].acceptance", "['samples'].non_finite"
        acceptance, non_finite = (self._checkpoint[path] for path in samples)
        if not acceptance.size:
            raise RunError(f"{self.directory} must be evaluated first, got no samples")
        return Measurements(acceptance, non_finite, **found)

    @property
    def terms(self) -> dict[str, np.ndarray]:
        """Terms of the local energy in the evaluation, (chains, steps) each."""
        return {name: values.T for name, values in self.measurements.terms.items()}

    @cached_property
    def local_energy(self) -> np.ndarray:
        """Local energies of the evaluation, (chains, steps)."""
        return sum(self.terms.values(), np.zeros(()))

    @cached_property
    def walkers(self) -> Any:
        """Saved configurations (steps, w, ...), or those of the end (1, w, ...).

        One array, or a dict of arrays where a configuration has several. Saved ones
        are those of `SaveSamples`, which `--save-samples` adds.
        """
        files = sorted((self.directory / "samples").glob("[0-9]*.npz"))
        saved = [_arrays(path) for path in files]
        names = [name for name in (saved[0] if saved else ()) if name != "local_energy"]
        found = {name: np.stack([step[name] for step in saved]) for name in names}
        if not saved:
            prefix, leaves = "['sampler'].walkers", self._checkpoint
            paths = [path for path in leaves if path.startswith(prefix)]
            found = {path[len(prefix) :]: leaves[path][None] for path in paths}
        return found[""] if set(found) == {""} else found

    @cached_property
    def inference_data(self) -> Any:
        """Local energy and its terms for ArviZ, as a DataTree with a posterior."""
        return inference_data({"local_energy": self.local_energy} | self.terms)

    @property
    def finished(self) -> bool:
        """Whether the run has written its result."""
        return (self.directory / "result.json").exists()

    @property
    def status(self) -> str:
        """One of finished, running (in a process of this machine) and unfinished."""
        if is_locked(self.directory):
            return "running"
        return "finished" if self.finished else "unfinished"

    @cached_property
    def members(self) -> dict[str, "Run"]:
        """The runs of a series by the name of their subdirectory."""
        paths = sorted(self.directory.glob("*/config.json"), key=_in_order)
        return {path.parent.name: Run(path.parent) for path in paths}

    @cached_property
    def later(self) -> dict[str, dict[str, Any]]:
        """Results of its evaluations and projections, `evaluations/0001` and so on."""
        kinds = ("evaluations", "projections")
        paths = [p for k in kinds for p in self.directory.glob(f"{k}/*/result.json")]
        return {"/".join(path.parts[-3:-1]): read_json(path) for path in sorted(paths)}

    @property
    def missing(self) -> list[str]:
        """Sentences that name the files which are missing or damaged."""
        return list(self._complaints())

    def _complaints(self) -> Iterator[str]:
        of_runs = () if self.members else ("arrays", "later")
        for part in ("config", "result", *of_runs):
            try:
                getattr(self, part)
            except RunError as error:
                yield str(error)
        if self.members:
            return
        if not self.columns:
            yield f"{self.directory / 'metrics.jsonl'} holds no training step"
        try:
            assert self.local_energy is not None
        except RunError as error:
            yield str(error)

    @cached_property
    def _checkpoint(self) -> dict[str, np.ndarray]:
        from nqs.files.checkpoint import leaves  # imports JAX

        return leaves(self.directory / "checkpoints")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as file:
            return {name: file[name] for name in file}
    except FileNotFoundError:
        raise RunError(f"{path} does not exist") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        raise RunError(f"{path} is damaged, or no archive of NumPy") from None


def _in_order(path: Path) -> tuple[float, str]:
    """In the order in which the runs of a series started."""
    return path.stat().st_mtime, path.parent.name

"""Neural quantum states: ansätze, Hamiltonians, samplers and optimizers, composed.

    import nqs

    result = nqs.run(nqs.Experiment(...))

Names are loaded when they are first used, so that `import nqs` costs little more than
`import jax`.
"""

import importlib
import importlib.util
from importlib.metadata import version
from pathlib import Path
from typing import Any

_HOMES = {
    "Ansatz": "nqs.types",
    "Evolution": "nqs.evolution.driver",
    "Experiment": "nqs.runs",
    "Function": "nqs.types",
    "Hamiltonian": "nqs.types",
    "LatticeProjection": "nqs.projection.lattice",
    "LogPsi": "nqs.types",
    "Driver": "nqs.types",
    "Observable": "nqs.types",
    "Optimizer": "nqs.types",
    "Projection": "nqs.projection.continuous",
    "Reference": "nqs.types",
    "Sampler": "nqs.types",
    "SaveSamples": "nqs.runs",
    "Spins": "nqs.space.spins",
    "Step": "nqs.runs",
    "Stop": "nqs.runs",
    "StopAtPlateau": "nqs.runs",
    "StopAtVariance": "nqs.runs",
    "TensorBoard": "nqs.runs",
    "Training": "nqs.runs",
    "VMC": "nqs.vmc",
    "WeightsAndBiases": "nqs.runs",
    "chunked_map": "nqs.batching",
    "configure": "nqs.runs",
    "energy_gradient": "nqs.gradient",
    "estimate": "nqs.statistics",
    "evaluate": "nqs.runs",
    "from_nnx": "nqs.ansatze.nnx",
    "load": "nqs.runs",
    "read": "nqs.runs",
    "run": "nqs.runs",
    "steps": "nqs.runs",
}

__all__ = [*_HOMES]  # pyright: ignore[reportUnsupportedDunderAll]


def _check_neighbors() -> None:
    """Refuse folders that hide the packages installed beside this one."""
    home = Path(__file__).resolve().parents[1]
    for name in ("hamiltonians", "samplers"):
        spec = importlib.util.find_spec(name)
        for found in (spec.submodule_search_locations or ()) if spec else ():
            if Path(found).resolve().parent != home:
                raise ImportError(
                    f"{found} hides the package {name} of nqs; rename that folder, or "
                    "start Python elsewhere"
                )


_check_neighbors()


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("nqs")
    if name not in _HOMES:
        raise AttributeError(f"module 'nqs' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]

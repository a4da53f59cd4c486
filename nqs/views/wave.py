"""Pictures of a wave function: cuts through psi."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nqs.files.config import from_json
from nqs.files.directory import RunError
from nqs.files.reading import Run
from nqs.runs.devices import configure, settings_kept
from nqs.runs.loading import Loaded, load
from nqs.views.densities import Picture, conditional, correlations, extent

POINTS, SIDE = 201, 61  # of a cut along a line, and along a side of a plane


def pictures(run: Run) -> Iterator[Picture]:
    """Cuts of psi with one particle moved, then where the others are.

    Raises:
      RunError: if psi cannot be shown, with the reason.
    """
    if run.config["ansatz"].get("part", "").endswith(":States"):
        raise RunError("psi of several states at once has no cut")
    system = from_json(run.config["hamiltonian"])
    walkers = run.walkers
    particles = isinstance(walkers, np.ndarray) and walkers.ndim == 4
    if particles and np.issubdtype(walkers.dtype, np.floating):
        with settings_kept():
            configure(run.config["precision"])
            yield from cuts(run, system)
            yield from conditional(walkers.reshape(-1, *walkers.shape[2:]), system)
    elif isinstance(walkers, np.ndarray) and walkers.ndim == 3:
        yield correlations(walkers.reshape(-1, walkers.shape[-1]), system)
    else:
        raise RunError("psi is shown for positions or levels of sites only")


def cuts(run: Run, system: Any) -> Iterator[Picture]:
    """Psi with the first particle moved, the others where |psi| is largest."""
    psi = load(run.directory)
    logs = jax.lax.map(lambda x: psi.ansatz.apply(psi.params, x).logabs, psi.walkers)
    best = np.asarray(psi.walkers)[int(np.argmax(logs))]
    n, d = best.shape
    ends = extent(np.asarray(psi.walkers), system)
    unit, box = system.length_unit, getattr(system, "box", None)
    if box is not None:
        best = np.asarray(box.nearest_image(jnp.asarray(best)))

    psi_at = amplitudes(psi, best)
    x = np.linspace(*ends, POINTS)
    line = np.tile(best[0], (POINTS, 1))
    line[:, 0] = x
    along, curves = psi_at(line), ("psi",)
    rows = along[None]
    if np.iscomplexobj(along):
        rows = np.stack([np.real(along), np.imag(along)])
        curves = "real part", "imaginary"
    axes = f"x of particle 1 ({unit})", "psi / largest |psi|"
    title = "One particle moved along x" + (", the others held" if n > 1 else "")
    yield Picture(title, axes, x, rows, None, best[1:, 0], curves)
    if d > 1:
        x = np.linspace(*ends, SIDE)
        plane = np.tile(best[0], (SIDE, SIDE, 1))
        plane[..., 0], plane[..., 1] = np.meshgrid(x, x, indexing="ij")
        found = psi_at(plane.reshape(-1, d)).reshape(SIDE, SIDE)
        found = np.abs(found) if np.iscomplexobj(found) else found
        title = title.replace("along x", "in x, y")
        axes = f"x ({unit})", f"y ({unit})"
        yield Picture(title, axes, x, x, found, best[1:, :2])


def amplitudes(psi: Loaded, x: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Psi over its largest size, as a function of points (k, d) of particle 1 of x."""

    @jax.jit
    def values(points: jax.Array) -> tuple[jax.Array, jax.Array]:
        def value(point):
            found = psi(jnp.asarray(x).at[0].set(point))
            return found.sign, found.logabs

        return jax.lax.map(value, points, batch_size=256)

    def psi_at(points: np.ndarray) -> np.ndarray:
        sign, logabs = values(jnp.asarray(points, x.dtype))
        return np.asarray(sign) * np.exp(np.asarray(logabs) - np.max(logabs))

    return psi_at

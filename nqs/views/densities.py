"""Where the other particles are when one is here, from walkers."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

BINS = 40  # along a side of a conditional density
SLICES = 5  # positions of the particle that is held


class Picture(NamedTuple):
    """Values on a line or a plane.

    Attributes:
      title: of the picture.
      axes: labels of one or two axes.
      x: (k,) points along the first axis.
      y: (k,) points along the second axis, or (c, k) curves.
      values: (k, l) on a plane; None on a line.
      marks: (m, 2) or (m,) positions of other particles.
      curves: names of the curves.
    """

    title: str
    axes: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    values: np.ndarray | None = None
    marks: np.ndarray | None = None
    curves: tuple[str, ...] = ()


def extent(walkers: np.ndarray, system: Any) -> tuple[float, float]:
    """Ends of a cut: the box, or the range of the walkers."""
    box = getattr(system, "box", None)
    if box is not None:
        length = float(np.linalg.norm(box.vectors[0]))
        return -length / 2, length / 2
    reach = 1.2 * float(np.quantile(np.abs(walkers), 0.999))
    return -reach, reach


def conditional(walkers: np.ndarray, system: Any) -> Iterator[Picture]:
    """Where the others are when one particle is here, (w, n, d) walkers.

    In a box the one is moved to the origin. In a trap of two or more dimensions it is
    turned onto the first axis, at several distances from the center.
    """
    n, d = walkers.shape[1:]
    if n < 2:
        return
    one, others = separated(walkers)
    ends, unit = extent(walkers, system), system.length_unit
    box = getattr(system, "box", None)
    if box is not None:
        apart = others - one[:, None]
        apart = np.asarray(jax.vmap(jax.vmap(box.nearest_image))(jnp.asarray(apart)))
        yield density("Others around one particle", apart[..., :2], ends, unit, None)
        return
    if d > 1:
        one, others = turned(one, others)
    edges = np.quantile(one[:, 0], np.linspace(0.02, 0.98, SLICES + 1))
    for low, high in zip(edges, edges[1:], strict=False):
        inside = (one[:, 0] >= low) & (one[:, 0] <= high)
        here = float(np.median(one[inside, 0]))
        where = f"{'r' if d > 1 else 'x'} = {here:.2f} {unit}"
        title = f"The others when one particle is at {where}"
        yield density(title, others[inside][..., :2], ends, unit, here)


def separated(walkers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each particle in turn (w n, d), and the others (w n, n - 1, d)."""
    n = walkers.shape[1]
    others = [np.delete(walkers, i, axis=1) for i in range(n)]
    return np.concatenate(np.moveaxis(walkers, 1, 0)), np.concatenate(others)


def turned(one: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotated so that one is on the first axis; second axis: signed distance from it.

    In three dimensions the sign is that of the first perpendicular component.
    """
    r = np.linalg.norm(one, axis=-1)
    along = np.einsum("...d,...kd->...k", one / r[:, None], others)
    rest = others - along[..., None] * (one / r[:, None])[:, None]
    if one.shape[1] == 2:
        x, y = np.moveaxis(one / r[:, None], -1, 0)[..., None]
        across = x * others[..., 1] - y * others[..., 0]
    else:
        across = np.linalg.norm(rest, axis=-1) * np.sign(rest[..., 0])
    return r[:, None], np.stack([along, across], axis=-1)


def density(title: str, positions: Any, ends: Any, unit: str, here: Any) -> Picture:
    """A histogram of the positions (w, k, 1 or 2) on a line or a plane."""
    points = positions.reshape(-1, positions.shape[-1])
    # some samples in each bin of the middle
    n_bins = np.clip(2 * np.cbrt(len(points)), 8, BINS)
    bins = np.linspace(ends[0], ends[1], int(n_bins) + 1)
    centers = (bins[1:] + bins[:-1]) / 2
    mark = np.array([here or 0.0])
    if points.shape[1] == 1:
        found = np.histogram(points[:, 0], bins, density=True)[0]
        axes = f"x ({unit})", "density of the others"
        return Picture(title, axes, centers, found[None], None, mark, ("density",))
    found = np.histogram2d(points[:, 0], points[:, 1], bins, density=True)[0]
    axes = f"along the one ({unit})", f"across ({unit})"
    axes = axes if here is not None else (f"x ({unit})", f"y ({unit})")
    marks = np.array([[mark[0], 0.0]])
    return Picture(title, axes, centers, centers, found, marks)


def correlations(levels: np.ndarray, system: Any) -> Picture:
    """Correlation <l_i l_j> - <l_i><l_j> of the levels (w, s) of two sites.

    A mean over all pairs at one displacement in a periodic chain or square, and with
    the first site elsewhere.
    """
    deviations = levels - levels.mean(axis=0)
    found = deviations.T @ deviations / len(levels)
    lattice: Any = getattr(system, "lattice", None)
    extent = getattr(lattice, "extent", (len(found),))
    alike = getattr(lattice, "periodic", False) and lattice.kind != "triangular"
    axes = tuple(range(len(extent)))
    rows = [row.reshape(extent) for row in found]
    if alike:
        starts = np.ndindex(*extent)
        pairs = zip(rows, starts, strict=True)
        rows = [
            np.mean([np.roll(r, [-i for i in at], axes) for r, at in pairs], axis=0)
        ]
    title = "Correlation of the levels of two sites"
    title += "" if alike else ", one the first"
    points = [np.arange(length) * 1.0 for length in extent]
    if len(extent) == 2:
        labels = "x apart (sites)", "y apart (sites)"
        return Picture(title, labels, points[0], points[1], rows[0])
    labels = "apart (sites)", "correlation"
    return Picture(
        title, labels, points[0], rows[0][None], None, None, ("correlation",)
    )

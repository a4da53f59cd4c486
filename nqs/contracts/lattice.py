"""Checks of a lattice model, and of the moves of its sampler, on a few walkers."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nqs.checks import name_of
from nqs.contracts.psi import CONFIGURATIONS, called, is_traced
from nqs.ratios.rows import MatrixRows
from nqs.types import Hamiltonian, Sampler, Walkers

NEIGHBORS = 8  # configurations x' whose rows are compared with that of x
MOVES = 64  # of a sweep


def check_moves(
    sampler: Sampler,
    hamiltonian: Hamiltonian,
    walkers: Walkers,
    call: Callable = called,
) -> None:
    """Accept the first moves of a sweep, and look for levels and sums that are wrong.

    Nothing is checked of samplers without a `move`, of particles or of traced walkers.

    Raises:
      ValueError: if the move leaves the levels or the conserved sums of the system.
    """
    move: Any = getattr(sampler, "move", None)
    levels = getattr(hamiltonian, "levels", None)
    if not hasattr(move, "sweep") or levels is None or is_traced(walkers):
        return
    if (found := getattr(move, "levels", levels)) != levels:
        raise ValueError(
            f"levels of {name_of(move)} must equal that of {name_of(hamiltonian)}, "
            f"{levels}, got {found}"
        )
    few = jnp.asarray(walkers[:CONFIGURATIONS])

    def moved(x):
        sites = move.sweep(jax.random.key(0), x)[:MOVES]
        u = jax.random.uniform(jax.random.key(1), sites.shape[:1])

        def one(x, step):
            sites, u = step
            x = x.at[sites].set(move(u, x, sites)[0])
            return x, x

        return jax.lax.scan(one, x, (sites, u))[1]

    there = np.concatenate(call(jax.vmap(moved), few))
    _check_configurations(f"move of the sampler, {name_of(move)},", hamiltonian, there)


def check_rows(hamiltonian: Any, walkers: Walkers, call: Callable = called) -> None:
    """Compare the rows of a few configurations x with those of some connected x'.

    Nothing is checked of systems side by side, or of traced walkers.

    Raises:
      ValueError: if a row has the wrong shape, leaves the levels or the conserved sums
        of the system, or if the matrix is not Hermitian.
    """
    side_by_side = hasattr(hamiltonian, "system")
    if not isinstance(hamiltonian, MatrixRows) or side_by_side or is_traced(walkers):
        return
    name = f"connected of {name_of(hamiltonian)}"
    x = np.asarray(walkers[:CONFIGURATIONS])
    _check_shapes(name, jax.eval_shape(hamiltonian.connected, x[0]))
    rows = jax.vmap(hamiltonian.connected)
    pairs = []
    for start, there, element in _entries(name, hamiltonian, call(rows, x), x):
        chosen = np.flatnonzero(element)
        chosen = chosen[:: max(1, len(chosen) // NEIGHBORS)][:NEIGHBORS]
        for k in chosen:
            same = np.all(there == there[k], axis=1)
            pairs.append((start, there[k], element[same].sum()))
    if not pairs:
        return
    ends = np.stack([end for _, end, _ in pairs])
    back = _entries(name, hamiltonian, call(rows, ends), ends)
    for (start, end, forth), (_, there, element) in zip(pairs, back, strict=True):
        reverse = element[np.all(there == start, axis=1)].sum()
        if abs(forth - np.conj(reverse)) > 1e-5 * (1 + abs(forth)):
            raise ValueError(
                f"{name} must be Hermitian, got <x|H|x'> = {forth:.6g} and <x'|H|x> = "
                f"{reverse:.6g} for x = {start.tolist()} and x' = {end.tolist()}"
            )


def _check_shapes(name: str, found: Any) -> None:
    """Raise a ValueError unless a row has the shapes of `Connected`."""
    fields = (getattr(found, f, None) for f in ("sites", "values", "elements"))
    shapes = [getattr(field, "shape", ()) for field in fields]
    if len(shapes[0]) != 2 or shapes[1:] != [shapes[0], shapes[0][:1]]:
        raise ValueError(
            f"{name} must give sites (c, k), values (c, k) and elements (c,), got the "
            f"shapes {', '.join(map(str, shapes))}"
        )


def _entries(
    name: str, hamiltonian: Any, row: Any, x: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Each x (s,) of (w, s) with configurations (c, s) and elements (c,) of its row."""
    for start, *of_row in zip(x, row.sites, row.values, row.elements, strict=True):
        sites, values, element = map(np.asarray, of_row)
        ordered = np.sort(sites[element != 0], axis=1)
        if (twice := np.any(ordered[:, 1:] == ordered[:, :-1], axis=1)).any():
            raise ValueError(
                f"sites of {name} must differ within an element, got "
                f"{ordered[twice][0].tolist()}; pad with a site that keeps its level"
            )
        there = np.repeat(start[None], len(sites), axis=0)
        np.put_along_axis(there, sites, values, axis=1)
        _check_configurations(name, hamiltonian, there[element != 0])
        yield start, there, element


def _check_configurations(what: str, hamiltonian: Any, x: np.ndarray) -> None:
    """Raise a ValueError unless levels and conserved sums of x (c, s) are allowed."""
    levels = getattr(hamiltonian, "levels", math.inf)
    totals, name = getattr(hamiltonian, "totals", ()), name_of(hamiltonian)
    if x.size and (x.min() < 0 or x.max() >= levels):
        wrong = x[np.any((x < 0) | (x >= levels), axis=1)][0]
        raise ValueError(
            f"{what} must keep the levels 0 to {levels - 1} of {name}, got "
            f"{wrong.tolist()}"
        )
    if not (totals and x.size):
        return
    sums = x.reshape(len(x), len(totals), -1).sum(axis=2)
    if (differ := np.any(sums != np.array(totals), axis=1)).any():
        raise ValueError(
            f"{what} must keep the sums of the levels that {name} conserves, "
            f"{totals}, got {tuple(map(int, sums[differ][0]))}"
        )

"""Checks of samplers, walkers and observables against the other parts."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from nqs.capabilities import implemented_by
from nqs.checks import name_of
from nqs.contracts.lattice import check_moves, check_rows
from nqs.contracts.psi import called, check_symmetry, is_real
from nqs.types import (
    Ansatz,
    DerivedObservable,
    Hamiltonian,
    Observable,
    Params,
    Sampler,
    Walkers,
)


def check_instances(**parts: Any) -> None:
    """Refuse a class where an object of it belongs: Metropolis for Metropolis()."""
    for field, part in parts.items():
        if isinstance(part, type):
            name = part.__name__
            raise ValueError(f"{field} must be an object, {name}() say, got {name}")


def check_numbers(
    ansatz: Ansatz,
    hamiltonian: Hamiltonian,
    sampler: Sampler,
    params: Params,
    walkers: Walkers,
    call: Callable = called,
) -> None:
    """Check psi, moves and rows on a few walkers; nothing if traced.

    `call(f, *arguments)` evaluates f, so that a run compiles it.

    Raises:
      ValueError: if psi lacks a symmetry of the system, a move leaves its
        configurations, or its matrix is not Hermitian.
    """
    check_rows(hamiltonian, walkers, call)
    check_moves(sampler, hamiltonian, walkers, call)
    check_symmetry(ansatz, hamiltonian, params, walkers, call)


def check_kind(sampler: Sampler, hamiltonian: Hamiltonian, x: Any) -> None:
    """Refuse a sampler of particles on a lattice, and vice versa."""
    found = "lattice"
    if any(map(is_real, jax.tree.leaves(x))):
        found = "particles"
    wanted = getattr(sampler, "kind", found)
    if wanted != found:
        fitting = "SiteMetropolis" if found == "lattice" else "Metropolis or Langevin"
        raise ValueError(
            f"sampler must be one of {found}, such as {fitting}, for "
            f"{name_of(hamiltonian)}, got {name_of(sampler)} of {wanted}"
        )


def check_capability(sampler: Sampler, ansatz: Ansatz) -> None:
    """Refuse an ansatz without the capability that the sampler requires."""
    needed = sampler.requires
    if needed is not None and not isinstance(ansatz, needed):
        known = " or ".join(implemented_by(needed)) or "one of your own"
        raise ValueError(
            f"ansatz must have a {needed.__name__}, such as {known}, for "
            f"{name_of(sampler)}, got {name_of(ansatz)}"
        )


def check_walkers(
    hamiltonian: Hamiltonian, walkers: Walkers, n_walkers: int | None = None
) -> None:
    """Compare the shape of walkers with the particles or sites of the Hamiltonian.

    Args:
      hamiltonian: the system.
      walkers: (w, n, d) of particles, (w, s) of a lattice; other trees of arrays have
        a leading axis each.
      n_walkers: their number, if it is known.

    Raises:
      ValueError: if the number of walkers, particles or sites differs.
    """
    name = name_of(hamiltonian)
    for leaf in jax.tree.leaves(walkers):
        if n_walkers is not None and leaf.shape[:1] != (n_walkers,):
            raise ValueError(
                f"initial_walkers of {name} must give {n_walkers} walkers, got an "
                f"array of shape {leaf.shape}"
            )
    alone = hasattr(walkers, "shape") and not hasattr(hamiltonian, "system")
    if not alone:
        return
    if is_real(walkers):
        wanted = f"(w, {hamiltonian.n}, d)"
        fits = walkers.shape[1:2] == (hamiltonian.n,)
    else:
        size = getattr(hamiltonian, "size", None)
        wanted, fits = f"(w, {size})", size is None or walkers.shape[1:] == (size,)
    if not fits:
        raise ValueError(
            f"walkers must have the shape {wanted} for {name}, whose n is "
            f"{hamiltonian.n}, got {walkers.shape}"
        )


def check_observables(
    observables: Sequence[Observable], ansatz: Ansatz, params: Params, x: Any
) -> None:
    """Compare names and shapes of observables, of arrays or of shapes alone.

    Raises:
      ValueError: if a name is missing or occurs twice, or a value has not the shape
        that its grid tells.
    """
    check_names(observables)
    for observable in observables:
        found = jax.eval_shape(lambda p, x, f=observable: f(ansatz, p, x), params, x)
        shape: Any = getattr(found, "shape", (None,))
        if (grid := observable.grid) is None:
            fits = shape == () or isinstance(observable, DerivedObservable)
            wanted = "() without a grid"
        else:
            points = np.shape(grid)
            points = points[:-1] if len(points) > 1 else points
            fits = shape[-len(points) :] == points and len(shape) <= len(points) + 1
            curves = " or (c, k)" if len(points) == 1 else ""
            wanted = f"{points}{curves} on its grid of shape {np.shape(grid)}"
        if not fits:
            shown = jax.tree.map(lambda leaf: leaf.shape, found)
            raise ValueError(
                f"observable {observable.name!r} must have the shape {wanted}, got "
                f"{shown}"
            )


def check_names(observables: Sequence[Observable]) -> None:
    """Refuse observables without a name, or with that of another number."""
    if not isinstance(observables, tuple | list):
        raise ValueError(
            f"observables must be a tuple, (NAME(),) say, got {name_of(observables)}"
        )
    taken = {"v_score": "the V-score of every run"}
    for i, observable in enumerate(observables):
        check_instances(**{f"observables[{i}]": observable})
        name, kind = getattr(observable, "name", None), name_of(observable)
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(
                f"name of observables[{i}], {kind}, must be text without '/', got "
                f"{name!r}"
            )
        if not callable(observable) or not hasattr(observable, "grid"):
            raise ValueError(
                f"observable {name!r} must be callable as f(ansatz, params, x), and "
                f"have a grid, None for a scalar, got {kind}"
            )
        endings = ("",) if observable.grid is None else ("", "_error", "_grid")
        for each in (name + ending for ending in endings):
            if each in taken:
                raise ValueError(
                    f"observable {name!r} must have a name of its own: {each!r} is "
                    f"that of {taken[each]}"
                )
            taken[each] = kind

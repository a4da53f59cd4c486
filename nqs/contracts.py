"""Checks of a wave function against its Hamiltonian, before anything compiles.

By field: where both have `n_up`, `omega`, `box`, `twist` or `levels`, they are equal.
Numerically, for any wave function, on a few random configurations: psi is finite; an
exchange of two fermions of equal spin changes its sign; a translation of one particle
by the lattice vector a gives the phase exp(2 pi i twist_a). A boson's wave function
need not be symmetric, as the lowest energy of all functions is that of bosons.
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer

from nqs.types import Ansatz, Hamiltonian, LogPsi, Params, Walkers

FIELDS = ("n_up", "omega", "box", "twist", "levels")
CONFIGURATIONS = 3


def check_fields(ansatz: Ansatz, hamiltonian: Hamiltonian) -> None:
    """Compare the fields that an ansatz shares with the Hamiltonian.

    Fields of ansätze within the ansatz count as well; None means unspecified.

    Raises:
      ValueError: if a field differs, naming it and both values.
    """
    for part in _parts(ansatz):
        for name in FIELDS:
            here, there = getattr(part, name, None), getattr(hamiltonian, name, None)
            if here is None or there is None or _same(here, there):
                continue
            raise ValueError(
                f"{name} of {type(part).__name__} must equal that of "
                f"{type(hamiltonian).__name__}, {there!r}, got {here!r}; check=False "
                "skips this check"
            )


def check_symmetry(
    ansatz: Ansatz, hamiltonian: Hamiltonian, params: Params, walkers: Walkers
) -> None:
    """Compare psi at a few walkers with psi at exchanged and translated ones.

    Raises:
      ValueError: if psi is not finite, not antisymmetric or not periodic.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(walkers)):
        return
    n_walkers = jax.tree.leaves(walkers)[0].shape[0]
    for w in range(min(CONFIGURATIONS, n_walkers)):
        x = jax.tree.map(lambda leaf, w=w: leaf[w], walkers)
        psi = ansatz.apply(params, x)
        if not (np.isfinite(psi.logabs) and np.isfinite(psi.sign)):
            raise ValueError(
                f"psi of {type(ansatz).__name__} must be finite and not zero, got "
                f"sign {psi.sign} and logabs {psi.logabs} at a random configuration"
            )
        for kind, there, phase in _images(hamiltonian, x):
            found = ansatz.apply(params, there)
            if not _agree(found, psi, phase):
                ratio = found.sign * jnp.conj(psi.sign)
                ratio = ratio * jnp.exp(found.logabs - psi.logabs)
                raise ValueError(
                    f"psi of {type(ansatz).__name__} must change by a factor "
                    f"{phase:.4g} under {kind}, as {type(hamiltonian).__name__} "
                    f"requires, got {complex(ratio):.4g}; check=False skips this check"
                )


def _parts(ansatz: Any) -> Iterator[Any]:
    """The ansatz and those in its fields."""
    yield ansatz
    if not dataclasses.is_dataclass(ansatz):
        return
    for field in dataclasses.fields(ansatz):
        value = getattr(ansatz, field.name, None) if field.name != "parent" else None
        for item in value if isinstance(value, tuple) else (value,):
            if hasattr(item, "apply") and dataclasses.is_dataclass(item):
                yield from _parts(item)


def _same(here: Any, there: Any) -> bool:
    try:
        one, other = (np.asarray(v, float) for v in (here, there))
    except (TypeError, ValueError):
        return here == there
    try:  # one frequency stands for that of every axis
        return bool(np.allclose(*np.broadcast_arrays(one, other), rtol=1e-12))
    except ValueError:
        return False


def _images(hamiltonian: Any, x: Any) -> Iterator[tuple[str, Any, complex]]:
    """Configurations related to x by symmetry, and the factors of psi."""
    for i, j in _equal_pairs(hamiltonian, x):
        order = np.arange(hamiltonian.n)
        order[[i, j]] = j, i
        swapped = jax.tree.map(lambda leaf, order=order: leaf[order], x)
        yield f"an exchange of the equal particles {i} and {j}", swapped, -1.0
    box, twist = getattr(hamiltonian, "box", None), getattr(hamiltonian, "twist", None)
    if box is None:
        return
    for axis, vector in enumerate(box.vectors):
        angle = 2 * math.pi * (twist[axis] if twist is not None else 0.0)
        phase = complex(math.cos(angle), math.sin(angle)) if angle else 1.0
        first = jnp.asarray(vector, jax.tree.leaves(x)[0].dtype)

        def moved(leaf, first=first):
            is_positions = jnp.issubdtype(leaf.dtype, jnp.floating)
            return leaf.at[0].add(first) if is_positions else leaf

        yield f"a translation by lattice vector {axis}", jax.tree.map(moved, x), phase


def _equal_pairs(hamiltonian: Any, x: Any) -> list[tuple[int, int]]:
    """One pair of fermions of equal spin, for each spin that has two."""
    n_up, n = getattr(hamiltonian, "n_up", None), hamiltonian.n
    if n_up is None:
        return []
    if not isinstance(x, Array):  # particles carry their spins: all may be exchanged
        return [(0, n - 1)] if n > 1 else []
    firsts = ((0, n_up), (n_up, n))
    return [(start, start + 1) for start, end in firsts if end - start >= 2]


def _agree(found: LogPsi, psi: LogPsi, phase: complex) -> bool:
    """Whether found = phase psi, up to the rounding of the positions."""
    tolerance = float(np.finfo(psi.logabs.dtype).eps) ** 0.4
    turned = found.sign - phase * psi.sign
    apart = found.logabs - psi.logabs
    scale = 1.0 + abs(float(psi.logabs))
    return bool(
        abs(complex(turned)) <= tolerance * scale
        and abs(float(apart)) <= tolerance * scale
    )

"""Checks of a wave function against its Hamiltonian, before anything compiles.

By field: where both have `spins`, `omega`, `box`, `twist`, `levels`, `totals`,
`nuclei`, `lattice` or `marshall`, they are equal, and a lattice and a graph have as
many sites.
Numerically, on a few random configurations: psi is finite; an exchange of two fermions
of equal spin changes its sign; a translation of one particle by the lattice vector a
multiplies it by exp(2 pi i twist_a); a translation of all leaves psi unchanged where
the Hamiltonian is `translation_invariant`. Symmetry is not required of bosons, whose
ground state is the lowest of all functions, unless they are in several states.
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nqs.space.lattice import Sites
from nqs.types import Ansatz, Hamiltonian, LogPsi, Params, Walkers

# Fields that tell the configurations and the signs of psi, and the forces.
SPACE = ("spins", "box", "twist", "levels", "totals", "lattice", "marshall")
FORCES = ("omega", "nuclei")
CONFIGURATIONS = 3


def check_fields(
    ansatz: Ansatz, hamiltonian: Hamiltonian, fields: tuple[str, ...] = SPACE + FORCES
) -> None:
    """Compare the fields that an ansatz, or one within it, shares with the Hamiltonian.

    None means unspecified.

    Raises:
      ValueError: if a field differs.
    """
    # one of many side by side
    hamiltonian = getattr(hamiltonian, "system", hamiltonian)
    for part in _parts(ansatz):
        for name in fields:
            here, there = getattr(part, name, None), getattr(hamiltonian, name, None)
            if here is None or there is None or _same(here, there):
                continue
            raise ValueError(
                f"{name} of {type(part).__name__} must equal that of "
                f"{type(hamiltonian).__name__}, {there!r}, got {here!r}; check=False "
                "skips this check"
            )


def called(f: Callable, *arguments: Any) -> Any:
    """`f(*arguments)`."""
    return f(*arguments)


def check_symmetry(
    ansatz: Ansatz,
    hamiltonian: Hamiltonian,
    params: Params,
    walkers: Walkers,
    call: Callable = called,
) -> None:
    """Compare psi at a few walkers with psi at exchanged and translated ones.

    Nothing is compared where parameters or walkers are traced. `call(f, *arguments)`
    evaluates f, so that a run compiles it.

    Raises:
      ValueError: if psi is not finite, not antisymmetric or not periodic.
    """
    if is_traced((params, walkers)):
        return
    few = jax.device_get(jax.tree.map(lambda leaf: leaf[:CONFIGURATIONS], walkers))
    images = [("no change", few, 1.0), *_images(hamiltonian, few)]
    stacked = jax.tree.map(lambda *x: np.stack(x), *(image for _, image, _ in images))
    psi_of_all = jax.vmap(jax.vmap(ansatz.apply, (None, 0)), (None, 0))
    values = jax.device_get(call(psi_of_all, params, stacked))
    name, system = type(ansatz).__name__, type(hamiltonian).__name__
    for w in range(values.logabs.shape[1]):
        psi = LogPsi(values.sign[0, w], values.logabs[0, w])
        if hasattr(hamiltonian, "system") and psi.sign == 0:
            continue  # two of the systems have the same configuration
        _check_value(psi, name, system)
        for i, (kind, _, phase) in enumerate(images):
            found = LogPsi(values.sign[i, w], values.logabs[i, w])
            if not _agree(found, psi, phase):
                raise ValueError(
                    f"psi of {name} must change by a factor {phase:.4g} under {kind}, "
                    f"as {system} requires, got {complex(found.over(psi)):.4g}; "
                    "check=False skips this check"
                )


def _check_value(psi: LogPsi, name: str, system: str) -> None:
    """Raise a ValueError if psi is not finite, zero or has a sign of another size."""
    if not (np.isfinite(psi.logabs) and np.isfinite(psi.sign)):
        raise ValueError(
            f"psi of {name} must be finite and not zero, got sign {psi.sign} and "
            f"logabs {psi.logabs} at a random configuration of {system}; it is "
            "zero where the sums of its levels or its symmetry are not those of "
            "the system; check=False skips this check"
        )
    if abs(abs(complex(psi.sign)) - 1) > _tolerance(psi):
        raise ValueError(
            f"sign of {name} must have modulus 1, got {complex(psi.sign):.4g}: psi "
            "= sign * exp(logabs)"
        )


def check_parameters(ansatz: Ansatz, params: Params, x: Any) -> None:
    """Refuse Flax collections that are not parameters; warn of a lower precision."""
    name = type(ansatz).__name__
    if isinstance(params, Mapping) and "params" in params and len(params) > 1:
        others = ", ".join(repr(key) for key in params if key != "params")
        raise ValueError(
            f"{name} must have no Flax collection but 'params', got {others}: psi may "
            "depend on its parameters and one configuration only"
        )
    here = {leaf.dtype for leaf in jax.tree.leaves(params)}
    floating = [leaf.dtype for leaf in jax.tree.leaves(x) if is_real(leaf)]
    wanted = floating[0] if floating else jnp.result_type(float)
    bits = jnp.finfo(wanted).bits
    if lower := [kind for kind in here if jnp.finfo(kind).bits < bits]:
        warnings.warn(
            f"parameters of {name} are {lower[0]} in a {wanted} run; set "
            f"param_dtype={wanted} in its layers for full precision",
            stacklevel=2,
        )


def check_log_psi(ansatz: Ansatz, params: Params, x: Any) -> None:
    """Refuse an ansatz whose output is not a LogPsi of two scalars."""
    name = type(ansatz).__name__
    try:
        found: Any = jax.eval_shape(ansatz.apply, params, x)
    except Exception as error:
        if type(error).__name__ != "InvalidRngError":
            raise
        raise ValueError(
            f"psi of {name} must be deterministic, got random numbers, as of Dropout"
        ) from None
    shapes = [leaf.shape for leaf in jax.tree.leaves(found)]
    if not isinstance(found, LogPsi) or shapes != [(), ()]:
        shown = jax.tree.map(lambda leaf: f"{leaf.dtype}{[*leaf.shape]}", found)
        raise ValueError(
            f"psi of {name} must be LogPsi(sign, logabs), both of shape (), got {shown}"
        )
    if not is_real(found.logabs):
        raise ValueError(
            f"logabs of {name} must be real, got {found.logabs.dtype}; the phase of a "
            "complex psi belongs to the sign"
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if not is_real(leaf):
            raise ValueError(
                f"parameter {jax.tree_util.keystr(path)} of {name} must be real, got "
                f"{leaf.dtype}; write a complex weight as two real ones"
            )


def is_traced(tree: Any) -> bool:
    """Whether JAX traces a part of a tree, so that it has no numbers."""
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(tree))


def is_real(leaf: Any) -> bool:
    """Whether an array holds real numbers, not integers."""
    return jnp.issubdtype(leaf.dtype, jnp.floating)


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
    if isinstance(here, Sites) and type(here) is not type(there):
        return here.n == getattr(there, "n", None)  # with other bonds, if it is a graph
    try:
        one, other = (np.asarray(v, float) for v in (here, there))
    except (TypeError, ValueError):
        return here == there
    if one.ndim and other.ndim and one.shape != other.shape:
        return False
    try:  # one frequency stands for that of every axis
        return bool(np.allclose(*np.broadcast_arrays(one, other), rtol=1e-12))
    except ValueError:
        return False


def _images(hamiltonian: Any, walkers: Any) -> Iterator[tuple[str, Any, complex]]:
    """Walkers related to those given by symmetry, and the factors of psi."""
    if hasattr(hamiltonian, "system"):
        yield from _images_of_systems(hamiltonian, walkers)
        return
    for start, end in _equal_particles(hamiltonian, walkers):
        # an exchange and a cycle generate all permutations
        order = np.arange(hamiltonian.n)
        order[[start, end - 1]] = end - 1, start
        swapped = jax.tree.map(lambda leaf, order=order: leaf[:, order], walkers)
        pair = f"{start} and {end - 1}"
        yield f"an exchange of the equal particles {pair}", swapped, -1.0
        if end - start > 2:
            order = np.arange(hamiltonian.n)
            order[start:end] = np.roll(order[start:end], 1)
            turned = jax.tree.map(lambda leaf, order=order: leaf[:, order], walkers)
            kind = f"a cycle of the equal particles {start} to {end - 1}"
            yield kind, turned, (-1.0) ** (end - start - 1)
    if getattr(hamiltonian, "translation_invariant", False):

        def shifted(leaf):
            return leaf + hamiltonian.length_scale if is_real(leaf) else leaf

        image = jax.tree.map(shifted, walkers)
        yield "a translation of all particles", image, 1.0
    box, twist = getattr(hamiltonian, "box", None), getattr(hamiltonian, "twist", None)
    if box is None:
        return
    for axis, vector in enumerate(box.vectors):
        angle = 2 * math.pi * (twist[axis] if twist is not None else 0.0)
        phase = complex(math.cos(angle), math.sin(angle)) if angle else 1.0

        def moved(leaf, vector=vector):
            if not is_real(leaf):
                return leaf
            first = np.arange(leaf.shape[1])[:, None] == 0  # the particle that moves
            return leaf + (first * vector).astype(leaf.dtype)

        image = jax.tree.map(moved, walkers)
        yield f"a translation by lattice vector {axis}", image, phase


def _images_of_systems(
    hamiltonian: Any, walkers: Any
) -> Iterator[tuple[str, Any, complex]]:
    """The images of the first of many systems side by side; bosons are symmetric."""
    one = hamiltonian.system
    first = jax.tree.map(
        lambda leaf: leaf[:, : leaf.shape[1] // hamiltonian.count], walkers
    )
    images = [*_images(one, first)]
    bosons = getattr(one, "spins", None) is None and isinstance(walkers, np.ndarray)
    if bosons and is_real(walkers) and one.n > 1:
        order = np.array([1, 0, *range(2, one.n)])
        images.append(("an exchange of bosons", first[:, order], 1.0))
    for kind, image, phase in images:
        joined = jax.tree.map(
            lambda old, new: np.concatenate([new, old[:, new.shape[1] :]], axis=1),
            walkers,
            image,
        )
        yield kind, joined, phase


def _equal_particles(hamiltonian: Any, walkers: Any) -> list[tuple[int, int]]:
    """First particle and end of the fermions of each spin that has two."""
    spins, n = getattr(hamiltonian, "spins", None), hamiltonian.n
    if spins is None:
        return []
    if not isinstance(walkers, np.ndarray):
        # particles carry their spins: all may be exchanged
        return [(0, n)] if n > 1 else []
    groups = ((0, spins.up), (spins.up, n))
    return [(start, end) for start, end in groups if end - start >= 2]


def _agree(found: LogPsi, psi: LogPsi, phase: complex) -> bool:
    """Whether found = phase psi, up to the rounding of the positions."""
    turned = abs(complex(found.sign - phase * psi.sign))
    apart = abs(float(found.logabs - psi.logabs))
    return max(turned, apart) <= _tolerance(psi) * (1 + abs(float(psi.logabs)))


def _tolerance(psi: LogPsi) -> float:
    """Of rounding, relative."""
    return float(np.finfo(psi.logabs.dtype).eps) ** 0.4

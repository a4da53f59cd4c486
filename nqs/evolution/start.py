"""The beginning of an evolution: a complex psi, its system and its walkers."""

import dataclasses
import difflib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nqs.ansatze.complex_parameters import (
    Shifted,
    complex_parameters,
    with_imaginary,
)
from nqs.evolution.settings import EvolutionSettings, assignments
from nqs.runs.compilation import once
from nqs.types import Ansatz, Hamiltonian, Params, Walkers


def quenched(hamiltonian: Hamiltonian, settings: EvolutionSettings) -> Hamiltonian:
    """The Hamiltonian after time zero.

    Raises:
      ValueError: if the system is classical or several systems side by side, or a field
        is unknown or changes the configurations.
    """
    if hasattr(hamiltonian, "system") or hasattr(hamiltonian, "temperature"):
        raise ValueError(
            "hamiltonian must be that of one quantum system to evolve in time, got "
            f"{type(hamiltonian).__name__}"
        )
    changes = assignments("quench", settings.quench)
    fields: list[Any] = list(dataclasses.fields(hamiltonian))  # type: ignore
    known = [field.name for field in fields]
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1) or known
            raise ValueError(f"quench must change {' or '.join(near)}, got {name!r}")
    try:
        changed: Any = dataclasses.replace(hamiltonian, **changes)  # type: ignore
    except TypeError as error:
        raise ValueError(f"quench must keep the kinds of all fields: {error}") from None

    def walkers(system):
        found = jax.eval_shape(lambda key: system.initial_walkers(key, 2), KEY)
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), found)

    if walkers(changed) != walkers(hamiltonian):
        raise ValueError(
            "quench must keep the number of particles, dimensions or sites, got "
            f"{', '.join(settings.quench)}"
        )
    return changed


KEY = jax.eval_shape(lambda: jax.random.key(0))


def complex_psi(
    ansatz: Ansatz, params: Params, walkers: Walkers, shift: tuple[float, ...]
) -> tuple[Ansatz, Params]:
    """A complex psi that is equal to that of the run, up to the shift of particles.

    Raises:
      ValueError: if psi has no parameters, cannot be shifted, or is real and not an
        analytic function of its parameters.
    """
    if not jax.tree.leaves(params):
        raise ValueError(
            "ansatz must have parameters to evolve in time, got none in "
            f"{type(ansatz).__name__}"
        )
    x = jax.tree.map(lambda leaf: leaf[0], walkers)
    if shift:
        ansatz, params = shifted(ansatz, params, x, shift)
    if jnp.iscomplexobj(jax.eval_shape(ansatz.apply, params, x).sign):
        return ansatz, params
    check_analytic(ansatz, params, x)
    return complex_parameters(ansatz), with_imaginary(params)


def shifted(
    ansatz: Any, params: Params, x: Any, shift: tuple[float, ...]
) -> tuple[Any, Params]:
    """Wave function of positions without the shift (d,)."""
    if not (isinstance(x, jax.Array | np.ndarray) and x.ndim == 2):
        raise ValueError(f"shift must be empty unless x is (n, d), got {shift}")
    if len(shift) != x.shape[1]:
        raise ValueError(
            f"shift must have one length for each of {x.shape[1]} axes, got {shift}"
        )
    by = jnp.asarray(shift, x.dtype)[None]
    own = {"shift": by, "tilt": jnp.zeros_like(by)}
    return Shifted(ansatz), {"params": own | {"ansatz": params.get("params", {})}}


def check_analytic(ansatz: Ansatz, params: Params, x: Any) -> None:
    """A ValueError unless i times every derivative is that along the imaginary part.

    Compared along one random direction, at parameters moved along another.
    """
    leaves, treedef = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(0), 2 * len(leaves)).reshape(2, -1)
    psi = complex_parameters(ansatz)

    def random(keys):
        pairs = zip(keys, leaves, strict=True)
        return treedef.unflatten(
            jax.random.normal(key, leaf.shape, leaf.dtype) for key, leaf in pairs
        )

    def slopes(params, step, away):
        at = {"real": params, "imaginary": jax.tree.map(lambda a: 0.01 * a, away)}
        none = jax.tree.map(jnp.zeros_like, step)
        return [
            jax.jvp(lambda p: psi.apply(p, x).log, (at,), (along,))[1]
            for along in (
                {"real": step, "imaginary": none},
                {"real": none, "imaginary": step},
            )
        ]

    try:
        real, imaginary = map(complex, once(slopes, params, *map(random, keys)))
    except (TypeError, ValueError) as error:
        raise ValueError(_not_analytic(ansatz, str(error).splitlines()[0])) from None
    eps = float(np.finfo(leaves[0].dtype).eps)
    if not abs(imaginary - 1j * real) <= eps**0.5 * abs(real):
        found = f"derivatives {real:.4g} and {imaginary:.4g}"
        raise ValueError(_not_analytic(ansatz, found))


def _not_analytic(ansatz: Ansatz, found: str) -> str:
    return (
        f"{type(ansatz).__name__} must be an analytic function of its parameters to "
        f"evolve in time, or complex already, got {found}"
    )


def first_walkers(walkers: Walkers, n_walkers: int | None) -> Walkers:
    """Walkers of the run, repeated or left out; they then burn in."""
    w = jax.tree.leaves(walkers)[0].shape[0]
    chosen = np.arange(n_walkers or w) % w
    return jax.tree.map(lambda leaf: leaf[chosen], walkers)

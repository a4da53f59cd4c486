"""The energy of a result beside the references of its system."""

import math
from typing import Any

from nqs.checks import name_of
from nqs.types import Hamiltonian, Reference

BELOW = 3.0  # standard errors below an exact energy that raise a warning


def known_references(
    hamiltonian: Hamiltonian,
) -> tuple[tuple[Reference, ...], list[str]]:
    """The references of a system; a warning instead of them where they are broken."""
    name = f"references() of {name_of(hamiltonian)}"
    try:
        found: Any = hamiltonian.references()
    except Exception as error:  # what was computed is written in any case
        return (), [f"{name} failed, the energy is not compared: {error!r}"]
    listed = isinstance(found, tuple | list)
    if listed and all(isinstance(one, Reference) for one in found):
        return tuple(found), []
    return (), [f"{name} must return a tuple of Reference, got {found!r}"]


def comparison(
    energy: float, error: float | None, references: tuple[Reference, ...]
) -> dict[str, Any] | None:
    """The first reference, and the difference of the energy from it.

    `sigma` is the difference in standard errors of both. It is None without an error,
    and for an upper bound, which is no estimate of the energy.
    """
    if not references:
        return None
    first = references[0]
    difference = energy - first.value
    sigma = None
    if error is not None and first.kind != "upper_bound":
        # two numbers that agree to rounding are not many standard errors apart
        rounding = 1e-12 * max(1.0, abs(energy))
        sigma = difference / max(math.hypot(error, first.error), rounding)
    relative = difference / abs(first.value) if first.value else None
    found = {"difference": difference, "relative": relative, "sigma": sigma}
    return vars(first) | found


def alarms(compared: dict[str, Any] | None) -> list[str]:
    """A warning where the energy is below the exact one by more than its error."""
    if compared is None or compared["kind"] != "exact" or compared["sigma"] is None:
        return []
    if compared["sigma"] >= -BELOW:
        return []
    return [
        f"the energy is below the exact one by {-compared['sigma']:.1f} standard "
        "errors, which no wave function of the right symmetry allows: check the "
        "sampling and the ansatz"
    ]

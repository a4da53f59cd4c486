"""Checks of how the parts of a run fit together, before anything compiles."""

from nqs.contracts.lattice import check_moves, check_rows
from nqs.contracts.parts import (
    check_capability,
    check_instances,
    check_kind,
    check_numbers,
    check_observables,
    check_walkers,
)
from nqs.contracts.psi import (
    SPACE,
    called,
    check_fields,
    check_log_psi,
    check_parameters,
    check_symmetry,
)

__all__ = [
    "SPACE",
    "called",
    "check_capability",
    "check_fields",
    "check_instances",
    "check_kind",
    "check_log_psi",
    "check_moves",
    "check_numbers",
    "check_observables",
    "check_parameters",
    "check_rows",
    "check_symmetry",
    "check_walkers",
]

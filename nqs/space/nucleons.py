"""Configurations of nucleons, with spins and isospins."""

from typing import Any, NamedTuple


class Nucleons(NamedTuple):
    """One configuration."""

    positions: Any  # (a, 3)
    spins: Any  # (a,) integers, 0 for up and 1 for down
    isospins: Any  # (a,) integers, 0 for protons and 1 for neutrons

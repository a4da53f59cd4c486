"""Lowest published energies of the electron gas in a cubic cell without twist.

Hartree per electron, with the Madelung term; the errors are statistical.
"""

import math

from hamiltonians.references.two_in_a_cube import SOURCE
from nqs.space.spins import Spins
from nqs.types import Reference

DMC = "fixed-node DMC, iterated backflow, in Wilson et al., PRB 107, 235139 (2023)"
DMC_54 = "fixed-node DMC, backflow, quoted by Li et al. (2022) and Liao et al. (2021)"
WAP_NET = "WAP-net, Wilson et al., PRB 107, 235139 (2023)"

# (n_up, n_down, rs, energy per electron, error, source)
PUBLISHED = (
    (7, 7, 1.0, 0.568945, 0.000010, WAP_NET),
    (7, 7, 2.0, -0.008340, 0.000002, WAP_NET),
    (7, 7, 5.0, -0.079842, 0.000002, DMC),
    (7, 7, 10.0, -0.0552178, 0.0000008, DMC),
    (19, 0, 2.0, 0.096302, 0.000002, DMC),
    (19, 0, 5.0, -0.067254, 0.000001, DMC),
    (27, 27, 1.0, 0.52989, 0.00004, DMC_54),
    (27, 27, 2.0, -0.013966, 0.000009, DMC_54),
    (27, 27, 5.0, -0.079036, 0.000003, DMC_54),
)

# (rs, total energy, error): one electron up, one down
TWO_ELECTRONS = (
    (1.0, -1.41648081, 8e-8),
    (2.0, -0.71628308, 5e-8),
    (5.0, -0.29360299, 2e-8),
)


def cubic_gas_references(spins: Spins, rs: float) -> tuple[Reference, ...]:
    """Total energies, hartree."""
    n, counts = spins.n, sorted((spins.up, spins.down))
    published = tuple(
        Reference(n * energy, n * error, "estimate", source)
        for up, down, radius, energy, error, source in PUBLISHED
        if counts == sorted((up, down)) and math.isclose(radius, rs)
    )
    exact = tuple(
        Reference(energy, error, "exact", SOURCE)
        for radius, energy, error in TWO_ELECTRONS
        if counts == [1, 1] and math.isclose(radius, rs)
    )
    return published + exact

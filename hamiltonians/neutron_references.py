"""Energies of dilute neutron matter from elsewhere, images of the potential summed.

Finite-basis diagonalisation of four neutrons (upper bounds) and coupled cluster with
doubles of fourteen, which is no bound: both by plane waves, two-body force alone.
"""

import math

from nqs.types import Reference

# (density in fm^-3, total energy in MeV of two up and two down at rest)
FOUR = ((0.01, 14.92621), (0.02, 24.84161), (0.04, 39.03783))

# (density, energy per neutron, MeV, and its error) of seven up and seven down
COUPLED_CLUSTER = (
    (0.01, 2.8957, 0.0230),
    (0.02, 4.2897, 0.0092),
    (0.04, 6.2056, 0.0019),
    (0.08, 8.4936, 0.0002),
)


def four_neutrons(density: float) -> tuple[Reference, ...]:
    """The bound of two up and two down at a density, without a three-body force."""
    source = "diagonalisation in plane waves, K = 0"
    return tuple(
        Reference(energy, 0.0, "upper_bound", source)
        for known, energy in FOUR
        if math.isclose(known, density, rel_tol=1e-6)
    )


def coupled_cluster(density: float, three_body: float | None) -> tuple[Reference, ...]:
    """Of fourteen neutrons at a density.

    Args:
      density: fm^-3.
      three_body: expectation value of that force in plane waves, MeV, which is added;
        None without the force.
    """
    source = "coupled-cluster doubles, no bound"
    if three_body is not None:
        source = "coupled-cluster doubles, three-body force at first order, no bound"
    return tuple(
        Reference(14 * energy + (three_body or 0.0), 14 * error, "estimate", source)
        for known, energy, error in COUPLED_CLUSTER
        if math.isclose(known, density, rel_tol=1e-6)
    )

"""Energies of dilute neutron matter in plane waves, with the two-body force alone.

Computed for this project. Four neutrons: diagonalization with |m|^2 up to 6, 6 and 5,
an upper bound within 0.01 MeV of the complete basis. Fourteen: coupled-cluster doubles,
not a bound, accurate to about a tenth of the correlation energy.
"""

import math

from nqs.types import Reference

CORRELATION = 0.1  # relative error of the correlation energy of the doubles

# (density in fm^-3, total energy in MeV of two up and two down at rest)
FOUR = ((0.01, 14.92621), (0.02, 24.84161), (0.04, 39.03783))

# (density, energy per neutron, MeV) of seven up and seven down
COUPLED_CLUSTER = ((0.01, 2.8957), (0.02, 4.2897), (0.04, 6.2056), (0.08, 8.4936))


def four_neutrons(density: float) -> tuple[Reference, ...]:
    """Bound of two up and two down at a density, fm^-3, without a three-body force."""
    source = "diagonalization in plane waves, at rest"
    return tuple(
        Reference(energy, 0.0, "upper_bound", source)
        for known, energy in FOUR
        if math.isclose(known, density, rel_tol=1e-6)
    )


def coupled_cluster(density: float, terms: dict[str, float]) -> tuple[Reference, ...]:
    """Estimate for fourteen neutrons at a density, fm^-3.

    `terms` are the total energies of plane waves, MeV. Their three-body energy is
    added; the difference from the others is the correlation energy.
    """
    source = "coupled-cluster doubles, no bound"
    if "three_body" in terms:
        source = "coupled-cluster doubles, three-body force at first order, no bound"
    bare = terms["kinetic"] + terms["two_body"]
    return tuple(
        Reference(
            14 * energy + terms.get("three_body", 0.0),
            CORRELATION * abs(14 * energy - bare),
            "estimate",
            source,
        )
        for known, energy in COUPLED_CLUSTER
        if math.isclose(known, density, rel_tol=1e-6)
    )

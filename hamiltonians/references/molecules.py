"""Exact energies of small atoms and molecules with nuclei at rest, hartree."""

import math

from hamiltonians.references.two_centers import SOURCE, ground_state
from nqs.space.nuclei import Nuclei
from nqs.space.spins import Spins
from nqs.types import Reference

# (charges, distance, electrons up and down in either order, energy, error, source)
EXACT = (
    ((2,), 0.0, (1, 1), -2.903724377034, 0.0,
     "C. L. Pekeris, Phys. Rev. 115, 1216 (1959); digits of G. W. F. Drake"),
    ((1, 1), 1.4, (1, 1), -1.174476, 0.0,
     "W. Kolos and L. Wolniewicz, J. Chem. Phys. 49, 404 (1968)"),
    ((3,), 0.0, (2, 1), -7.47806, 1e-5,
     "S. J. Chakravorty et al., Phys. Rev. A 47, 3649 (1993)"),
    ((4,), 0.0, (2, 2), -14.667356, 0.0,
     "S. J. Chakravorty et al., Phys. Rev. A 47, 3649 (1993)"),
    ((1, 3), 3.015, (2, 2), -8.070548, 0.0,
     "W. Cencek and J. Rychlewski, Chem. Phys. Lett. 320, 549 (2000)"),
)  # fmt: skip


def molecule_references(nuclei: Nuclei, spins: Spins) -> tuple[Reference, ...]:
    """The exact energy of the lowest state with these spins, if known."""
    if len(nuclei.charges) > 2:
        return ()
    counts = max(spins.up, spins.down), min(spins.up, spins.down)
    charges = tuple(sorted(nuclei.charges))
    distance = math.dist(nuclei.positions[0], nuclei.positions[-1])
    if spins.n == 1:
        return (_one_electron(charges, distance, nuclei.repulsion),)
    return tuple(
        Reference(energy, error, "exact", source)
        for known, apart, electrons, energy, error, source in EXACT
        if (known, electrons) == (charges, counts)
        and math.isclose(apart, distance, abs_tol=1e-12)
    )


def _one_electron(
    charges: tuple[int, ...], distance: float, repulsion: float
) -> Reference:
    """The lowest state of one electron about one or two nuclei."""
    if len(charges) == 1:
        return Reference(-(charges[0] ** 2) / 2, 0.0, "exact", "hydrogen-like atom")
    energy, *_ = ground_state(*charges, distance)
    return Reference(energy + repulsion, 0.0, "exact", SOURCE)

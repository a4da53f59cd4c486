"""Energies of light nuclei with the forces of `hamiltonians.forces.pionless`."""

import functools
from collections.abc import Callable

from hamiltonians.references.two_in_a_trap import relative_energies
from nqs.types import Reference

SOURCE = (
    "hyperspherical harmonics, A. Gnech et al., arXiv:2108.06836, Table in "
    "arXiv:2602.13826"
)
# (a, z): MeV with forces of two nucleons, and also of three with R3 = 1.0 fm
HYPERSPHERICAL = {
    (2, 1): (-2.242, -2.242),
    (3, 1): (-9.744, -8.475),
    (3, 2): (-9.035, -7.811),
    (4, 2): (-37.06, -28.17),
}
RADIUS = 100.0  # fm, where exp(-0.23 r / fm) is 1e-10


def hyperspherical(a: int, z: int, three_body: bool) -> Reference:
    """The energy of a nucleus from hyperspherical harmonics."""
    return Reference(HYPERSPHERICAL[a, z][three_body], 0.005, "exact", SOURCE)


@functools.cache
def radial_deuteron(force: Callable, hbar_squared_over_m: float) -> Reference:
    """The deuteron with a central force of spin 1, MeV at distances in fm.

    The relative motion of two equal masses is that of `two_in_a_trap`, without trap.
    """
    (lowest, *_) = relative_energies(
        lambda r: force(r) / hbar_squared_over_m, 3, 0.0, 0, 96, RADIUS
    )
    source = "radial equation of two nucleons"
    return Reference(float(hbar_squared_over_m * lowest), 1e-5, "exact", source)

"""Published energies of closed-shell quantum dots, by fixed-node DMC, hartree.

The errors are statistical; fixed nodes and time step add about 1e-4 of the energy.
"""

import math

from nqs.types import Reference

HOGBERGET = "fixed-node DMC, J. Høgberget, MSc thesis, University of Oslo (2013)"
LOHNE = "DMC, M. Pedersen Lohne et al., Phys. Rev. B 84, 115302 (2011)"

# (n, d, omega, energy, error, source); half the electrons up, omega in hartree
DOTS = (
    (6, 2, 0.1, 3.55385, 0.00005, HOGBERGET),
    (6, 2, 0.28, 7.60019, 0.00006, HOGBERGET),
    (6, 2, 0.28, 7.6001, 0.0001, LOHNE),
    (6, 2, 1.0, 20.15932, 0.00008, HOGBERGET),
    (6, 2, 1.0, 20.1597, 0.0002, LOHNE),
    (12, 2, 0.1, 12.26984, 0.00008, HOGBERGET),
    (12, 2, 1.0, 65.7001, 0.0001, HOGBERGET),
    (12, 2, 1.0, 65.700, 0.001, LOHNE),
    (20, 2, 0.1, 29.9779, 0.0001, HOGBERGET),
    (20, 2, 0.28, 61.9268, 0.0001, HOGBERGET),
    (20, 2, 0.28, 61.922, 0.002, LOHNE),
    (20, 2, 1.0, 155.8822, 0.0001, HOGBERGET),
    (20, 2, 1.0, 155.868, 0.006, LOHNE),
    (30, 2, 1.0, 308.5627, 0.0002, HOGBERGET),
    (42, 2, 0.1, 107.6389, 0.0002, HOGBERGET),
    (42, 2, 0.28, 219.8426, 0.0002, HOGBERGET),
    (42, 2, 0.5, 330.6306, 0.0002, HOGBERGET),
    (42, 2, 1.0, 542.9428, 0.0008, HOGBERGET),
    (56, 2, 0.1, 175.9553, 0.0007, HOGBERGET),
    (56, 2, 0.28, 358.145, 0.002, HOGBERGET),
    (56, 2, 0.5, 537.353, 0.002, HOGBERGET),
    (56, 2, 1.0, 879.3986, 0.0006, HOGBERGET),
    (8, 3, 0.1, 5.7028, 0.0001, HOGBERGET),
    (8, 3, 1.0, 32.6680, 0.0001, HOGBERGET),
)


def dot_references(n: int, d: int, omega: float) -> tuple[Reference, ...]:
    """Estimates for n electrons, half of them up, in an isotropic trap."""
    return tuple(
        Reference(energy, error, "estimate", source)
        for size, dimension, frequency, energy, error, source in DOTS
        if (size, dimension) == (n, d) and math.isclose(frequency, omega)
    )

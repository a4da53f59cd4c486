"""The figure of the equation of state of neutron matter, from the rows.

    python -m experiments.results.equation_of_state

Energies of fourteen neutrons in a cube against their density, with Hartree-Fock and
coupled cluster of the same cube, into `docs/figures`.
"""

from pathlib import Path

import numpy as np

from experiments.results.tables import load
from hamiltonians import NeutronMatter
from nqs.runs.figures import BLUE, GREY, ORANGE, figure
from nqs.space.spins import Spins

FIGURE = Path(__file__).parents[2] / "docs" / "figures" / "equation_of_state.png"
SHELLS = Spins(7, 7)
STYLES = {"orbitals": (ORANGE, "s", 8), "pairs": (BLUE, "o", 3)}


def measured(ansatz: str) -> np.ndarray:
    """Rows (r, 3) of density, energy and its error, by density."""
    rows = [row for row in load("neutrons") if row["columns"]["ansatz"] == ansatz]
    densities = [float(row["columns"]["density, fm^-3"]) for row in rows]
    points = [(row["energy"], row["error"]) for row in rows]
    return np.array(
        sorted((rho, *point) for rho, point in zip(densities, points, strict=True))
    )


def hartree_fock(density: float) -> float:
    """Energy per neutron, MeV."""
    terms = NeutronMatter(SHELLS, density).hartree_fock_terms
    assert terms is not None
    return sum(terms.values()) / SHELLS.n


def coupled_cluster(densities: np.ndarray) -> np.ndarray:
    """Rows (r, 3) of density, energy per neutron and its error, where it is known."""
    return np.array(
        [
            (rho, reference.value / SHELLS.n, reference.error / SHELLS.n)
            for rho in densities
            for reference in NeutronMatter(SHELLS, rho).references()
            if reference.kind == "estimate"
        ]
    )


def draw(path: Path) -> None:
    """Write the figure."""
    densities = measured("pairs")[:, 0]
    line = np.geomspace(densities[0], densities[-1], 60)
    with figure(path, "density (fm$^{-3}$)", "energy per neutron (MeV)") as axes:
        energies = [hartree_fock(rho) for rho in line]
        axes.plot(line, energies, color=GREY, lw=1, label="Hartree-Fock, upper bound")
        style = {"fmt": "^", "color": GREY, "ms": 10, "mfc": "none", "capsize": 2}
        label = "coupled cluster, no bound"
        axes.errorbar(*coupled_cluster(densities).T, **style, label=label)
        for ansatz, (color, marker, size) in STYLES.items():
            style = {"fmt": marker, "color": color, "ms": size, "mfc": "none"}
            axes.errorbar(*measured(ansatz).T, **style, label=f"network, {ansatz}")
        axes.set_xscale("log")
        axes.set_xticks(densities, [f"{rho:g}" for rho in densities])
        axes.minorticks_off()
        axes.legend(frameon=False)


if __name__ == "__main__":
    draw(FIGURE)

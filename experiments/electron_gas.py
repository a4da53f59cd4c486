"""The homogeneous electron gas in a periodic box, in three and two dimensions."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from experiments.command_line.choices import BoxSampler, GasAnsatz, OptimizerOption
from experiments.command_line.notation import Part
from experiments.command_line.options import main
from experiments.command_line.series import SeriesOptions

if TYPE_CHECKING:
    from nqs.runs import Experiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class ElectronGasOptions(SeriesOptions):
    """Electrons in a periodic box with a neutralizing background, energies in hartree.

    Lengths are in units of rs bohr, so that the box is the same at every density.
    """

    along, axis, figure = "rs", "$r_s$ (bohr)", "energy_rs.png"
    n_up: int = 7
    """Electrons with spin up, a closed shell: 1, 7, 19, 27 ... in a cube."""
    n_down: int = 7
    """Electrons with spin down, a closed shell; 0 for a polarized gas."""
    rs: tuple[float, ...] = (1.0,)
    """Radius of the sphere (disc) that holds one electron, bohr; several make a series
    of runs, each started from the one before."""
    d: int = 3
    """Dimensions, 3 or 2."""
    cell: str | None = None
    """cubic, bcc, fcc; square, triangular; None for cubic or square."""
    twist: tuple[float, ...] | Literal["average"] | None = None
    """Fractions of the d reciprocal lattice vectors, with which psi is complex; or the
    average over twists."""
    twists: int = 4
    """How many twists are averaged."""
    ansatz: GasAnsatz = Part("backflow")
    sampler: BoxSampler = Part("langevin", (("sweeps", 3),))
    optimizer: OptimizerOption = Part("spring", (("steps", 200),))
    iterations: int = 1500
    n_walkers: int = 512
    averaging: float = 0.2
    """Last part of training over which parameters are averaged for the evaluation; 0
    for the last ones."""
    evaluation_steps: int = 1000

    @property
    def learning_rate(self) -> float:
        """A tenth of rs^(3/2), which is sqrt(3) periods / 2 pi of the plasma."""
        return 0.1 * self.rs[0] ** 1.5

    def members(self) -> Mapping[str, Self]:
        """One run for every rs, or for every twist of an average.

        Raises:
          ValueError: if both are asked for, an rs is missing or twice there, or the
            number of twists is not positive.
        """
        if self.twist != "average":
            return super().members()
        if len(self.rs) != 1:
            raise ValueError(f"an average over twists takes one rs, got {self.rs}")
        if self.twists < 1:
            raise ValueError(f"twists must be at least 1, got {self.twists}")
        return {
            "twist_" + "_".join(f"{t:.3f}" for t in twist): dataclasses.replace(
                self, twist=twist
            )
            for twist in spread_twists(self.twists, self.d)
        }

    def finish(self, parent: Path, results: list[dict[str, Any]]) -> dict[str, Any]:
        """The average over twists, or a figure."""
        if self.twist == "average":
            return average(results)
        return super().finish(parent, results)

    def experiment(self) -> "Experiment":
        """The gas, its ansatz and the observables of a periodic system."""
        from experiments.command_line.builders.gas import gas_experiment
        from hamiltonians import ElectronGas
        from nqs.space.spins import Spins

        assert self.twist != "average"
        spins = Spins(self.n_up, self.n_down)
        gas = ElectronGas(spins, self.rs[0], self.d, self.cell, self.twist)
        return gas_experiment(gas, self)

    def samplers(self) -> dict[str, Callable[..., Any]]:
        """Builders of the samplers in a box, by name."""
        from experiments.command_line.builders.samplers import in_a_box

        return in_a_box()


def spread_twists(n: int, d: int) -> list[tuple[float, ...]]:
    """Twists that fill (-1/2, 1/2)^d evenly, in a row of whatever length.

    Twist j is j alpha modulo 1, where alpha_a = g^-a and g^(d + 1) = g + 1: the
    generalised golden ratio makes a sequence of low discrepancy. M. Roberts, "The
    unreasonable effectiveness of quasirandom sequences" (2018). No two wave vectors
    have the same length at such a twist, so that every number of electrons is a closed
    shell.
    """
    roots = np.roots([1, *(0,) * (d - 1), -1, -1])
    ratio = np.max(roots[np.isreal(roots)].real)  # the one above 1
    alpha = ratio ** -np.arange(1.0, d + 1)
    twists = (np.arange(1, n + 1)[:, None] * alpha[None, :]) % 1 - 0.5
    return [tuple(row) for row in np.round(twists, 6).tolist()]


def average(results: list[dict[str, Any]]) -> dict[str, Any]:
    """The average energy over twists.

    Its error is that of sampling alone; what the choice of so few twists adds is about
    `twist_spread` / sqrt(number of twists), the spread being that of the energies. C.
    Lin, F. H. Zong and D. M. Ceperley, Phys. Rev. E 64, 016702 (2001).
    """
    from nqs.statistics import uncertain

    energies = np.array([result["energy"] for result in results])
    errors = [result["energy_error"] for result in results]
    error = None
    if all(e is not None for e in errors):
        error = float(np.linalg.norm(errors)) / len(errors)
    n = results[0]["n"]
    print(f"energy {uncertain(energies.mean(), error)} hartree, {len(errors)} twists")
    return {
        "energy": float(energies.mean()),
        "energy_error": error,
        "energy_per_particle": float(energies.mean()) / n,
        "energy_per_particle_error": None if error is None else error / n,
        "twist_spread": float(energies.std()),
    }


if __name__ == "__main__":
    main(ElectronGasOptions)

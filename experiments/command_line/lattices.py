"""Options of experiments on lattices: lattice, ansätze and samplers."""

import abc
import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Literal

from experiments.command_line.options import Options, Part, PartOption
from experiments.command_line.series import SeriesOptions
from hamiltonians.classical import ClassicalModel
from nqs.ansatze import (
    BinaryRBM,
    Boltzmann,
    FeedForward,
    LatticeConv,
    RecurrentGRU,
    SpinJastrow,
    Symmetrized,
)
from nqs.observables.lattice import Magnetization, SiteStructureFactor
from nqs.runs.experiment import Experiment
from nqs.space.lattice import Lattice
from nqs.types import Observable
from samplers import Direct, SiteMetropolis, SiteMove, Wolff


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatticeOptions(Options):
    """Options of every experiment on a lattice."""

    q: ClassVar[int] = 2
    length: tuple[int, ...] = (16,)
    """Sites along each axis; one number for a chain, or for two equal axes."""
    lattice: Literal["chain", "square", "triangular"] = "chain"
    """Shape of the lattice."""
    open_ends: bool = False
    """Leave out the bonds around the torus."""
    ansatz: PartOption = Part("rbm")
    """rbm(alpha=1), rbm(symmetric=True), jastrow, ffnn, conv or gru; with
    symmetrized=True any of them is averaged over the symmetries of the lattice, with
    momentum=(0, 2), say, over its translations with these phases."""
    sampler: PartOption = Part("metropolis")
    """metropolis; direct for gru."""
    optimizer: PartOption = Part("spring")
    """spring, sr, minsr, or any of optax's by name: adam(learning_rate=0.01), say."""
    iterations: int = 300
    """Training steps."""
    n_walkers: int = 1024
    """Markov chains."""
    clip: float | None = None
    """Window for local energies in gradients, in mean deviations on either side of the
    median; None for no window: rare large ones show where psi lacks signs."""
    evaluation_steps: int = 500
    """Sampler steps with frozen parameters, which give the result."""

    @property
    def learning_rate(self) -> float:
        """A tenth of 1/J, with J = 1."""
        return 0.1

    @property
    def sites(self) -> Lattice:
        """The lattice that these options describe."""
        axes = 1 if self.lattice == "chain" else 2
        length = self.length * axes if len(self.length) == 1 else self.length
        return Lattice(length, self.lattice, not self.open_ends)

    def observables(self) -> tuple[Observable, ...]:
        """Magnetization with Binder's powers, and the structure factor."""
        powers = tuple(Magnetization(self.q, power) for power in (1, 2, 4))
        return (*powers, SiteStructureFactor(self.sites, self.q))

    def settings(self) -> dict[str, Any]:
        """The fields of `Experiment` that the options of a lattice fix."""
        return super().settings() | {"observables": self.observables()}

    @abc.abstractmethod
    def move(self) -> SiteMove:
        """The proposal of Metropolis."""

    def _samplers(self) -> dict[str, Callable]:
        return {"metropolis": partial(SiteMetropolis, self.move()), "direct": Direct}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassicalOptions(LatticeOptions, SeriesOptions):
    """Options of classical models at a temperature."""

    along, axis = "temperature", "temperature ($J$)"
    figure = "energies.png"

    length: tuple[int, ...] = (8,)
    """Sites along each axis; one number for a chain, or for two equal axes."""
    lattice: Literal["chain", "square", "triangular"] = "square"
    """Shape of the lattice."""
    name: ClassVar[str]
    j: float = 1.0
    """Coupling J of neighbors, ferromagnetic where positive."""
    ansatz: PartOption = Part("gru")
    """gru(hidden=32), whose free energy is minimized; or boltzmann, whose energy is
    sampled, without training."""
    sampler: PartOption = Part("direct")
    """direct or metropolis for gru; metropolis or wolff for boltzmann."""

    @abc.abstractmethod
    def model(self, sampled: bool) -> ClassicalModel:
        """The system; its only term is E if it is sampled, without a free energy."""

    def experiment(self) -> Experiment:
        """The model with a trained free energy, or Boltzmann's density as it is."""
        settings = self.settings()
        sampled = self.ansatz.name == "boltzmann"
        model = self.model(sampled)
        if sampled:
            ansatz = self.ansatz.build(
                "ansatz", {"boltzmann": lambda: Boltzmann(model)}
            )
            settings["iterations"] = 0
        else:
            ansatz = lattice_ansatz(self.ansatz, self.sites, self.q, cyclic=True)
        return Experiment(name=self.name, hamiltonian=model, ansatz=ansatz, **settings)

    def _samplers(self) -> dict[str, Callable]:
        return super()._samplers() | {"wolff": Wolff}


def lattice_ansatz(
    part: Part,
    lattice: Lattice,
    levels: int = 2,
    cyclic: bool = False,
    fixed: tuple[int, ...] | None = None,
) -> Any:
    """Build the ansatz that was named; `cyclic` and `fixed` are defaults of gru.

    Raises:
      ValueError: for an unknown name or field.
    """

    def averaged(make, symmetrized=False, momentum=None, **settings):
        ansatz = make(**settings)
        if not symmetrized and momentum is None:
            return ansatz
        return Symmetrized(ansatz, lattice, momentum is None, momentum)

    def rbm(symmetric=False, **settings):
        if not symmetric:
            return BinaryRBM(levels=levels, **settings)
        return BinaryRBM(levels=levels, lattice=lattice, point_group=True, **settings)

    known = {
        "rbm": rbm,
        "jastrow": partial(SpinJastrow, levels),
        "ffnn": partial(FeedForward, levels=levels),
        "conv": partial(LatticeConv, lattice, levels=levels),
        "gru": partial(
            RecurrentGRU,
            lattice.n,
            window=lattice.n,
            levels=levels,
            cyclic=cyclic,
            fixed=fixed,
        ),
    }
    return part.build(
        "ansatz", {k: partial(averaged, make) for k, make in known.items()}
    )

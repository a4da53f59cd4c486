"""Options of experiments on lattices."""

import abc
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from experiments.command_line.choices import (
    ClassicalAnsatz,
    ClassicalSampler,
    FermionAnsatz,
    LatticeAnsatz,
    LatticeSampler,
    OptimizerOption,
    ParticleSampler,
)
from experiments.command_line.notation import Part
from experiments.command_line.options import Options, StatesOptions
from experiments.command_line.series import SeriesOptions

if TYPE_CHECKING:
    from hamiltonians.classical import ClassicalModel
    from nqs.runs import Experiment
    from nqs.space.lattice import Lattice
    from samplers import SiteMove


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
    ansatz: LatticeAnsatz = Part("rbm")
    sampler: LatticeSampler = Part("metropolis")
    optimizer: OptimizerOption = Part("spring")
    iterations: int = 300
    n_walkers: int = 1024
    clip: float | None = None
    """Window for local energies in gradients, in mean deviations on either side of the
    median; None for no window: rare large ones show where psi lacks signs."""
    evaluation_steps: int = 500

    @property
    def learning_rate(self) -> float:
        """A tenth of 1/J, with J = 1."""
        return 0.1

    @property
    def sites(self) -> "Lattice":
        """The lattice that these options describe."""
        from nqs.space.lattice import Lattice

        axes = 1 if self.lattice == "chain" else 2
        length = self.length * axes if len(self.length) == 1 else self.length
        return Lattice(length, self.lattice, not self.open_ends)

    @abc.abstractmethod
    def move(self) -> "SiteMove":
        """The proposal of Metropolis."""

    def samplers(self) -> dict[str, Callable[..., Any]]:
        """Builders of the samplers of lattices, by name."""
        from experiments.command_line.builders.samplers import of_sites

        return of_sites(self.move())


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuantumLatticeOptions(LatticeOptions, StatesOptions):
    """Options of every quantum model on a lattice."""

    def move(self) -> "SiteMove":
        """Exchange of neighbors, which conserves the sum of the levels."""
        from samplers import Exchange

        return Exchange(self.sites)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ParticleOptions(QuantumLatticeOptions):
    """Options of particles on a lattice, whose number is conserved."""

    sampler: ParticleSampler = Part("metropolis")

    def samplers(self) -> dict[str, Callable[..., Any]]:
        """Builders of the samplers, by name."""
        return {"metropolis": super().samplers()["metropolis"]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class FermionOptions(ParticleOptions):
    """Options of fermions that hop on a lattice."""

    t: float = 1.0
    """Hopping amplitude."""
    ansatz: FermionAnsatz = Part("slater")
    iterations: int = 600
    evaluation_steps: int = 200

    @property
    @abc.abstractmethod
    def repulsion(self) -> float:
        """Energy of two fermions that repel each other."""

    @property
    def learning_rate(self) -> float:
        """A tenth of the inverse of t or of a third of the repulsion."""
        return 0.1 / max(abs(self.t), abs(self.repulsion) / 3, 1e-3)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassicalOptions(LatticeOptions, SeriesOptions):
    """Options of classical models at a temperature."""

    along, axis = "temperature", "temperature ($J$)"
    figure = "energies.png"

    length: tuple[int, ...] = (8,)
    lattice: Literal["chain", "square", "triangular"] = "square"
    name: ClassVar[str]
    j: float = 1.0
    """Coupling J of neighbors, ferromagnetic where positive."""
    ansatz: ClassicalAnsatz = Part("gru")
    sampler: ClassicalSampler = Part("direct")

    @abc.abstractmethod
    def model(self, sampled: bool) -> "ClassicalModel":
        """The system; its only term is E if it is sampled, without a free energy."""

    def experiment(self) -> "Experiment":
        """The model with a trained free energy, or Boltzmann's density as it is."""
        from experiments.command_line.builders.lattices import classical

        return classical(self)

    def samplers(self) -> dict[str, Callable[..., Any]]:
        """Builders of the samplers of classical models, by name."""
        from experiments.command_line.builders.samplers import of_classical_sites

        return of_classical_sites(self.move())

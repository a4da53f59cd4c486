"""Ansätze and experiments on lattices."""

from collections.abc import Callable
from functools import partial
from typing import Any

from experiments.command_line.lattices import (
    ClassicalOptions,
    LatticeOptions,
    QuantumLatticeOptions,
)
from hamiltonians import Heisenberg, LatticeFermions, LatticeModel
from nqs.ansatze import (
    BinaryRBM,
    Boltzmann,
    FeedForward,
    LatticeConv,
    LatticeProduct,
    LatticeSlater,
    LatticeTransformer,
    ProjectedBCS,
    RecurrentGRU,
    SpinJastrow,
    group_average,
)
from nqs.checks import one_of
from nqs.observables.lattice import Magnetization, SiteStructureFactor
from nqs.runs import Experiment
from nqs.space.lattice import Lattice
from nqs.space.sectors import Irrep
from nqs.types import Observable


def quantum(
    name: str, model: LatticeModel, options: QuantumLatticeOptions
) -> Experiment:
    """The lowest states of a model; a conserved sum of its levels is that of spins."""
    known = lattice_ansatze(options.sites, options.q, totals=model.totals)
    seen = lattice_observables(options, not model.totals)
    return _lowest_states(name, model, options, known, seen)


def antiferromagnet(
    name: str, model: Heisenberg, options: QuantumLatticeOptions
) -> Experiment:
    """The lowest states of a magnet, also with electron pairs."""
    pairs = partial(ProjectedBCS, options.sites, bool(model.marshall))
    known = lattice_ansatze(options.sites, totals=model.totals, pairs=pairs)
    seen = lattice_observables(options, magnetization=False)
    return _lowest_states(name, model, options, known, seen)


def bosons(
    name: str, model: LatticeModel, options: QuantumLatticeOptions
) -> Experiment:
    """The lowest states of bosons, with any number on a site."""
    known = lattice_ansatze(options.sites, model.levels, totals=model.totals)
    shown = {
        name: partial(known[name], bosons=True)
        for name in ("rbm", "ffnn")  # with units that are functions of the number
    }
    return _lowest_states(name, model, options, shown, _density(options))


def fermions(
    name: str, model: LatticeFermions, options: QuantumLatticeOptions
) -> Experiment:
    """The lowest states of fermions, even under a flip of as many up as down."""
    lattice, totals = options.sites, model.totals
    even = len(totals) == 2 and totals[0] == totals[1]
    build = partial(LatticeSlater, lattice, totals, flip_symmetric=even, t=model.t)
    known = {"slater": build}
    return _lowest_states(name, model, options, known, _density(options))


def _density(options: QuantumLatticeOptions) -> tuple[Observable, ...]:
    return (SiteStructureFactor(options.sites, density=True),)


def _lowest_states(
    name: str,
    model: LatticeModel,
    options: QuantumLatticeOptions,
    known: dict[str, Callable[..., Any]],
    observables: tuple[Observable, ...],
) -> Experiment:
    ground_state = Experiment(
        name=name,
        hamiltonian=model,
        ansatz=options.ansatz.build("ansatz", known),
        observables=observables,
        **options.settings(),
    )
    return options.lowest_states(ground_state)


def classical(options: ClassicalOptions) -> Experiment:
    """A model with a trained free energy, or Boltzmann's density as it is."""
    settings = options.settings()
    sampled = options.ansatz.name == "boltzmann"
    model = options.model(sampled)
    if sampled:
        settings["iterations"] = 0
    known = lattice_ansatze(options.sites, options.q, cyclic=True)
    known = {"gru": known["gru"], "boltzmann": lambda: Boltzmann(model)}
    return Experiment(
        name=options.name,
        hamiltonian=model,
        ansatz=options.ansatz.build("ansatz", known),
        observables=lattice_observables(options),
        **settings,
    )


def lattice_observables(
    options: LatticeOptions, magnetization: bool = True
) -> tuple[Observable, ...]:
    """Magnetization with Binder's powers, and the structure factor."""
    powers = (1, 2, 4) if magnetization else ()
    return (
        *(Magnetization(options.q, power) for power in powers),
        SiteStructureFactor(options.sites, options.q),
    )


def lattice_ansatze(
    lattice: Lattice,
    levels: int = 2,
    cyclic: bool = False,
    totals: tuple[int, ...] = (),
    pairs: Callable[..., ProjectedBCS] | None = None,
) -> dict[str, Callable[..., Any]]:
    """Builders of the ansätze, by name.

    `cyclic` is a default of gru, `totals` are the conserved sum of all levels, if any;
    `pairs` builds pairs of spins, which other ansätze can multiply.
    """
    of_two_levels = levels == 2 and totals  # conserved with the number of each level
    fixed = (lattice.n - totals[0], totals[0]) if of_two_levels else None

    known: dict[str, Callable[..., Any]] = {
        "rbm": partial(machine, lattice, levels),
        "jastrow": partial(SpinJastrow, levels),
        "ffnn": partial(FeedForward, levels=levels),
        "conv": partial(LatticeConv, lattice, levels=levels),
        "transformer": partial(LatticeTransformer, lattice, levels=levels),
        "gru": partial(
            RecurrentGRU,
            lattice.n,
            window=lattice.n,
            levels=levels,
            cyclic=cyclic,
            fixed=fixed,
        ),
    }
    if pairs:
        known = {name: partial(multiplied, pairs, make) for name, make in known.items()}
        # the one factor, so that it can start a product
        known["bcs"] = lambda **settings: LatticeProduct((pairs(**settings),))
    sector = lattice, levels, totals
    return {name: partial(averaged, make, *sector) for name, make in known.items()}


def machine(
    lattice: Lattice,
    levels: int,
    symmetric: bool | str = False,
    **settings: Any,
) -> BinaryRBM:
    """A Boltzmann machine, with symmetries of the lattice if they are asked for."""
    one_of("symmetric", symmetric, (False, True, "translations"))
    turned = symmetric != "translations"
    if symmetric and (turned or lattice.periodic):  # open ends are free weights
        settings |= {"lattice": lattice, "point_group": turned}
    return BinaryRBM(levels=levels, **settings)


def multiplied(
    pairs: Callable[..., ProjectedBCS],
    make: Callable[..., Any],
    bcs: bool = False,
    **settings: Any,
) -> Any:
    """An ansatz, times pairs of spins if they are asked for."""
    one_of("bcs", bcs, (False, True))
    ansatz = make(**settings)
    return LatticeProduct((pairs(), ansatz)) if bcs else ansatz


def averaged(
    make: Callable[..., Any],
    lattice: Lattice,
    levels: int,
    totals: tuple[int, ...],
    symmetrized: bool = False,
    momentum: tuple[int, ...] | None = None,
    irrep: Irrep | None = None,
    **settings: Any,
) -> Any:
    """An ansatz, averaged if a symmetry is asked for."""
    one_of("symmetrized", symmetrized, (False, True))
    ansatz = make(**settings)
    if not symmetrized and momentum is None and irrep is None:
        return ansatz
    return group_average(
        ansatz,
        lattice,
        levels,
        totals,
        point_group=momentum is None or irrep is not None,
        momentum=momentum,
        irrep=irrep or "A1",
    )

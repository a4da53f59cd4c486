"""The parts that an option takes, by name, with their fields in the help.

The `builders` accept the same names and fields; a test compares them.
"""

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import tyro

from experiments.command_line.notation import Part
from experiments.command_line.parts import constant, find

# Set by the experiment.
FIXED = ("bosons", "box", "fixed", "lattice", "levels", "marshall", "method",
         "model", "n", "nuclei", "omega", "options", "pairing", "point_group", "spins",
         "totals", "twist")  # fmt: skip


class Choice(NamedTuple):
    """Names of one part on the command line.

    Attributes:
      names: separated by commas.
      part: its class.
      changed: defaults other than those of the class, as text; "..." for one that
        depends on the other options, None for a field that the experiment sets.
    """

    names: str
    part: str
    changed: Mapping[str, str | None] = {}

    def __str__(self) -> str:
        part = find(self.part)
        own = {name: text for name, text in part.fields.items() if name not in FIXED}
        fields = ", ".join(
            f"{name}={default}" if default else name
            for name, default in {**own, **self.changed}.items()
            if default is not None
        )
        space = " " if "," in self.names else ""
        return (
            self.names + (f"{space}({fields})" if fields else "") + f": {part.summary}"
        )


def listed(*choices: Choice, note: str = "") -> Any:
    """The help of an option: a line for every part, then a note."""
    lines = [f"- {choice}" for choice in choices]
    if any("=..." in line for line in lines):
        note = f"{note} A default ... depends on the other options."
    return tyro.conf.arg(help="\n".join([*lines, note.strip()]))


PartOption = Annotated[
    Part,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME[(FIELD=VALUE, ...)]",
        instance_from_str=lambda texts: Part.parse(texts[0]),
        is_instance=lambda value: isinstance(value, Part),
        str_from_instance=lambda part: [str(part)],
    ),
]

TrapAnsatz = Annotated[
    PartOption,
    listed(
        Choice("backflow", "Backflow", {"ranges": None}),
        Choice("slater_jastrow, slater", "Slater"),
        Choice("ffnn", "FeedForward"),
        Choice("deep_sets", "DeepSets"),
        Choice("rbm", "GaussianBinaryRBM", {"sigma": "...", "stddev": "..."}),
        note="jastrow=True multiplies any of them by a Jastrow factor, the default of "
        "slater_jastrow, and of backflow for interacting particles. Bosons have no "
        "slater, and fermions of equal spin require backflow or slater.",
    ),
]
GasAnsatz = Annotated[
    PartOption,
    listed(
        Choice(
            "backflow", "Backflow", {"ranges": "(0.5, 1.0, 2.0)", "pair_width": "32"}
        ),
        Choice("slater_jastrow, slater", "PlaneWaveSlater"),
        note="All but slater have a Jastrow factor; lengths are in units of rs.",
    ),
]
MoleculeAnsatz = Annotated[
    PartOption,
    listed(
        Choice("backflow", "MolecularBackflow"),
        note="It has a Jastrow factor for two electrons or more.",
    ),
]
SingletAnsatz = Annotated[
    PartOption,
    listed(
        Choice("pairing, singlet", "SingletBackflow", {"ranges": "..."}),
        Choice("backflow", "Backflow", {"ranges": "..."}),
        Choice("slater", "PlaneWaveSlater"),
        note="pairing takes any number of pairs, and unpaired spins up in a closed "
        "shell; the others take closed shells.",
    ),
]
NucleonAnsatz = Annotated[
    PartOption, listed(Choice("correlated", "CorrelatedNucleons"))
]
GRU = Choice("gru", "RecurrentGRU", {"window": "...", "cyclic": "..."})
RBM = Choice("rbm", "BinaryRBM", {"symmetric": "False"})
FFNN = Choice("ffnn", "FeedForward")
AVERAGES = (
    "symmetrized=True averages any of them over the symmetries of the lattice, "
    "momentum=(0, 2), say, over its translations with the phases of that momentum, "
    "irrep='A2', 'B1' or 'B2' with the signs of that representation of its point "
    "group; symmetric=True gives the symmetries to the weights of an rbm, and "
    "symmetric='translations' the translations of a periodic lattice alone."
)
SPINS = (
    RBM,
    Choice("jastrow", "SpinJastrow"),
    FFNN,
    Choice("conv", "LatticeConv"),
    Choice("transformer", "LatticeTransformer"),
    GRU,
)
LatticeAnsatz = Annotated[PartOption, listed(*SPINS, note=AVERAGES)]
AntiferromagnetAnsatz = Annotated[
    PartOption,
    listed(
        *SPINS,
        Choice("bcs", "ProjectedBCS"),
        note=f"bcs=True multiplies any of the others by bcs. {AVERAGES}",
    ),
]
BosonAnsatz = Annotated[PartOption, listed(RBM, FFNN, note=AVERAGES)]
FermionAnsatz = Annotated[
    PartOption,
    listed(
        Choice("slater", "LatticeSlater", {"flip_symmetric": "...", "t": None}),
        note="hidden=() leaves out the network.",
    ),
]
ClassicalAnsatz = Annotated[
    PartOption,
    listed(
        GRU,
        Choice("boltzmann", "Boltzmann"),
        note="The free energy of gru is minimized; the energy of boltzmann is sampled, "
        "without training.",
    ),
]

LANGEVIN = Choice("langevin", "Langevin")
METROPOLIS = Choice("metropolis", "Metropolis", {"move": "'all_particles'"})
MOVES = "The move is all_particles or one_particle."
SITES = Choice("metropolis", "SiteMetropolis", {"move": None})
DIRECT = Choice("direct", "Direct")
TrapSampler = Annotated[
    PartOption,
    listed(
        LANGEVIN,
        METROPOLIS,
        Choice("gibbs", "Gibbs"),
        note=f"{MOVES} gibbs requires an rbm.",
    ),
]
BoxSampler = Annotated[PartOption, listed(LANGEVIN, METROPOLIS, note=MOVES)]
NucleonSampler = Annotated[PartOption, listed(METROPOLIS, note=MOVES)]
MoleculeSampler = Annotated[
    PartOption,
    listed(
        Choice("metropolis", "Metropolis", {"move": "'about_nuclei'"}),
        LANGEVIN,
        note="The move is about_nuclei, all_particles or one_particle.",
    ),
]
LatticeSampler = Annotated[
    PartOption, listed(SITES, DIRECT, note="direct requires a gru.")
]
ParticleSampler = Annotated[PartOption, listed(SITES)]
ClassicalSampler = Annotated[
    PartOption,
    listed(
        DIRECT,
        SITES,
        Choice("wolff", "Wolff"),
        note="direct requires a gru, wolff boltzmann.",
    ),
]

# A schedule is spread over four fields.
DECAY = "'inverse_time', steps=100, final=0.1, warmup=0"
CONSTANT = "'constant', steps=..., final=0.1, warmup=0"
OptimizerOption = Annotated[
    PartOption,
    listed(
        Choice(
            "spring, sr, minsr",
            "NaturalGradient",
            {"learning_rate": "...", "schedule": DECAY, "momentum": "..."}
            | {"space": "...", "memory": str(2**30)},
        ),
        Choice(
            ", ".join(constant("nqs.optimizers", "METHODS")),
            "FirstOrder",
            {"schedule": CONSTANT},
        ),
        note="`nqs parts adam` shows further fields of adam.",
    ),
]

InteractionOption = Annotated[
    PartOption,
    listed(
        Choice("coulomb", "Coulomb"),
        Choice("gaussian", "Gaussian"),
        Choice("harmonic_pairs", "HarmonicPairs"),
        Choice("inverse_square", "InverseSquare"),
        note="none leaves the particles free.",
    ),
]

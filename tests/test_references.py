"""References hold for the system that reports them, with all of its fields."""

import dataclasses

import numpy as np
import pytest

from hamiltonians import (
    J1J2,
    TV,
    XXZ,
    BoseHubbard,
    ClassicalIsing,
    ClassicalPotts,
    Coulomb,
    ElectronGas,
    FermiGas,
    HarmonicPairs,
    HarmonicTrap,
    Heisenberg,
    Hubbard,
    InverseSquare,
    Molecule,
    NeutronMatter,
    Nucleus,
    Potts,
    TransverseFieldIsing,
)
from hamiltonians.references.lanczos import ground_state
from nqs.space.lattice import Graph, Lattice
from nqs.space.nuclei import Nuclei
from nqs.space.spins import Spins
from tests.cases import at

RING, SQUARE = Lattice((6,)), Lattice((6, 6), "square")
TRIANGLE = Graph(3, ((0, 1), (1, 2), (2, 0)))

# Systems, changes of every field that the energy depends on, and fields it does not.
CASES = {
    "dot": (
        HarmonicTrap(2, 2, 1.0, Coulomb(), Spins(1, 1)),
        {"d": 3, "omega": 2.0, "interaction": Coulomb(2.0), "spins": Spins(2)},
        {"n"},  # fixed by the spins
    ),
    "published dot": (
        HarmonicTrap(6, 2, 1.0, Coulomb(), Spins(3, 3)),
        {"d": 3, "omega": 0.77, "interaction": Coulomb(2.0), "spins": Spins(4, 2)},
        {"n"},
    ),
    "pairs": (
        HarmonicTrap(4, 1, 1.0, HarmonicPairs(0.5), Spins(2, 2)),
        {"d": 2, "omega": 2.0, "interaction": HarmonicPairs(0.4),
         "spins": Spins(3, 1)},
        {"n"},
    ),
    "calogero": (
        HarmonicTrap(4, 1, 1.0, InverseSquare(2.0)),
        {"n": 5, "omega": 2.0, "interaction": InverseSquare(3.0)},
        {"d", "spins"},  # particles on a line cannot exchange
    ),
    "gas": (
        ElectronGas(Spins(1, 1), 2.0),
        {"spins": Spins(7, 7), "rs": 3.0, "d": 2, "cell": "bcc",
         "twist": (0.1, 0.2, 0.3)},
        set(),
    ),
    "plane gas": (
        ElectronGas(Spins(1, 1), 2.0, d=2),
        {"spins": Spins(5, 5), "rs": 3.0, "d": 3, "cell": "triangular",
         "twist": (0.1, 0.2)},
        set(),
    ),
    "two neutrons": (
        NeutronMatter(Spins(1, 1), 0.01),
        {"spins": Spins(7, 7), "density": 0.02},
        {"three_body", "r3", "spin_explicit"},  # two have no third
    ),
    "neutrons": (
        NeutronMatter(Spins(7, 7), 0.04),
        {"spins": Spins(1, 1), "density": 0.02, "three_body": False, "r3": 1.5},
        {"spin_explicit"},
    ),
    "helium 3": (
        Nucleus(3, 2),
        {"a": 4, "z": 1, "three_body": False, "r3": 1.5, "point_protons": True},
        set(),
    ),
    "fermi gas": (
        FermiGas(Spins(1, 1)),
        {"spins": Spins(2, 2), "kf_re": 0.3},
        set(),
    ),
    "lithium hydride": (
        Molecule.of("Li 0 0 0; H 0 0 3.015"),
        {"nuclei": Nuclei((3, 1), ((0, 0, 0), (0, 0, 3.0))), "spins": Spins(3, 1)},
        set(),
    ),
    "one electron": (
        Molecule.of("He 0 0 0; H 0 0 1.5", 2),
        {"nuclei": Nuclei((3, 1), ((0, 0, 0), (0, 0, 1.5))), "spins": Spins(1, 1)},
        set(),
    ),
    "6x6 Heisenberg": (
        Heisenberg(SQUARE),
        {"lattice": Lattice((6, 6), "square", False), "j": -1.0, "n_down": 1},
        {"marshall"},  # a change of basis
    ),
    "6x6 J1-J2": (
        J1J2(SQUARE),
        {"lattice": Lattice((6, 6), "square", False), "j": 1.5, "n_down": 1, "j2": 0.4},
        {"marshall"},
    ),
    "10x10 J1-J2": (
        J1J2(Lattice((10, 10), "square")),
        {"lattice": SQUARE, "j": 1.5, "n_down": 1, "j2": 0.4},
        {"marshall"},
    ),
    "Hubbard 4x4": (
        Hubbard(Lattice((4, 4), "square"), 4.0, 5, 5),
        {"lattice": Lattice((4, 4), "square", False), "u": 5.0, "up": 3, "down": 3,
         "t": 0.5},
        set(),
    ),
    "Hubbard 8x8": (
        Hubbard(Lattice((8, 8), "square"), 8.0),
        {"lattice": Lattice((8, 8), "square", False), "u": 5.0, "up": 3, "down": 3,
         "t": 0.5},
        set(),
    ),
    "Bose-Hubbard": (
        BoseHubbard(RING, 2.0, 4),
        {"lattice": Lattice((5,)), "u": 1.0, "bosons": 3, "most": 2, "t": 0.5},
        set(),
    ),
    "t-V": (
        TV(RING, 2.0, 2),
        {"lattice": Lattice((5,)), "v": 1.0, "fermions": 3, "t": 0.5},
        set(),
    ),
    "XXZ": (
        XXZ(RING, delta=0.5),
        {"lattice": Lattice((8,)), "j": 2.0, "n_down": 2, "delta": 1.0},
        {"marshall"},
    ),
    "classical Ising": (
        ClassicalIsing(Lattice((4, 4), "square")),
        {"lattice": Lattice((4, 3), "square"), "temperature": 3.0, "j": 0.5,
         "sampled": True},
        set(),
    ),
    "classical Potts": (
        ClassicalPotts(Lattice((3, 3), "square")),
        {"lattice": Lattice((3, 2), "square"), "temperature": 3.0, "levels": 4,
         "j": 0.5, "sampled": True},
        set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_references_depend_on_every_field_not_listed_as_irrelevant(name):
    system, changes, irrelevant = CASES[name]
    fields = {field.name for field in dataclasses.fields(system)}
    assert set(changes) | irrelevant == fields
    before = system.references()
    for field, value in changes.items():
        after = dataclasses.replace(system, **{field: value}).references()
        values = {(reference.value, reference.kind) for reference in before}
        shared = [r for r in after if (r.value, r.kind) in values]
        # an upper bound for an attraction of any range
        shared = [r for r in shared if not (field == "kf_re" and "free" in r.source)]
        assert not shared, (field, shared)


LATTICES = [
    Heisenberg(RING), Heisenberg(RING, j=-1.0), Heisenberg(RING, n_down=2),
    Heisenberg(RING, j=2.0, marshall=False), Heisenberg(Lattice((5,))),
    Heisenberg(Lattice((2,))), Heisenberg(Lattice((6,), periodic=False)),
    Heisenberg(TRIANGLE), Heisenberg(Lattice((3, 2), "triangular")),
    J1J2(RING), J1J2(RING, j2=-0.3), J1J2(RING, j=-1.0, n_down=1), J1J2(RING, j2=0.0),
    TransverseFieldIsing(RING), TransverseFieldIsing(RING, -1.0, 0.7),
    TransverseFieldIsing(Lattice((5,)), -1.0), TransverseFieldIsing(RING, 1.0, -0.5),
    TransverseFieldIsing(Lattice((6,), periodic=False)), TransverseFieldIsing(TRIANGLE),
    TransverseFieldIsing(Lattice((2,)), 1.0, 0.5),
    XXZ(RING), XXZ(RING, delta=-0.3), XXZ(TRIANGLE, delta=2.0),
    BoseHubbard(RING, 3.0, 3), TV(RING, -1.0), TV(TRIANGLE, 1.0, 2, -1.0),
    Hubbard(TRIANGLE, 4.0), Hubbard(Lattice((4,)), -2.0, 2, 1),
    Potts(Lattice((4,))), Potts(Lattice((4,)), 4, -1.0, 0.3), Potts(TRIANGLE),
]  # fmt: skip


@pytest.mark.parametrize(
    "model", at(LATTICES, 0, 6, 7, 10, 15, 17, 22, 23, 25, 27, 30), ids=str
)
def test_references_of_small_lattices_are_their_lowest_energies(model):
    (first, *_) = model.references()
    assert first.kind == "exact"
    np.testing.assert_allclose(first.value, ground_state(model).energy, rtol=1e-9)


def test_source_of_a_zero_range_reference_contains_zero_range():
    estimates = [r for r in FermiGas(Spins(2, 2)).references() if r.kind == "estimate"]
    assert estimates and all("zero range" in r.source for r in estimates)

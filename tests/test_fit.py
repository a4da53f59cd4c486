"""Parts that do not fit each other are refused before anything compiles."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nqs
from hamiltonians import (
    BoseHubbard,
    ClassicalIsing,
    Connected,
    HarmonicTrap,
    Heisenberg,
    LatticeModel,
    Potts,
    TransverseFieldIsing,
)
from nqs.ansatze import BinaryRBM, Boltzmann, FeedForward, ProjectedBCS
from nqs.contracts import (
    check_fields,
    check_instances,
    check_moves,
    check_observables,
    check_rows,
    check_symmetry,
    check_walkers,
)
from nqs.files.directory import RunError
from nqs.observables import MeanSquareRadius, RadialDensity
from nqs.optimizers import SR
from nqs.projection.continuous import Projection
from nqs.runs import run
from nqs.runs.comparison import known_references
from nqs.space.lattice import Lattice, side_by_side
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi, Reference
from samplers import Exchange, Flip, Hop, Metropolis, Recolor, SiteMetropolis
from tests.tiny import exact, experiment, gaussian

RING = Lattice((4,))


def compiled(f, *arguments):
    return jax.jit(f)(*arguments)


def walkers_of(model, n_walkers=8):
    return np.asarray(model.initial_walkers(jax.random.key(0), n_walkers))


@dataclasses.dataclass(frozen=True)
class Hopping(LatticeModel):
    """Bosons that hop to the next site of a ring, with mistakes."""

    lattice: Lattice = RING
    levels: int = 3
    mistake: str = ""

    off_diagonal: ClassVar[str] = "hopping"
    total: ClassVar[int] = 4

    def diagonal(self, x):
        return {"interaction": jnp.sum(x * (x - 1.0))}

    def connected(self, x):
        edges = self.lattice.edges
        if self.mistake != "one way":
            edges = np.concatenate([edges, edges[:, ::-1]])
        sites = jnp.asarray(edges)
        here, there = x[sites[:, 0]], x[sites[:, 1]]
        allowed = here > 0
        if self.mistake != "no upper bound":
            allowed &= there < self.levels - 1
        taken = 0 if self.mistake == "creation" else 1
        hopped = jnp.stack([here - taken, there + 1], axis=1)
        values = jnp.where(allowed[:, None], hopped, x[sites])
        elements = jnp.where(allowed, -jnp.sqrt(here * (there + 1.0)), 0.0)
        if self.mistake == "twice":
            sites, values = sites[:, [0, 0]], values[:, [0, 0]]
        if self.mistake == "shape":
            elements = elements[1:]
        return Connected(sites, values, elements)


@pytest.mark.parametrize(
    "mistake, message",
    [
        ("one way", "must be Hermitian, got .* = -1.41421 and .* = 0 for x ="),
        ("no upper bound", r"must keep the levels 0 to 2 of Hopping, got \[.*3"),
        ("creation", r"must keep the sums .* Hopping conserves, \(4,\), got \(5,\)"),
        ("twice", r"sites of connected of Hopping must differ within an element"),
        ("shape", r"got the shapes \(8, 2\), \(8, 2\), \(7,\)"),
    ],
)
def test_rows_of_an_own_model_are_checked(mistake, message):
    pair = Heisenberg(Lattice((2,)))  # with the same bond twice
    check_rows(pair, walkers_of(pair), compiled)
    alone = Heisenberg(RING, n_down=0)  # a row without elements
    check_rows(alone, walkers_of(alone), compiled)
    walkers = walkers_of(Hopping())
    check_rows(Hopping(), walkers, compiled)
    with pytest.raises(ValueError, match=message):
        check_rows(Hopping(mistake=mistake), walkers, compiled)


@pytest.mark.parametrize(
    "move, model, message",
    [
        (Flip(), Potts(RING), "levels of Flip must equal that of Potts, 3, got 2"),
        (Recolor(4), Potts(RING), "levels of Recolor must equal .* 3, got 4"),
        (Hop(RING, 9), BoseHubbard(RING), "levels of Hop must equal"),
        (Flip(), Heisenberg(RING), r"move of the sampler, Flip, must keep the sums"),
    ],
)
def test_moves_are_compared_with_the_model(move, model, message):
    with pytest.raises(ValueError, match=message):
        check_moves(SiteMetropolis(move), model, walkers_of(model), compiled)


def test_moves_that_leave_the_levels_are_found():
    @dataclasses.dataclass(frozen=True)
    class Shift(Flip):
        by: int
        levels: ClassVar[int] = 3

        def __call__(self, u, x, sites):
            return x[sites] + self.by, jnp.zeros_like(u)

    model = Potts(RING)
    for by in (1, -1):
        move = SiteMetropolis(Shift(by))
        with pytest.raises(ValueError, match="Shift, must keep the levels 0 to 2 of"):
            check_moves(move, model, walkers_of(model), compiled)
    for move in (Exchange(RING), Recolor(3)):
        check_moves(SiteMetropolis(move), model, walkers_of(model), compiled)


def test_all_permutations_of_equal_fermions_are_compared():
    def psi(params, x):  # changes its sign for one exchange only, of 0 and 2
        y = x[:, 0]
        value = (y[0] - y[2]) * (2.0 + jnp.cos(y[1]))
        return LogPsi(jnp.sign(value), jnp.log(jnp.abs(value)))

    trap = HarmonicTrap(3, 1, 1.0, None, Spins(3, 0))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 1)))
    with pytest.raises(ValueError, match="factor 1 under a cycle of .* 0 to 2"):
        check_symmetry(Function(psi), trap, {}, x, compiled)


def test_sign_has_modulus_one():
    def psi(params, x):
        return LogPsi(jnp.full((), 2.0), jnp.sum(params * x))

    x = walkers_of(TransverseFieldIsing(RING))
    given = Function(psi), TransverseFieldIsing(RING), jnp.ones(()), x
    with pytest.raises(ValueError, match="sign of Function must have modulus 1, got 2"):
        check_symmetry(*given, compiled)


def test_sign_rule_of_pairs_is_that_of_the_model():
    with pytest.raises(ValueError, match="marshall of ProjectedBCS must equal"):
        check_fields(ProjectedBCS(RING), Heisenberg(RING, marshall=False))
    check_fields(ProjectedBCS(RING), Heisenberg(RING))


@pytest.mark.parametrize(
    "shape, number, message",
    [
        ((8, 3, 1), 8, r"must have the shape \(w, 2, d\) for HarmonicTrap.*8, 3, 1"),
        ((7, 2, 1), 8, r"must give 8 walkers, got an array of shape \(7, 2, 1\)"),
    ],
)
def test_shape_of_walkers_is_checked(shape, number, message):
    trap = HarmonicTrap(2, 1)
    check_walkers(trap, jnp.zeros((8, 2, 1)), 8)
    with pytest.raises(ValueError, match=message):
        check_walkers(trap, jnp.zeros(shape), number)
    with pytest.raises(ValueError, match=r"must have the shape \(w, 4\)"):
        check_walkers(TransverseFieldIsing(RING), jnp.zeros((8, 5), int))


@dataclasses.dataclass(frozen=True)
class Named:
    """An observable of any shape."""

    name: str = "size"
    shape: tuple[int, ...] = ()
    grid: np.ndarray | None = None

    def __call__(self, ansatz, params, x):
        return jnp.zeros(self.shape) + jnp.sum(x)


LINE = np.arange(4.0)


@pytest.mark.parametrize(
    "observables, message",
    [
        ((Named(shape=(2,)),), r"'size' must have the shape \(\) .* got \(2,\)"),
        ((Named(shape=(5,), grid=LINE),), r"the shape \(4,\) or \(c, k\) .* got \(5,"),
        ((Named(shape=(), grid=LINE),), r"the shape \(4,\) .* got \(\)"),
        ((Named(), Named()), "'size' must have a name of its own"),
        ((Named("v_score"),), "must have a name of its own: 'v_score' is that of the"),
        (
            (Named("rho", (4,), LINE), Named("rho_error", (4,), LINE)),
            "'rho_error' must have a name of its own",
        ),
        ((Named("a/b"),), "must be text without '/', got 'a/b'"),
        ((Named,), r"observables\[0\] must be an object, Named\(\) say, got Named"),
        ((len,), r"name of observables\[0\], len, must be text"),
        (Named(), "observables must be a tuple"),
    ],
)
def test_observables_are_checked(observables, message):
    given = Function(gaussian), {"a": 1.0}, jnp.zeros((2, 1))
    good = (
        Named(),
        Named("two", (2, 4), LINE),
        RadialDensity(4.0, 10),
        MeanSquareRadius(),
    )
    check_observables(good, *given)
    with pytest.raises(ValueError, match=message):
        check_observables(observables, *given)


def test_classes_are_no_objects():
    with pytest.raises(ValueError, match=r"sampler must be an object, Metropolis\(\)"):
        check_instances(sampler=Metropolis)
    with pytest.raises(ValueError, match="sampler must be an object"):
        experiment(sampler=Metropolis)


def test_run_refuses_an_observable_before_it_begins(tmp_path):
    settings = {"directory": str(tmp_path / "a"), "observables": (Named(), Named())}
    with pytest.raises(RunError, match="must have a name of its own"):
        run(experiment(**settings))
    assert not (tmp_path / "a").exists()


class Broken(HarmonicTrap):
    """A trap with references that are not any."""

    def references(self):
        return self.answer()


@pytest.mark.parametrize(
    "answer, warning",
    [
        (lambda: (1.0,), "must return a tuple of Reference, got (1.0,)"),
        (lambda: Reference(1.0, 0.0, "exact", ""), "must return a tuple of Reference"),
        (lambda: None, "must return a tuple of Reference, got None"),
        (lambda: [][0], "failed, the energy is not compared: IndexError"),
    ],
)
def test_broken_references_are_a_warning(answer, warning, monkeypatch):
    monkeypatch.setattr(Broken, "answer", lambda self: answer(), raising=False)
    found, warnings = known_references(Broken(2, 1))
    assert found == () and warning in warnings[0]
    good, none = known_references(HarmonicTrap(2, 1))
    assert good[0].value == 1.0 and not none


def test_diffusion_is_compared_with_the_kinetic_energy():
    class Half(HarmonicTrap):
        diffusion = 1.0

    x = jnp.asarray(np.random.default_rng(0).normal(size=(8, 2, 1)))
    psi = FeedForward((4,))
    params = psi.init(jax.random.key(0), x[0])
    Projection(psi, HarmonicTrap(2, 1)).check(params, x, compiled)
    with pytest.raises(ValueError, match="diffusion of Half must be D .* diffusion=1"):
        Projection(psi, Half(2, 1)).check(params, x, compiled)


def test_sampled_classical_model_requires_its_own_density():
    model = ClassicalIsing(RING, 2.0, sampled=True)
    x, hotter = jnp.zeros(4, int), ClassicalIsing(RING, 5.0, sampled=True)
    assert model.terms(Boltzmann(model), {}, x)["energy"] == -4
    for ansatz in (Boltzmann(hotter), BinaryRBM()):
        with pytest.raises(ValueError, match="must be Boltzmann of this model"):
            model.terms(ansatz, {}, x)


def test_no_bond_joins_a_site_with_itself():
    pair = Lattice((2,))
    assert pair.edges.tolist() == [[0, 1], [1, 0]]
    assert pair.second_edges.tolist() == []
    assert side_by_side(pair, 2).n == 4


@pytest.mark.parametrize("n, j, field", [(5, 1.0, 0.3), (5, 1.0, -0.3)])
def test_degenerate_levels_are_complete(n, j, field):
    model = Potts(Lattice((n,)), 3, j, field)  # 243 configurations
    exact = np.linalg.eigvalsh(dense(model))[:6]
    found = [level.value for level in model.spectrum(6)]
    np.testing.assert_allclose(found, exact, atol=1e-9)


def dense(model):
    """The matrix from `diagonal` and `connected`, one row after the other."""
    q, n = model.levels, model.n
    x = np.array(np.unravel_index(np.arange(q**n), n * (q,))).T
    rows = jax.jit(jax.vmap(lambda x: (sum(model.diagonal(x).values()),
                                       model.connected(x))))(x)  # fmt: skip
    diagonal, rows = rows
    matrix = np.diag(np.asarray(diagonal)).astype(rows.elements.dtype)
    for i, (start, row) in enumerate(
        zip(x, zip(*map(np.asarray, rows), strict=True), strict=True)
    ):
        for sites, values, element in zip(*row, strict=True):
            there = start.copy()
            there[sites] = values
            matrix[i, np.ravel_multi_index(there, n * (q,))] += element
    return matrix


@dataclasses.dataclass(frozen=True)
class Circulating(LatticeModel):
    """H = -sum_i (e^{i a} s+_i s-_{i+1} + h.c.) of spins, with complex elements."""

    lattice: Lattice = Lattice((7,))
    angle: float = 0.4

    off_diagonal: ClassVar[str] = "hopping"

    def diagonal(self, x):
        return {"field": 0.1 * jnp.sum(x * jnp.arange(x.shape[0]))}

    def connected(self, x):
        sites = jnp.asarray(self.lattice.edges)
        here, there = x[sites[:, 0]], x[sites[:, 1]]
        sign = jnp.where(here > there, 1.0, -1.0)
        phase = jax.lax.complex(jnp.cos(self.angle) + 0 * sign, self.angle * sign)
        elements = jnp.where(here != there, -phase, 0.0)
        return Connected(sites, x[sites[:, ::-1]], elements)


def test_reference_of_complex_elements():
    model = Circulating()  # 128 configurations, above the dense limit
    check_rows(model, walkers_of(model), compiled)
    exact = np.linalg.eigvalsh(dense(model))
    assert model.references()[0].value == pytest.approx(exact[0], abs=1e-9)
    assert abs(exact[0] - np.linalg.eigvalsh(dense(model).real)[0]) > 1e-3


@pytest.fixture(scope="module")
def well():
    """Psi of two particles on a line, exact for `Well`."""
    walkers = jnp.asarray(np.random.default_rng(0).normal(size=(16, 2, 1)))
    return Function(gaussian, exact), exact(None, walkers[0]), walkers


def test_evaluation_refuses_a_system_of_another_shape(well):
    sampler = Metropolis(sweeps=1)
    for system in (HarmonicTrap(3, 1), HarmonicTrap(2, 2), TransverseFieldIsing(RING)):
        with pytest.raises(ValueError, match="hamiltonian must have configurations of"):
            nqs.evaluate(well, system, sampler=sampler, steps=2)
    psi = FeedForward((2,), omega=1.0)
    network = psi, psi.init(jax.random.key(0), well[2][0]), well[2]
    stiffer = nqs.evaluate(network, HarmonicTrap(2, 1, 1.2), sampler=sampler, steps=2)
    assert stiffer["energy"] > 1.0
    fermions = HarmonicTrap(2, 1, 1.0, None, Spins(2, 0))
    with pytest.raises(ValueError, match="factor -1 under an exchange"):
        nqs.evaluate(well, fermions, sampler=sampler, steps=2)


def test_parameters_of_a_lower_precision_are_trained(tmp_path):
    class Single(nn.Module):
        @nn.compact
        def __call__(self, x):
            h = nn.Dense(2)(x.reshape(-1).astype(jnp.float32))
            return LogPsi(jnp.ones(()), -jnp.sum(x**2) / 2 + jnp.sum(jnp.tanh(h)))

    for space in ("samples", "parameters"):
        found = run(
            experiment(
                ansatz=Single(),
                hamiltonian=HarmonicTrap(1, 1),
                optimizer=SR(space=space),
                iterations=2,
                directory=str(tmp_path / space),
            )
        )
        assert any("set param_dtype=float64" in text for text in found["warnings"])


def test_loading_names_the_part_of_a_script(tmp_path):
    with pytest.raises(ValueError, match="part must be one of ansatz, hamiltonian"):
        nqs.load(tmp_path, observable=())

"""Lattice Hamiltonians against matrices made of Kronecker products, and exact energies.

The energies are those of kind "exact" in the reference values of the project.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import J1J2, Heisenberg, Potts, TransverseFieldIsing
from hamiltonians.references.chains import heisenberg_ring, ising_ring
from hamiltonians.references.lanczos import configurations, ground_state, operator
from nqs.space.lattice import Graph, Lattice, sublattices
from nqs.types import Function, LogPsi
from tests.cases import few

RING, SQUARE = Lattice((4,)), Lattice((3, 2), "square", periodic=False)
LADDER, TRIANGLES = Lattice((2, 4), "square"), Lattice((3, 3), "triangular")
GRAPH = Graph(5, ((0, 1), (1, 3), (3, 4), (0, 4), (2, 1)))

PAULI = {
    "x": np.array([[0, 1], [1, 0]]),
    "y": np.array([[0, -1j], [1j, 0]]),
    "z": np.array([[1, 0], [0, -1]]),
}


def product(n, levels, **factors):
    """The Kronecker product with factors at some sites, named site_0 and so on."""
    one = np.eye(levels)
    return functools.reduce(np.kron, [factors.get(f"site_{i}", one) for i in range(n)])


def pair(n, levels, i, j, a, b):
    return product(n, levels, **{f"site_{i}": a, f"site_{j}": b})


def ising_matrix(model):
    n, edges = model.n, model.lattice.edges
    z, x = PAULI["z"], PAULI["x"]
    coupling = sum(pair(n, 2, i, j, z, z) for i, j in edges)
    field = sum(product(n, 2, **{f"site_{i}": x}) for i in range(n))
    # the basis of the model is rotated by pi about z, which changes the field's sign
    return -model.j * coupling - abs(model.field) * field


def heisenberg_matrix(model):
    n = model.n
    bonds = [(*edge, model.j) for edge in model.lattice.edges]
    if isinstance(model, J1J2):
        bonds += [(*edge, model.j2) for edge in model.lattice.second_edges]
    total = sum(
        j / 4 * pair(n, 2, i, k, s, s) for i, k, j in bonds for s in PAULI.values()
    )
    if model.marshall:
        side = sublattices(n, model.lattice.edges)
        turned = [f"site_{i}" for i in range(n) if side[i] > 0]
        turn = product(n, 2, **dict.fromkeys(turned, PAULI["z"]))
        total = turn @ total @ turn
    return total


def potts_matrix(model):
    n, q = model.n, model.levels
    z = np.diag(np.exp(2j * np.pi * np.arange(q) / q))
    x = np.roll(np.eye(q), 1, axis=0)  # |l> to |l + 1>
    coupling = sum(pair(n, q, i, j, z.conj(), z) for i, j in model.lattice.edges)
    field = sum(product(n, q, **{f"site_{i}": x}) for i in range(n))
    total = -model.j * coupling - model.field * field
    return total + total.conj().T


MODELS = {
    "Ising ring": (TransverseFieldIsing(RING, 0.7, 1.3), ising_matrix),
    "Ising square": (TransverseFieldIsing(SQUARE, -0.7, 0.4), ising_matrix),
    "Ising graph": (TransverseFieldIsing(GRAPH, 1.1, -0.8), ising_matrix),
    "Heisenberg ring": (Heisenberg(RING, 0.9), heisenberg_matrix),
    "Heisenberg graph": (
        Heisenberg(GRAPH, -0.9, marshall=False, n_down=3),
        heisenberg_matrix,
    ),
    "J1-J2 ladder": (J1J2(LADDER, 0.9, j2=0.4), heisenberg_matrix),
    "J1-J2 triangles": (J1J2(TRIANGLES, 1.0, False, j2=-0.3), heisenberg_matrix),
    "Potts ring": (Potts(RING, 3, 0.8, 1.2), potts_matrix),
    "Potts of four levels": (Potts(Lattice((3,), periodic=False), 4), potts_matrix),
    "Potts of two levels": (Potts(RING, 2, 0.8, 1.2), potts_matrix),
}


def matrix(name):
    """The configurations, and the matrix between them."""
    model, make = MODELS[name]
    x = configurations(model)
    rows = x @ model.levels ** np.arange(model.n - 1, -1, -1)
    return x, make(model)[np.ix_(rows, rows)]


def table(model, x, psi):
    """Any wave function, as a table of its values."""
    weights = model.levels ** np.arange(model.n - 1, -1, -1)
    values = np.ones(model.levels**model.n, complex)
    values[x @ weights] = psi

    def log_psi(params, x):
        psi = jnp.asarray(values)[x @ weights]
        return LogPsi(psi / jnp.abs(psi), jnp.log(jnp.abs(psi)))

    return Function(log_psi)


@functools.cache
def evaluated(name):
    """Any psi (c,), and terms, connected configurations and diagonal, compiled."""
    model, x = MODELS[name][0], configurations(MODELS[name][0])
    random = np.random.default_rng(1)
    psi = random.normal(size=len(x)) + 1j * random.normal(size=len(x))
    ansatz = table(model, x, psi)

    @jax.jit
    @jax.vmap
    def evaluate(x):
        return model.terms(ansatz, {}, x), model.connected(x), model.diagonal(x)

    return psi, *jax.tree.map(np.asarray, evaluate(x))


@pytest.mark.parametrize(
    "name",
    few(
        MODELS,
        "Ising square",
        "Heisenberg ring",
        "J1-J2 triangles",
        "Potts of four levels",
    ),
)
def test_local_energy_is_that_of_the_matrix(name):
    _, dense = matrix(name)
    psi, found, _, diagonal = evaluated(name)
    assert len(found) == 2
    assert np.linalg.norm(dense - dense.conj().T) < 1e-12
    np.testing.assert_allclose(sum(found.values()), dense @ psi / psi, rtol=1e-10)
    np.testing.assert_allclose(
        sum(diagonal.values()), np.diagonal(dense).real, atol=1e-12
    )


@pytest.mark.parametrize("name", MODELS)
def test_rows_have_one_shape_and_no_element_on_the_diagonal(name):
    x, (_, _, rows, _) = configurations(MODELS[name][0]), evaluated(name)
    here = np.take_along_axis(x[:, None, :], rows.sites, axis=2)
    assert np.all(np.any(here != rows.values, axis=2) | (rows.elements == 0))


@pytest.mark.parametrize(
    "name", few(MODELS, "Ising square", "J1-J2 ladder", "Potts ring")
)
def test_lanczos_finds_the_lowest_eigenvalue(name):
    model, (x, dense) = MODELS[name][0], matrix(name)
    same, times = operator(model)
    np.testing.assert_array_equal(same, x)
    psi = np.random.default_rng(2).normal(size=len(x))
    np.testing.assert_allclose(times(psi), dense.real @ psi, atol=1e-12)
    found = ground_state(model)
    np.testing.assert_allclose(found.energy, np.linalg.eigvalsh(dense)[0], rtol=1e-10)
    np.testing.assert_allclose(dense @ found.psi, found.energy * found.psi, atol=1e-7)
    (reference,) = model.references()
    np.testing.assert_allclose(reference.value, found.energy, rtol=1e-10)
    assert (reference.kind, reference.error) == ("exact", 0)


@pytest.mark.parametrize("name", ["Heisenberg ring", "J1-J2 ladder"])
def test_marshall_rotation_does_not_change_energies(name):
    model = MODELS[name][0]
    turned = ground_state(model)
    assert np.all(turned.psi > 0) or np.all(turned.psi < 0) or model.n == 8
    if isinstance(model, J1J2):
        plain = J1J2(model.lattice, model.j, False, j2=model.j2)
    else:
        plain = Heisenberg(model.lattice, model.j, False)
    np.testing.assert_allclose(ground_state(plain).energy, turned.energy, rtol=1e-12)


@pytest.mark.parametrize(
    "n, j, field",
    [  # even and odd rings at, below and above the critical field
        (2, 0.4, 1.0),
        (4, 1.0, 1.0),
        (10, 1.0, 0.5),
        (3, 1.0, 0.5),
        (7, 1.0, 1.0),
        (7, 0.4, 1.0),
    ],
)
def test_free_fermions_have_the_energy_of_the_ring(n, j, field):
    found = ground_state(TransverseFieldIsing(Lattice((n,)), j, field)).energy
    np.testing.assert_allclose(ising_ring(n, j, field), found, rtol=1e-12)


def test_ising_energy_on_an_even_ring_is_independent_of_signs():
    energies = [
        TransverseFieldIsing(Lattice((6,)), j, h).references()[0].value
        for j in (0.8, -0.8)
        for h in (1.2, -1.2)
    ]
    exact = ground_state(TransverseFieldIsing(Lattice((6,)), -0.8, -1.2)).energy
    np.testing.assert_allclose(energies, exact, rtol=1e-12)
    frustrated = TransverseFieldIsing(Lattice((5,)), -0.8, 1.2)
    np.testing.assert_allclose(
        frustrated.references()[0].value, ground_state(frustrated).energy
    )
    assert frustrated.references()[0].value > ising_ring(5, 0.8, 1.2)


def test_energies_equal_the_values_of_the_reference_file():
    critical = TransverseFieldIsing(Lattice((32,))).references()[0].value
    np.testing.assert_allclose(critical, -40.76003249419223, rtol=1e-12)
    for n, energy in {4: -2, 10: -4.515446354492047, 200: -88.6335532522416}.items():
        np.testing.assert_allclose(heisenberg_ring(n), energy, rtol=1e-12)
    cases = {
        Heisenberg(Lattice((10,))): -4.515446354492047,
        J1J2(Lattice((10,)), j2=0.4): -3.84291850317486,
        J1J2(Lattice((10,)), j2=0.5): -3.75,
        Potts(Lattice((4,))): -10.02191892005302,
        Potts(Lattice((4,)), field=2.0): -16.771335820833407,
    }
    for model, energy in cases.items():
        assert model.references()[0].value == pytest.approx(energy, abs=1e-9)
    torus = Lattice((6, 6), "square")
    # per site, H. J. Schulz et al., J. Phys. I 6, 675 (1996)
    for model, energy in (
        (Heisenberg(torus, 2.0), -0.678872),
        (J1J2(torus, 2.0, j2=1.0), -0.503810),
    ):
        (found,) = model.references()
        assert found.value == pytest.approx(2 * 36 * energy, abs=2 * 36 * 5e-7)
        assert found.kind == "exact"
    assert not J1J2(torus, j2=0.4).references()


@pytest.mark.parametrize(
    "model, energy",
    [
        (Heisenberg(Lattice((4, 4), "square")), -11.228483208428859),
        pytest.param(
            *(J1J2(Lattice((4, 4), "square"), j2=0.5), -8.457923351394868),
            marks=pytest.mark.further,
        ),
        pytest.param(
            Potts(Lattice((8,))), -19.624722215958194, marks=pytest.mark.further
        ),
    ],
    ids=str,
)
def test_energies_of_many_configurations_equal_the_reference_file(model, energy):
    assert model.references()[0].value == pytest.approx(energy, abs=1e-9)


def test_large_lattices_are_not_diagonalized():
    large = TransverseFieldIsing(Lattice((6, 6), "square"))
    assert large.references() == ()
    with pytest.raises(
        ValueError, match=r"configurations must be at most 2097152, got 2\^36"
    ):
        ground_state(large)


def test_walkers_are_drawn_from_all_allowed_levels():
    some = Heisenberg(GRAPH, marshall=False, n_down=3)

    @jax.jit
    def first(key):
        return [model.initial_walkers(key, 3000) for model in (Potts(RING), some)]

    walkers, spins = map(np.asarray, first(jax.random.key(0)))
    counts = np.array([np.sum(walkers == level, axis=0) for level in range(3)])
    assert walkers.shape == (3000, 4) and np.all(np.abs(counts - 1000) < 130)
    assert np.all(np.sum(spins, axis=1) == 3) and {*np.unique(spins)} == {0, 1}
    assert np.all(np.abs(np.mean(spins, axis=0) - 0.6) < 0.05)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TransverseFieldIsing(RING, field=np.inf), "field must be a finite"),
        (lambda: Heisenberg(TRIANGLES, marshall=True), "requires a bipartite lattice"),
        (lambda: Heisenberg(RING, n_down=5), "n_down must be .* <= 4, got 5"),
        (lambda: J1J2(RING, j2="1"), "j2 must be a finite number, got '1'"),
        (lambda: Potts(RING, levels=1), "levels must be an integer >= 2, got 1"),
        (lambda: heisenberg_ring(5), "n must be even, got 5"),
    ],
)
def test_invalid_models_raise(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""Particles on lattices against matrices in Fock space, and exact eigenstates."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hamiltonians import TV, XXZ, BoseHubbard, Heisenberg, Hubbard
from hamiltonians.references.lanczos import configurations, ground_state, operator
from nqs.ansatze import BinaryRBM, FeedForward, LatticeSlater, SpinJastrow
from nqs.contracts import check_fields
from nqs.space.lattice import Graph, Lattice, side_by_side
from nqs.types import Function, LogPsi
from samplers import Exchange, Hop, SiteMetropolis
from tests.cases import few, further, most
from tests.drawn import parameters

RING, TORUS = Lattice((6,)), Lattice((4, 2), "square")
TRIANGLES, GRAPH = Lattice((3, 2), "triangular"), Graph(4, ((0, 2), (3, 1), (1, 0)))

FERMIONS = {
    "t-V ring of an odd number": TV(RING, 1.3, 3),
    "t-V ring of an even number": TV(RING, 1.3, 4),
    "t-V torus": TV(TORUS, 0.7, 3, 0.9),
    "t-V triangles": TV(TRIANGLES, -1.0, 2, -0.7),
    "t-V graph": TV(GRAPH, 2.0),
    "Hubbard ring": Hubbard(Lattice((4,)), 4.0),
    "Hubbard ring of odd numbers": Hubbard(Lattice((5,)), 3.0, 3, 1),
    "Hubbard torus": Hubbard(Lattice((2, 2), "square"), 2.0, 2, 1, 0.8),
    "Hubbard triangles": Hubbard(TRIANGLES, 5.0, 2, 1, -1.0),
    "Hubbard graph of one spin": Hubbard(GRAPH, 5.0, 2, 0),
}
BOSONS = {
    "ring": BoseHubbard(Lattice((4,)), 1.7),
    "torus": BoseHubbard(Lattice((2, 2), "square"), 0.6, 3, t=0.8),
    "at most two": BoseHubbard(Lattice((3, 2), "triangular"), 2.0, 5, 2, -0.5),
    "hard core": BoseHubbard(GRAPH, 2.0, 2, 1),
}
SPINS = {
    "ring": XXZ(RING, 0.9, delta=0.5),
    "turned torus": XXZ(TORUS, 1.2, n_down=3, delta=-0.3),
    "triangles": XXZ(TRIANGLES, 0.9, delta=2.0),
}
ALL = FERMIONS | {f"bosons {name}": model for name, model in BOSONS.items()}
ALL |= {f"spins {name}": model for name, model in SPINS.items()}


def moved(occupied, i, j):
    """Sign and modes after c_i^+ c_j on c_a^+ c_b^+ ... |0> of modes (a, b, ...)."""
    if j not in occupied:
        return 0, occupied
    modes, sign = list(occupied), (-1) ** occupied.index(j)  # past those to its left
    modes.remove(j)
    if i in modes:
        return 0, occupied
    modes, swaps = [i, *modes], 0
    for k in range(len(modes) - 1):  # into its place, one exchange after the other
        if modes[k] > modes[k + 1]:
            modes[k], modes[k + 1] = modes[k + 1], modes[k]
            swaps += 1
    return sign * (-1) ** swaps, tuple(modes)


def fermion_matrix(model, x):
    """<x|H|x'> by the anticommutation of operators."""
    states = [tuple(np.flatnonzero(row).tolist()) for row in x]
    place = {state: k for k, state in enumerate(states)}
    bonds = model.lattice.edges.tolist()
    if isinstance(model, Hubbard):
        bonds += [[i + model.n, j + model.n] for i, j in bonds]
    matrix = np.zeros((len(x), len(x)))
    for column, state in enumerate(states):
        for i, j in [*bonds, *(bond[::-1] for bond in bonds)]:
            sign, there = moved(state, i, j)
            if sign:
                matrix[place[there], column] -= model.t * sign
        if isinstance(model, Hubbard):
            pairs = [(i, i + model.n) for i in range(model.n)]
        else:
            pairs = bonds
        repulsion = model.u if isinstance(model, Hubbard) else model.v
        both = [i in state and j in state for i, j in pairs]
        matrix[column, column] += repulsion * sum(both)
    return matrix


def boson_matrix(model, x):
    """<x|H|x'> of products of truncated ladder operators."""
    a = np.diag(np.sqrt(np.arange(1.0, model.levels)), 1)
    one, number = np.eye(model.levels), a.T @ a

    def at(**factors):
        factors = [factors.get(f"site_{i}", one) for i in range(model.n)]
        return functools.reduce(np.kron, factors)

    total = sum(
        model.u / 2 * at(**{f"site_{i}": number @ (number - one)})
        for i in range(model.n)
    )
    for i, j in model.lattice.edges:
        hop = at(**{f"site_{i}": a.T, f"site_{j}": a})
        total = total - model.t * (hop + hop.T)
    return restricted(total, model, x)


def spin_matrix(model, x):
    """<x|H|x'> of products of spin matrices."""
    s = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]]) / 2
    total = 0
    for i, j in model.lattice.edges:
        for matrix, weight in zip(s, (1, 1, model.delta), strict=True):
            factors = [np.eye(2)] * model.n
            factors[i] = factors[j] = matrix
            total = total + model.j * weight * functools.reduce(np.kron, factors)
    return restricted(total.real, model, x)


def restricted(matrix, model, x):
    rows = x @ model.levels ** np.arange(model.n - 1, -1, -1)
    return matrix[np.ix_(rows, rows)]


@functools.cache
def matrix(name):
    """The configurations, and the matrix between them."""
    model = ALL[name]
    x = configurations(model)
    makers = {BoseHubbard: boson_matrix, XXZ: spin_matrix}
    return x, makers.get(type(model), fermion_matrix)(model, x)


def table(model, x, psi):
    """Any wave function, as a table of its values."""
    weights = model.levels ** np.arange(model.size)
    values = np.ones(model.levels**model.size)
    values[x @ weights] = psi

    def log_psi(params, x):
        psi = jnp.asarray(values)[x @ weights]
        return LogPsi(jnp.sign(psi), jnp.log(jnp.abs(psi)))

    return Function(log_psi)


def local_energies(model, ansatz, params, x):
    local = jax.vmap(lambda x: model.local_energy(ansatz, params, x))
    return np.asarray(jax.jit(local)(x))


def values(psi):
    return psi.sign * np.exp(psi.logabs)


@functools.cache
def of_random_psi(name):
    """Psi, its local energies, and whether a row leaves its sector, (c,) each."""
    model, (x, _) = ALL[name], matrix(name)
    psi = np.random.default_rng(1).normal(size=len(x))
    ansatz = table(model, x, psi)

    @jax.jit
    @jax.vmap
    def evaluated(x):
        row = model.connected(x)
        there = jax.vmap(lambda s, v: x.at[s].set(v))(row.sites, row.values)
        there = there.reshape(len(there), len(model.totals), -1)
        wrong = jnp.any(there.sum(axis=2) != np.array([model.totals]), axis=1)
        inside = jnp.all((there >= 0) & (there < model.levels))
        leaves = jnp.any(wrong & (row.elements != 0)) | ~inside
        return model.local_energy(ansatz, {}, x), leaves

    return psi, *jax.device_get(evaluated(x))


@pytest.mark.parametrize(
    "name",
    few(
        ALL,
        "t-V torus",
        "Hubbard ring",
        "Hubbard triangles",
        "bosons at most two",
        "spins turned torus",
    ),
)
def test_local_energy_is_that_of_the_matrix_with_its_signs(name):
    model, (x, dense) = ALL[name], matrix(name)
    if isinstance(model, XXZ) and model.marshall:  # the same up to signs of psi
        side = (-1) ** (x @ (model.lattice.coordinates.sum(axis=1) % 2))
        dense = side[:, None] * dense * side
    np.testing.assert_allclose(dense, dense.T, atol=1e-14)
    psi, found, _ = of_random_psi(name)
    np.testing.assert_allclose(found, dense @ psi / psi, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(operator(model)[1](psi), dense @ psi, atol=1e-12)


@pytest.mark.parametrize(
    "name", most(ALL, "Hubbard torus", "Hubbard triangles", "t-V ring of an odd number")
)
def test_reference_is_the_lowest_eigenvalue_of_the_matrix(name):
    model, (_, dense) = ALL[name], matrix(name)
    (reference,) = model.references()
    assert reference.kind == "exact"
    np.testing.assert_allclose(reference.value, np.linalg.eigvalsh(dense)[0], rtol=1e-9)


@pytest.mark.parametrize("name", ["t-V ring of an even number", "Hubbard torus"])
def test_exact_ground_state_has_zero_variance(name):
    model, (x, dense) = ALL[name], matrix(name)
    energies, vectors = np.linalg.eigh(dense)
    psi = vectors[:, 0]
    there = np.abs(psi) > 1e-8
    assert np.any(psi[there] > 0) and np.any(psi[there] < 0)
    found = local_energies(model, table(model, x, psi), {}, x[there])
    np.testing.assert_allclose(found, energies[0], rtol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_rows_keep_every_conserved_number(name):
    _, _, leaves_its_sector = of_random_psi(name)
    assert not np.any(leaves_its_sector)


CLOSED_SHELLS = {
    "t-V": TV(Lattice((4, 4), "square"), 0.0, 5),
    "t-V ring": TV(RING, 0.0, 3),
    "t-V triangles": TV(Lattice((4, 4), "triangular"), 0.0, 7),
    "frustrated": TV(Lattice((5,)), 0.0, 2, -1.0),
    "Hubbard": Hubbard(RING, 0.0, 3, 3),
    "two numbers": Hubbard(Lattice((5,)), 0.0, 3, 1, 0.7),
    "open": Hubbard(Lattice((3, 2), "square", False), 0.0, 3, 2),
}


@pytest.mark.parametrize("name", few(CLOSED_SHELLS, "Hubbard"))
def test_slater_determinant_starts_as_free_fermions_of_zero_variance(name):
    model = CLOSED_SHELLS[name]
    hidden = (4,) if name in ("t-V ring", "Hubbard") else ()  # zero at the start
    ansatz = LatticeSlater(model.lattice, model.totals, hidden, stddev=0.0, t=model.t)
    every = configurations(model)
    x = every[:: 1 + len(every) // 50]

    @jax.jit
    def evaluated(x):
        params = ansatz.init(jax.random.key(0), x[0])

        def of_one(x):
            energy = model.local_energy(ansatz, params, x)
            return ansatz.apply(params, x).logabs, energy

        return jax.vmap(of_one)(x)

    logabs, found = map(np.asarray, evaluated(x))
    found = found[logabs > np.max(logabs) - 10]
    matrix = np.zeros((model.n, model.n))
    for i, j in model.lattice.edges:
        matrix[i, j] -= model.t
        matrix[j, i] -= model.t
    levels = np.linalg.eigvalsh(matrix)
    energy = sum(levels[:total].sum() for total in model.totals)
    assert len(found) > 5
    np.testing.assert_allclose(found, energy, rtol=1e-6)  # 1e-6 splits degenerate ones
    np.testing.assert_allclose(ground_state(model).energy, energy, rtol=1e-9)


def test_slater_determinant_is_the_amplitude_in_occupation_form():
    """psi(x) = <x| prod_k (sum_i phi_ik c_i^+) |0> as a sum over all permutations."""
    ansatz = LatticeSlater(Lattice((5,)), (3, 2), hidden=(), stddev=0.5)
    x = np.array([1, 0, 1, 1, 0, 0, 1, 0, 0, 1])
    params = parameters(ansatz, x)
    phi, value = np.asarray(params["params"]["orbitals"]), 1.0
    for sites, columns in (([0, 2, 3], [0, 1, 2]), ([1, 4], [3, 4])):
        total = 0.0
        for order in itertools.permutations(range(len(sites))):
            sign = np.linalg.det(np.eye(len(order))[list(order)])
            total += sign * np.prod([phi[sites[k], columns[p]] for k, p in enumerate(order)])  # fmt: skip # noqa: E501
        value *= total
    s = 1 - 2 * x
    w = np.asarray(params["params"]["SpinJastrow_0"]["pairs"])[:, 0, 0]
    a = np.asarray(params["params"]["SpinJastrow_0"]["field"])[:, 0]
    pairs = [s[i] * s[j] for i, j in itertools.combinations(range(10), 2)]
    value *= np.exp(a @ s + w @ pairs)
    found = values(jax.jit(ansatz.apply)(params, x))
    np.testing.assert_allclose(found, value, rtol=1e-10)


def test_opposite_spins_start_in_different_degenerate_orbitals():
    """At half filling of 8 sites one of two orbitals of zero energy is filled."""
    model = Hubbard(Lattice((8,)))
    ansatz = LatticeSlater(model.lattice, model.totals, stddev=0.0)
    params = jax.jit(ansatz.init)(jax.random.key(0), configurations(model)[0])
    last = np.asarray(params["params"]["orbitals"])[:, [3, 7]]
    assert np.abs(last[:, 0] @ last[:, 1]) < 1e-6
    assert np.sum(last[:, 0] ** 2 * last[:, 1] ** 2) < 1e-10


def test_backflow_depends_on_the_other_spin():
    ansatz = LatticeSlater(Lattice((4,)), (2, 2), (3,), jastrow=False)
    up, down = (
        np.array([[1, 1, 0, 0], [1, 0, 1, 0]]),
        np.array([[1, 0, 1, 0], [0, 1, 0, 1]]),
    )
    x = np.array([[np.append(a, b) for b in down] for a in up])
    each = jax.jit(jax.vmap(jax.vmap(ansatz.apply, (None, 0)), (None, 0)))
    logs = np.asarray(each(parameters(ansatz, x[0, 0]), x).logabs)
    assert abs(logs[0][0] - logs[0][1] - logs[1][0] + logs[1][1]) > 1e-3


def test_flip_symmetric_psi_is_the_sum_of_both_assignments_of_spins():
    ring, x = Lattice((5,)), np.array([1, 1, 0, 0, 0, 0, 1, 0, 1, 0])
    sums = LatticeSlater(ring, (2, 2), (3,), flip_symmetric=True)
    one = LatticeSlater(ring, (2, 2), (3,))

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def both(params, x):
        return sums.apply(params, x), one.apply(params, x)

    found, of_one = both(parameters(sums, x), np.stack([x, np.roll(x, 5)]))
    here, there = values(of_one)
    assert abs(here / there - 1) > 1e-2
    np.testing.assert_allclose(values(found), here + there, rtol=1e-10)


@pytest.mark.parametrize("complex_psi", [*further(False), True])
def test_rbm_starts_as_free_bosons_of_zero_variance(complex_psi):
    model = BoseHubbard(RING, 0.0, 4)
    ansatz = BinaryRBM(levels=5, bosons=True, stddev=0.0, complex=complex_psi)
    x = configurations(model)
    params = jax.jit(ansatz.init)(jax.random.key(0), x[0])
    np.testing.assert_allclose(local_energies(model, ansatz, params, x), -8, rtol=1e-12)


def test_network_without_weights_is_that_of_free_bosons():
    model = BoseHubbard(RING, 0.0, 4)
    ansatz = FeedForward((3,), levels=5, bosons=True)
    x = configurations(model)
    params = parameters(ansatz, x[0], scale=0)
    np.testing.assert_allclose(local_energies(model, ansatz, params, x), -8, rtol=1e-12)


TORUS_OF_16, OCTAGON = Lattice((4, 4), "square"), Lattice((8,))


@pytest.mark.parametrize(
    "model, energy",
    [
        *further(
            (Hubbard(TORUS_OF_16, 4.0, 5, 5), -19.580937525419),
            (TV(TORUS_OF_16, 1.0, 5), -10.240650492312078),
            (Hubbard(OCTAGON, 4.0), -4.6035263),
        ),
        (Hubbard(Lattice((4, 2), "square", False), 8.0), -3.02592281),
        (BoseHubbard(OCTAGON, 4.0), -7.45979063),
    ],
)
def test_energies_equal_the_values_of_the_reference_file(model, energy):
    (reference,) = model.references()
    assert reference.kind == "exact"
    assert reference.value == pytest.approx(energy, abs=2e-8)


def test_large_lattice_has_an_estimate():
    (estimate,) = Hubbard(Lattice((8, 8), "square"), 8.0).references()
    assert (estimate.value, estimate.error) == (-33.642, 0.005)
    assert estimate.kind == "estimate"


def test_isotropic_xxz_model_has_the_references_of_heisenberg():
    ring = Lattice((10,))
    assert XXZ(ring).references() == Heisenberg(ring).references()
    exact = ground_state(Heisenberg(ring)).energy
    assert XXZ(ring).references()[0].value == pytest.approx(exact, rel=1e-9)
    found = XXZ(Lattice((16,)), delta=0.5).references()[0].value
    assert found == pytest.approx(-6.042763318181, rel=1e-9)


@pytest.mark.parametrize(
    "name", [*further("Hubbard ring of odd numbers"), "bosons at most two"]
)
def test_walkers_start_and_stay_at_the_conserved_numbers(name):
    model = ALL[name]
    if isinstance(model, Hubbard):
        move = Exchange(side_by_side(model.lattice, 2))
        ansatz = LatticeSlater(model.lattice, model.totals, (4,))
    else:
        move, ansatz = Hop(model.lattice, model.levels), SpinJastrow(levels=3)
    sampler = SiteMetropolis(move, 3)

    @jax.jit
    def first_and_last(key, params):
        walkers = model.initial_walkers(key, 64)
        state, info = sampler.step(key, ansatz, params, sampler.init(walkers))
        return walkers, state.walkers, info["acceptance"]

    params = parameters(ansatz, configurations(model)[0], scale=0.1)
    walkers, last, acceptance = first_and_last(jax.random.key(0), params)
    for found in (walkers, last):
        blocks = np.asarray(found).reshape(64, len(model.totals), -1)
        assert np.all(blocks.sum(axis=2) == np.array(model.totals))
        assert found.min() >= 0 and found.max() < model.levels
    assert len(np.unique(last, axis=0)) > 10 and acceptance > 0.1


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: BoseHubbard(RING, np.nan), "u must be a finite number"),
        (lambda: BoseHubbard(RING, 1.0, 0), "bosons must be an integer >= 1, got 0"),
        (lambda: BoseHubbard(RING, 1.0, 13, 2), "bosons must be .* <= 12, got 13"),
        (lambda: BoseHubbard(RING, most=0), "most must be an integer >= 1, got 0"),
        (lambda: TV(RING, 1.0, 7), "fermions must be .* <= 6, got 7"),
        (lambda: TV(RING, t="1"), "t must be a finite number, got '1'"),
        (lambda: Hubbard(RING, 1.0, 7), "up must be .* <= 6, got 7"),
        (lambda: Hubbard(RING, 1.0, 0, 0), "up \\+ down must be an integer >= 1"),
        (lambda: XXZ(RING, delta=np.inf), "delta must be a finite number"),
        (lambda: LatticeSlater(RING, (7,)), "totals must be .* <= 6, got 7"),
        (lambda: LatticeSlater(RING, (3,), (0,)), "hidden must be a tuple"),
        (
            lambda: LatticeSlater(RING, (3, 2), flip_symmetric=True),
            "flip_symmetric must be False unless",
        ),
        (lambda: BinaryRBM(levels=1, bosons=True), "levels must be an integer >= 2"),
        (lambda: Hop(RING, 1), "levels must be an integer >= 2, got 1"),
        (
            lambda: check_fields(LatticeSlater(RING, (3,)), Hubbard(RING)),
            "totals of LatticeSlater must equal that of Hubbard",
        ),
        (
            lambda: LatticeSlater(RING, (3,)).init(jax.random.key(0), np.zeros(5)),
            r"x must have shape \(6,\), got \(5,\)",
        ),
    ],
)
def test_invalid_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

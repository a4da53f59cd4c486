"""Natural gradient: three routes to one update, dense formulas, the trust region."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nqs.ansatze import (
    BinaryRBM,
    FeedForward,
    GaussianBinaryRBM,
    PadeJastrow,
    Product,
)
from nqs.optimizers import SR, MinSR, NaturalGradient, Schedule, Spring
from nqs.optimizers.derivatives import CenteredDerivatives
from nqs.optimizers.natural import solve
from nqs.space.spins import Spins
from nqs.types import Function, LogPsi
from tests.cases import few, further
from tests.drawn import flat, parameters

W = 12
ANSATZE = {
    "real": FeedForward(hidden=(3,)),
    "complex": FeedForward(hidden=(3,), phase=True),
    "rbm": GaussianBinaryRBM(n_hidden=2),
    "product": Product((FeedForward(hidden=(4,)), PadeJastrow(Spins(1, 1)))),
}


@functools.cache
def problem(ansatz):
    """Parameters, walkers, weights and arbitrary local energies."""
    rng = np.random.default_rng(0)
    walkers = rng.normal(size=(W, 2, 2))
    params = parameters(ansatz, walkers[0], seed=1, scale=0.5)
    energy, weights = rng.normal(size=W), np.exp(rng.normal(size=W))
    if jnp.iscomplexobj(jax.eval_shape(ansatz.apply, params, walkers[0]).sign):
        energy = energy + 1j * rng.normal(size=W)
    return params, walkers, weights / weights.sum(), energy


@functools.cache
def dense(ansatz):
    """O (rows, p) from a dense Jacobian, with alternating real and imaginary parts."""
    params, walkers, weights, _ = problem(ansatz)

    def parts(params, x):
        psi = ansatz.apply(params, x)
        both = (psi.logabs, jnp.angle(psi.sign))
        return jnp.stack(both[: 1 + jnp.iscomplexobj(psi.sign)])

    leaves = jax.jit(jax.vmap(jax.jacrev(parts), (None, 0)))(params, walkers)
    jacobian = [
        np.asarray(leaf).reshape(*leaf.shape[:2], -1)
        for leaf in jax.tree.leaves(leaves)
    ]
    jacobian = np.concatenate(jacobian, axis=2)  # (w, k, p)
    mean = np.einsum("w,wkp->kp", weights, jacobian)
    rows = np.sqrt(weights)[:, None, None] * (jacobian - mean)
    return rows.reshape(-1, rows.shape[2])


def dense_residual(weights, energy):
    centered = energy - np.sum(weights * energy)
    weights, centered = np.asarray(weights), np.asarray(centered)
    parts = [centered.real] + ([centered.imag] if np.iscomplexobj(energy) else [])
    return (np.sqrt(weights)[:, None] * np.stack(parts, axis=1)).ravel()


def dense_damping(residual, learning_rate=0.05):
    """Total damping of the default settings: damping + noise |learning_rate eps|^2."""
    defaults = NaturalGradient()
    assert defaults.noise > 0
    return defaults.damping + defaults.noise * np.sum((learning_rate * residual) ** 2)


@functools.cache
def compiled_update(optimizer, ansatz):
    transform = optimizer.build()

    @jax.jit
    def compiled(state, params, walkers, weights, energy):
        return transform.update(
            params,
            transform.init(params) if state is None else state,
            params,
            ansatz=ansatz,
            walkers=walkers,
            local_energy=energy,
            weights=weights,
        )

    return compiled


def update(optimizer, ansatz, state=None):
    return compiled_update(optimizer, ansatz)(state, *problem(ansatz))


@pytest.mark.parametrize(
    "name, memory, chunk_size",
    [
        *further(("complex", 2**30, 5)),
        ("complex", 500, None),
        pytest.param("real", 2**30, None, marks=pytest.mark.slow),
    ],
)
def test_products_and_gram_matrices_match_the_dense_matrix(name, memory, chunk_size):
    ansatz = ANSATZE[name]
    params, walkers, weights, _ = problem(ansatz)
    o = dense(ansatz)
    derivatives = CenteredDerivatives(
        ansatz, params, walkers, weights, chunk_size, memory
    )
    v = parameters(ansatz, walkers[0], seed=7)
    u = np.random.default_rng(8).normal(size=o.shape[:1])

    @jax.jit
    def products(u, v):
        back = derivatives.transposed_times(u)
        gram, metric = derivatives.gram(), derivatives.metric()
        return derivatives.times(v), gram, metric, back

    *found, back = products(u, v)
    exact = o @ flat(v), o @ o.T, o.T @ o, o.T @ u
    for one, expected in zip((*found, flat(back)), exact, strict=True):
        np.testing.assert_allclose(one, expected, atol=1e-12)


@pytest.mark.parametrize("name", few(ANSATZE, "complex"))
def test_sr_minsr_and_spring_without_momentum_agree(name):
    ansatz = ANSATZE[name]
    _, _, weights, energy = problem(ansatz)
    o, residual = dense(ansatz), dense_residual(weights, energy)
    damped = o.T @ o + dense_damping(residual) * np.eye(o.shape[1])
    expected = -0.05 * np.linalg.solve(damped, o.T @ residual)
    for optimizer in (SR, MinSR, Spring):
        settings = {"momentum": 0.0} if optimizer is Spring else {}
        found, _ = update(optimizer(max_step=None, **settings), ansatz)
        np.testing.assert_allclose(flat(found), expected, atol=1e-10)


SOLVED = {
    "parameters": {"space": "parameters"},
    "samples": {"space": "samples"},
    "cg": {"solver": "cg", "tolerance": 1e-12},
    "cg, columns beyond the memory": {"solver": "cg", "tolerance": 1e-12, "memory": 1},
}


@pytest.mark.parametrize("name", few(SOLVED, "samples", "cg"))
def test_spring_matches_the_formula_of_its_paper(name):
    ansatz, mu = ANSATZE["complex"], 0.8
    params, _, weights, energy = problem(ansatz)
    o, residual = dense(ansatz), dense_residual(weights, energy)
    optimizer = NaturalGradient(momentum=mu, max_step=None, **SOLVED[name])
    phi, state = np.zeros(o.shape[1]), optimizer.build().init(params)
    for _ in range(3):
        gram = o @ o.T + dense_damping(residual) * np.eye(len(o))
        phi = mu * phi + o.T @ np.linalg.solve(gram, residual - mu * o @ phi)
        found, state = update(optimizer, ansatz, state)
        np.testing.assert_allclose(flat(found), -0.05 * phi, atol=1e-9)


def test_conjugate_gradients_stop_at_the_tolerance():
    ansatz = ANSATZE["real"]
    _, _, weights, energy = problem(ansatz)
    o, residual = dense(ansatz), dense_residual(weights, energy)
    damped = o.T @ o + dense_damping(residual) * np.eye(o.shape[1])
    left = []
    for tolerance in (0.3, 1e-2):
        settings = {"solver": "cg", "tolerance": tolerance, "max_step": None}
        found, _ = update(SR(**settings), ansatz)
        rest = o.T @ residual - damped @ flat(found) / -0.05
        left.append(np.linalg.norm(rest) / np.linalg.norm(o.T @ residual))
    assert 1e-2 < left[0] <= 0.3 and 1e-6 < left[1] <= 1e-2


@pytest.mark.parametrize("solver", [*further("cholesky"), "cg"])
def test_max_step_bounds_the_step_and_the_stored_direction(solver):
    ansatz = ANSATZE["real"]
    o = dense(ansatz)
    free, _ = update(Spring(max_step=None, solver=solver), ansatz)
    angle = np.linalg.norm(o @ flat(free))
    bounded, state = update(Spring(max_step=angle / 4, solver=solver), ansatz)
    np.testing.assert_allclose(flat(bounded), flat(free) / 4)
    taken = flat(state.direction)
    np.testing.assert_allclose(-0.05 * taken, flat(bounded))
    loose, _ = update(Spring(max_step=2 * angle, solver=solver), ansatz)
    np.testing.assert_allclose(flat(loose), flat(free))


def test_large_damping_gives_half_the_energy_gradient():
    from nqs.gradient import energy_gradient

    ansatz = ANSATZE["complex"]
    params, walkers, weights, energy = problem(ansatz)
    gradient = jax.jit(energy_gradient, static_argnums=0)(
        ansatz, params, walkers, energy, weights
    )
    found, _ = update(MinSR(damping=1e8, learning_rate=1.0, max_step=None), ansatz)
    expected = -flat(gradient) / 2
    np.testing.assert_allclose(1e8 * flat(found), expected, rtol=1e-6)


def test_automatic_space_is_the_smaller_one():
    def program(ansatz):
        compiled = compiled_update(NaturalGradient(), ansatz)
        return str(jax.make_jaxpr(compiled)(None, *problem(ansatz)))

    # more parameters than walkers, and 9 parameters
    assert f"f64[{W},{W}] = cholesky" in program(ANSATZE["real"])
    assert "f64[9,9] = cholesky" in program(GaussianBinaryRBM(n_hidden=1))


def test_automatic_space_counts_the_operations_of_layers():
    walkers = np.random.default_rng(0).integers(0, 2, (100, 6))
    ansatz = BinaryRBM(alpha=2)  # 90 parameters, in one layer of 7 inputs
    params = parameters(ansatz, walkers[0])
    weights = np.full(100, 0.01)
    layered, plain = (
        CenteredDerivatives(psi, params, walkers, weights).operations()
        for psi in (ansatz, Function(ansatz.apply))
    )
    assert plain["parameters"] == layered["parameters"] == 100 * 90**2 + 90**3 / 3
    assert plain["samples"] == 100**2 * 90 + 100**3 / 3 > plain["parameters"]
    assert layered["samples"] == 100**2 * (7 + 12 + 6) + 100**3 / 3
    assert layered["samples"] < layered["parameters"]


def test_solve_of_an_indefinite_matrix_is_finite():
    vectors = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    values = np.array([1.0, 0.5, 0.1, 0.0, 0.0, -1e-6])
    vector = np.random.default_rng(1).normal(size=6)
    found = solve(jnp.asarray(vectors * values @ vectors.T), jnp.asarray(vector), 1e-8)
    expected = vectors @ ((vectors.T @ vector) / (np.maximum(values, 0) + 1e-8))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_step_scales_with_the_schedule():
    schedule = Schedule("linear", steps=2, final=0.0)
    optimizer = SR(schedule=schedule, max_step=None)
    first, state = update(optimizer, ANSATZE["real"])
    second, _ = update(optimizer, ANSATZE["real"], state)
    np.testing.assert_allclose(flat(second), flat(first) / 2, atol=1e-14)


@pytest.mark.parametrize(
    "field, value",
    [
        ("learning_rate", 0.0),
        ("damping", -1.0),
        ("noise", -1.0),
        ("momentum", 1.0),
        ("max_step", 0.0),
        ("space", "fourier"),
        ("memory", 0),
        ("solver", "lu"),
        ("tolerance", 0.0),
        ("tolerance", 1.0),
    ],
)
def test_invalid_settings_are_refused(field, value):
    with pytest.raises(ValueError, match=field):
        NaturalGradient(**{field: value})


def test_conjugate_gradients_among_samples_are_refused():
    with pytest.raises(ValueError, match='space must be "auto" or "parameters"'):
        MinSR(solver="cg")


@pytest.mark.parametrize(
    "phase, walkers, space",
    [(True, 8, "samples"), (True, 16, "parameters"), (False, 16, "samples")],
)
def test_auto_compares_parameters_with_rows_of_the_sample_matrix(
    phase, walkers, space, monkeypatch
):
    """A complex psi has two rows a walker: 24 parameters are fewer than 32 rows."""
    called = []
    for name, method in (("samples", "gram"), ("parameters", "metric")):
        real = getattr(CenteredDerivatives, method)

        def seen(self, name=name, real=real):
            called.append(name)
            return real(self)

        monkeypatch.setattr(CenteredDerivatives, method, seen)

    def psi(params, x):
        logabs = jnp.sum(params["a"]) * jnp.sum(x)
        angle = params["a"] @ jnp.arange(24.0) * x[0, 0]
        turn = jax.lax.complex(jnp.cos(angle), jnp.sin(angle))
        return LogPsi(turn if phase else jnp.ones_like(logabs), logabs)

    params = {"a": np.linspace(0.1, 0.2, 24)}
    x, energy = np.ones((walkers, 1, 1)), np.ones(walkers, complex if phase else float)
    optimizer = NaturalGradient(space="auto").build()

    def update(params, x, energy):
        return optimizer.update(
            params, optimizer.init(params), params, ansatz=Function(psi), walkers=x,
            local_energy=energy, weights=None,
        )  # fmt: skip

    jax.eval_shape(update, params, x, energy)
    assert called == [space]

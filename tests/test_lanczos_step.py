"""The energy after one Lanczos step: sums over the matrix of H, and samples."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from hamiltonians import J1J2, HarmonicTrap, Heisenberg, TransverseFieldIsing
from hamiltonians.references.lanczos import configurations, operator
from nqs.ansatze import BinaryRBM, ProjectedBCS, Symmetrized
from nqs.evaluate import main
from nqs.files.directory import read_json
from nqs.observables import LanczosStep
from nqs.observables.lanczos_step import best_step, energy_after
from nqs.runs import Experiment, evaluate, run
from nqs.space.lattice import Lattice
from nqs.types import Function, LogPsi
from samplers import Exchange, SiteMetropolis
from tests.cases import few
from tests.drawn import parameters
from tests.tiny import experiment

pytestmark = pytest.mark.usefixtures("built_once")

RING = Lattice((8,))
FRUSTRATED = J1J2(RING, j2=0.4)
TORUS = J1J2(Lattice((2, 4), "square"), j2=0.5)
ANSATZE = {
    "machine": (BinaryRBM(alpha=1), FRUSTRATED),
    "complex machine": (BinaryRBM(alpha=1, complex=True), FRUSTRATED),
    "machine in a field": (BinaryRBM(alpha=1), TransverseFieldIsing(RING, field=1.3)),
    "pairs": (ProjectedBCS(TORUS.lattice, marshall=True), TORUS),
    "average": (Symmetrized(BinaryRBM(alpha=1), RING), FRUSTRATED),
    "average with zeros": (
        Symmetrized(BinaryRBM(alpha=1), RING, irrep="A2"),
        FRUSTRATED,
    ),
}


def moments(ansatz, system, x):
    """Samples (c, 2) of configurations x (c, s), and log psi of them."""
    params = parameters(ansatz, x[0])
    observable = LanczosStep(system)

    @jax.jit
    def both(params, x):
        def one(x):
            return observable(ansatz, params, x), ansatz.apply(params, x)

        return jax.vmap(one)(x)

    return jax.device_get(both(params, x))


@pytest.mark.parametrize(
    "name", few(ANSATZE, "average with zeros", "complex machine", "pairs")
)
def test_samples_are_products_of_the_matrix_with_psi(name):
    ansatz, system = ANSATZE[name]
    x, apply = operator(system)
    found, log = moments(ansatz, system, x)
    psi = log.sign * np.exp(log.logabs - log.logabs.max())
    once = _times(apply, psi)
    twice = _times(apply, once)
    kept = np.abs(psi) > 1e-9 * np.abs(psi).max()  # not the nodes of an average
    once, twice = once[kept] / psi[kept], twice[kept] / psi[kept]
    exact = np.stack([once, twice - once**2], axis=1)
    np.testing.assert_allclose(found[kept], exact, rtol=1e-7, atol=1e-7)


def _times(apply, psi):
    return np.asarray(apply(psi.real)) + 1j * np.asarray(apply(np.imag(psi)))


def test_an_eigenstate_with_zeros_has_a_finite_square():
    ring = Heisenberg(Lattice((6,)))
    x, apply = operator(ring)
    energies, states = np.linalg.eigh(np.stack([apply(row) for row in np.eye(len(x))]))
    zeros = np.sum(np.abs(states) < 1e-12, axis=0)
    level = np.argmax(zeros)
    psi = np.where(np.abs(states[:, level]) < 1e-12, 0.0, states[:, level])
    assert zeros[level]
    table = np.zeros(2**6)  # psi by code
    weights = 2 ** np.arange(6)
    table[x @ weights] = psi

    def read(params, x):
        value = params[jnp.sum(x * weights)]
        return LogPsi(jnp.sign(value), jnp.log(jnp.abs(value)))

    value = jax.vmap(
        functools.partial(LanczosStep(ring), Function(read), jnp.asarray(table))
    )
    found = jax.jit(value)(x[psi != 0])
    energy = energies[level]
    np.testing.assert_allclose(found, [[energy, 0]] * len(found), atol=1e-9)


@functools.cache
def sampled(phases=(1.0, -1.0)):
    """Local values (c, 2) of random psi of a ring, and integer weights (c,)."""
    x, apply = operator(FRUSTRATED)
    weights = np.random.default_rng(2).integers(1, 6, len(x))
    psi = np.sqrt(weights) * np.random.default_rng(3).choice(phases, len(x))
    matrix = np.stack([np.asarray(apply(row)) for row in np.eye(len(x))])
    once, twice = matrix @ psi / psi, matrix @ matrix @ psi / psi
    values = np.stack([once, twice - once**2], axis=1)
    return values, weights, matrix, psi


@pytest.mark.parametrize("phases", [(1.0, -1.0), (1.0, 1j, -0.6 + 0.8j)])
def test_the_energy_is_the_lowest_for_any_real_step(phases):
    values, weights, matrix, psi = sampled(phases)
    basis = np.stack([psi, matrix @ psi])
    overlaps, energies = basis.conj() @ basis.T, basis.conj() @ matrix @ basis.T
    exact = scipy.linalg.eigvalsh(energies.real, overlaps.real)[0]
    once = np.repeat(values, weights, axis=0)
    both = np.repeat(once, 2, axis=0)[None]  # each half of the walkers has all samples
    found = LanczosStep(FRUSTRATED).series(both)["lanczos_energy"]
    assert found.shape == both.shape[:2]
    assert found.mean() == pytest.approx(exact, rel=1e-12)
    assert exact < np.real(values[:, 0] @ weights) / weights.sum() - 0.1


def test_each_half_of_the_walkers_has_the_step_of_the_other():
    values, weights, _, _ = sampled()
    samples = np.repeat(values, weights, axis=0)[None, :21]
    found = LanczosStep(FRUSTRATED).series(samples)["lanczos_energy"]
    even, odd = samples[:, ::2], samples[:, 1::2]
    first = energy_after(even, *best_step(odd))
    second = energy_after(odd, *best_step(even))
    np.testing.assert_array_equal(found, np.concatenate([first, second], axis=1))
    assert abs(best_step(even)[1] - best_step(odd)[1]) > 1e-3


def test_any_other_step_has_a_higher_energy():
    values, weights, _, _ = sampled()
    samples = np.repeat(values, weights, axis=0)
    energy, b = best_step(samples)
    lowest = energy_after(samples, energy, b).mean()
    for other in (0.0, 0.9 * b, 1.1 * b, -b):
        assert energy_after(samples, energy, other).mean() > lowest + 1e-4


def test_an_eigenstate_has_its_energy_without_error():
    values = np.tile([-2.0, 0.0], (5, 6, 1))
    found = LanczosStep(FRUSTRATED).series(values)["lanczos_energy"]
    np.testing.assert_array_equal(found, np.full((5, 6), -2.0))
    rounded = values + 1e-15 * np.random.default_rng(0).normal(size=values.shape)
    found = LanczosStep(FRUSTRATED).series(rounded)["lanczos_energy"]
    np.testing.assert_allclose(found, -2.0, rtol=1e-14)


def test_the_error_bar_is_that_of_repeated_measurements():
    values, weights, _, _ = sampled()
    numbers = np.random.default_rng(4)
    samples = numbers.choice(values, (2000, 1, 400), p=weights / weights.sum())
    series = [
        LanczosStep(FRUSTRATED).series(each)["lanczos_energy"] for each in samples
    ]
    means = np.mean(series, axis=(1, 2))
    errors = np.std(series, axis=(1, 2)) / np.sqrt(400)
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.1)


def test_one_walker_has_the_step_of_its_own_samples():
    values, weights, _, _ = sampled()
    samples = np.repeat(values, weights, axis=0)
    found = LanczosStep(FRUSTRATED).series(samples[:, None])["lanczos_energy"]
    exact = energy_after(samples, *best_step(samples))
    np.testing.assert_array_equal(found[:, 0], exact)


@pytest.fixture(scope="module", autouse=True)
def without_figures_of_runs():
    """Draw no figures, also those of the run of a module's fixture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nqs.runs.result.draw_figures", lambda *arguments: None)
        yield


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    """The directory of a short run."""
    directory, ring = tmp_path_factory.mktemp("ring") / "run", Lattice((6,))
    run(
        Experiment(
            name="ring",
            hamiltonian=Heisenberg(ring),
            ansatz=BinaryRBM(alpha=1),
            sampler=SiteMetropolis(Exchange(ring)),
            optimizer=experiment().optimizer,
            n_walkers=64,
            iterations=0,
            burn_in=5,
            evaluation_steps=5,
            directory=str(directory),
        )
    )
    return directory


def again(directory):
    main([str(directory), "--steps", "60", "--lanczos"])
    return read_json(max((directory / "evaluations").iterdir()) / "result.json")


def test_a_run_is_measured_with_a_lanczos_step(ring, capsys):
    result = again(ring)
    assert "after a Lanczos step: energy -2.7" in capsys.readouterr().out
    found, exact = result["lanczos"], -2.8027756
    assert found["comparison"]["value"] == pytest.approx(exact)
    assert exact - 5 * found["energy_error"] < found["energy"] < result["energy"]
    assert 0 < found["energy_error"] < result["energy_error"]
    assert read_json(ring / "result.json")["lanczos"] is None


def test_an_energy_below_the_exact_one_raises_an_alarm(ring, monkeypatch):
    series = LanczosStep.series

    def lowered(self, values):
        return {name: each - 1 for name, each in series(self, values).items()}

    monkeypatch.setattr(LanczosStep, "series", lowered)
    result = again(ring)
    assert any("below the exact one" in text for text in result["warnings"])


def test_particles_have_no_lanczos_step(tmp_path, capsys):
    with pytest.raises(ValueError, match="for a Lanczos step, got HarmonicTrap"):
        LanczosStep(HarmonicTrap(2))
    run(experiment(directory=str(tmp_path / "run")))
    with pytest.raises(SystemExit):
        main([str(tmp_path / "run"), "--lanczos"])
    assert "hamiltonian must have the rows" in capsys.readouterr().err
    assert not (tmp_path / "run" / "evaluations").exists()


def test_a_script_measures_it_of_any_psi():
    ring = Heisenberg(Lattice((4,)), marshall=True)
    flat = Function(lambda params, x: LogPsi(jnp.ones(()), jnp.zeros(())))
    walkers = jnp.asarray(configurations(ring))
    found = evaluate(
        (flat, {}, walkers),
        ring,
        [LanczosStep(ring)],
        sampler=SiteMetropolis(Exchange(ring.lattice)),
        steps=200,
    )
    energy, _ = found["observables"]["lanczos_energy"]
    assert energy == pytest.approx(-2.0, abs=1e-4)  # exact: two numbers

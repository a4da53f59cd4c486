"""CPU times of a training step and its pieces, one JSON line for a system.

    python -m tests.benchmarks.speed electrons_6

CPU time of one thread depends little on other processes. Times are medians; where two
ways are compared, their steps alternate.
"""

import os

for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])

import json  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from jax.flatten_util import ravel_pytree  # noqa: E402

from experiments.quantum_dot import QuantumDotOptions  # noqa: E402
from hamiltonians import TransverseFieldIsing  # noqa: E402
from nqs.ansatze import BinaryRBM  # noqa: E402
from nqs.evolution.driver import Evolution, EvolutionState  # noqa: E402
from nqs.gradient import by_orbits, energy_gradient  # noqa: E402
from nqs.laplacian.kinetic import kinetic_energy  # noqa: E402
from nqs.optimizers import FirstOrder  # noqa: E402
from nqs.optimizers.derivatives import CenteredDerivatives  # noqa: E402
from nqs.optimizers.natural import solve  # noqa: E402
from nqs.optimizers.real_time import RealTime  # noqa: E402
from nqs.runs.compilation import optimized  # noqa: E402
from nqs.runs.devices import configure  # noqa: E402
from nqs.space.lattice import Lattice  # noqa: E402
from nqs.types import sum_of_terms  # noqa: E402
from nqs.vmc import local_terms  # noqa: E402
from samplers import Flip, SiteMetropolis  # noqa: E402
from tests.benchmarks.systems import SYSTEMS, started  # noqa: E402


def cpu_seconds(ways: dict[str, tuple[Callable, tuple]], times: int = 9):
    """Median CPU seconds of each compiled way, taken in turns, and compile seconds."""
    compiled, compiling = {}, {}
    for name, (function, arguments) in ways.items():
        start = time.monotonic()
        compiled[name] = optimized(jax.jit(function).lower(*arguments))
        compiling[name] = time.monotonic() - start
        jax.block_until_ready(compiled[name](*arguments))
    taken = {name: [] for name in ways}
    for _ in range(times):
        for name, (_, arguments) in ways.items():
            start = time.process_time()
            jax.block_until_ready(compiled[name](*arguments))
            taken[name].append(time.process_time() - start)
    return {name: float(np.median(t)) for name, t in taken.items()}, compiling


def step(name: str) -> dict[str, float]:
    """One training step and its pieces."""
    vmc, state = started(SYSTEMS[name])
    ansatz, hamiltonian, n_walkers = (
        vmc.ansatz,
        vmc.hamiltonian,
        SYSTEMS[name].n_walkers,
    )
    walkers, params = state.sampler.walkers, state.params
    terms = jax.jit(lambda p, x: local_terms(ansatz, hamiltonian, p, x))(
        params, walkers
    )
    different, energies, weights = by_orbits(ansatz, walkers, sum_of_terms(terms))
    if weights is None:
        weights = jnp.full(n_walkers, 1 / n_walkers)

    def derivatives(params, walkers):
        return CenteredDerivatives(ansatz, params, walkers, weights)

    ways = {
        "step": (vmc.step, (jax.random.key(3), state)),
        "sampling": (vmc.sample, (jax.random.key(3), params, state.sampler)),
        "local_energy": (
            lambda p, x: local_terms(ansatz, hamiltonian, p, x),
            (params, walkers),
        ),
        **{
            name: (
                lambda p, x, name=name: local_terms(ansatz, hamiltonian, p, x)[name],
                (params, walkers),
            )
            for name in terms
        },
        "gradient": (
            lambda p, x, e: energy_gradient(ansatz, p, x, e, weights),
            (params, different, energies),
        ),
    }
    if not isinstance(vmc.optimizer, FirstOrder):
        gram = jax.jit(lambda p, x: derivatives(p, x).gram())(params, different)
        ways |= {
            "gram": (lambda p, x: derivatives(p, x).gram(), (params, different)),
            "solve": (lambda m, e: solve(m, e, 1e-3), (gram, gram[0])),
        }
    taken, compiling = cpu_seconds(ways)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "benchmark": name,
        "compile_s": compiling["step"],
        **{f"{piece}_cpu_ms": 1e3 * seconds for piece, seconds in taken.items()},
        "peak_mb": peak,
    }


def laplacian() -> dict[str, float]:
    """The forward Laplacian against a loop of Hessian-vector products."""
    vmc, state = started(QuantumDotOptions(n=14, n_walkers=64).experiment())
    ansatz = vmc.ansatz

    def energies(kind):
        def of(params, walkers):
            def kinetic(x):
                return kinetic_energy(ansatz, params, x, laplacian=kind)

            # chunks of one, two and four walkers take the loop about as long
            return jax.lax.map(kinetic, walkers, batch_size=1 if kind == "loop" else 2)

        return of, (state.params, state.sampler.walkers)

    taken, _ = cpu_seconds({kind: energies(kind) for kind in ("forward", "loop")}, 5)
    return compared("laplacian_14", taken, "forward", "loop")


def gram(name: str) -> dict[str, float]:
    """One minSR solve from layers against the same from a dense Jacobian."""
    vmc, state = started(SYSTEMS[name])
    ansatz, n_walkers = vmc.ansatz, SYSTEMS[name].n_walkers
    walkers, params = state.sampler.walkers, state.params
    weights = jnp.full(n_walkers, 1 / n_walkers)
    residual = jax.random.normal(jax.random.key(4), (n_walkers,))

    def from_layers(params, walkers):
        derivatives = CenteredDerivatives(ansatz, params, walkers, weights)
        solution = solve(derivatives.gram(), residual, 1e-3)
        return ravel_pytree(derivatives.transposed_times(solution))[0]

    def from_jacobian(params, walkers):
        leaves, unravel = ravel_pytree(params)

        def log_psi(leaves, x):
            return ansatz.apply(unravel(leaves), x).logabs

        rows = jax.vmap(jax.grad(log_psi), (None, 0))(leaves, walkers)
        rows = (rows - jnp.mean(rows, axis=0)[None, :]) / np.sqrt(n_walkers)
        return rows.T @ solve(rows @ rows.T, residual, 1e-3)

    arguments = (params, walkers)
    ways = {"layers": (from_layers, arguments), "jacobian": (from_jacobian, arguments)}
    one, other = (jax.jit(function)(*arguments) for function, _ in ways.values())
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-8 * np.max(np.abs(other)))
    taken, _ = cpu_seconds(ways)
    return compared(f"minsr_{name}", taken, "layers", "jacobian")


def compared(name: str, taken: dict[str, float], ours: str, theirs: str):
    """A JSON line for two ways to the same numbers."""
    milliseconds = {f"{way}_cpu_ms": 1e3 * t for way, t in taken.items()}
    return {"benchmark": name, **milliseconds, "ratio": taken[ours] / taken[theirs]}


def real_time() -> tuple[Evolution, EvolutionState]:
    """The Ising ring of 20 sites, a complex Boltzmann machine, constant steps."""
    ring = TransverseFieldIsing(Lattice((20,)))
    ansatz = BinaryRBM(complex=True)
    walkers = ring.initial_walkers(jax.random.key(0), 1024)
    sampler, equations = SiteMetropolis(Flip()), RealTime()
    driver = Evolution(ansatz, ring, sampler, equations, tolerance=None)
    params = ansatz.init(jax.random.key(1), walkers[0])
    return driver, driver.init(params, walkers, 0.005, 1000.0)


def serve(name: str) -> None:
    """For each line read, a step of the system; prints its CPU seconds."""
    driver, state = real_time() if name == "real_time_20" else started(SYSTEMS[name])
    step = jax.jit(driver.step, donate_argnums=1)
    advance = optimized(step.lower(jax.random.key(0), state))
    for i in range(3):
        state, _ = advance(jax.random.key(i), state)
    print("ready", flush=True)
    for i, _ in enumerate(sys.stdin):
        start = time.process_time()
        state, _ = advance(jax.random.key(3 + i), state)
        jax.block_until_ready(state)
        print(time.process_time() - start, flush=True)


BENCHMARKS = {name: lambda name=name: step(name) for name in SYSTEMS} | {
    "laplacian_14": laplacian,
    "minsr_feed_forward_20000": lambda: gram("feed_forward_20000"),
    "minsr_electrons_6": lambda: gram("electrons_6"),
}


if __name__ == "__main__":
    configure()
    jax.config.update("jax_num_cpu_devices", 1)
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        print(json.dumps(BENCHMARKS[sys.argv[1]]()))

"""The same steps with NetKet: the peers of `speed.py`.

Runs in an environment with NetKet alone. For each line read it takes a step of the same
wave function, samples, sweeps and optimizer, and prints its CPU seconds.
"""

import sys
import time
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import netket as nk
import netket.experimental as experimental
from netket.experimental.geometry import FreeSpace
from netket.experimental.hilbert import Particle


class Network(nn.Module):
    """log psi = network(x) - alpha x^2 / 2."""

    @nn.compact
    def __call__(self, x):
        h = x
        for width in (64, 64):
            h = jnp.tanh(nn.Dense(width, param_dtype=float)(h))
        h = nn.Dense(1, use_bias=False, param_dtype=float)(h)[..., 0]
        log_alpha = self.param("log_alpha", nn.initializers.zeros, (), float)
        return h - jnp.exp(log_alpha) * jnp.sum(x * x, axis=-1) / 2


def bosons(chunk_size):
    """Ten bosons in three dimensions, Adam; walkers at a time, 0 for all."""
    space = Particle(N=10, geometry=FreeSpace(d=3))
    trap = nk.operator.PotentialEnergy(space, lambda x: jnp.sum(x * x) / 2)
    energy = nk.operator.KineticEnergy(space, mass=1.0) + trap
    sampler = nk.sampler.MetropolisGaussian(
        space, sigma=0.3, n_chains=1024, sweep_size=10
    )
    state = nk.vqs.MCState(
        sampler,
        Network(),
        n_samples=1024,
        n_discard_per_chain=0,
        chunk_size=chunk_size or None,
        seed=0,
    )
    return nk.driver.VMC(energy, nk.optimizer.Adam(0.01), variational_state=state)


def ising(n_chains):
    """The critical Ising ring of 40 sites, RBM, minSR; how many chains."""
    graph = nk.graph.Chain(40, pbc=True)
    space = nk.hilbert.Spin(0.5, 40)
    energy = nk.operator.IsingJax(space, graph, h=1.0, J=-1.0, dtype=float)
    sampler = nk.sampler.MetropolisLocal(space, n_chains=n_chains)
    return natural_gradient(energy, sampler, alpha=1)


def heisenberg(n_chains):
    """The Heisenberg ring of 20 sites with exchange moves; how many chains."""
    graph = nk.graph.Chain(20, pbc=True)
    space = nk.hilbert.Spin(0.5, 20, total_sz=0)
    energy = nk.operator.Heisenberg(space, graph).to_jax_operator()
    sampler = nk.sampler.MetropolisExchange(space, graph=graph, n_chains=n_chains)
    return natural_gradient(energy, sampler, alpha=2)


def bose_hubbard(n_chains):
    """Eight bosons on a ring of eight sites, U = t; how many chains."""
    graph = nk.graph.Chain(8, pbc=True)
    space = nk.hilbert.Fock(n_max=8, N=8, n_particles=8)
    energy = nk.operator.BoseHubbard(space, graph, U=1.0, J=1.0)
    # an exchange of two occupations would keep the set of them
    sampler = nk.sampler.MetropolisHamiltonian(
        space, hamiltonian=energy, n_chains=n_chains
    )
    symmetric = nk.models.RBMSymm(symmetries=graph.automorphisms(), alpha=4)
    return natural_gradient(energy, sampler, model=symmetric)


def natural_gradient(energy, sampler, alpha=1, model=None):
    """MinSR of an RBM, or of another model, with 1024 samples."""
    state = nk.vqs.MCState(
        sampler,
        model or nk.models.RBM(alpha=alpha),
        n_samples=1024,
        n_discard_per_chain=0,
        seed=0,
    )
    return nk.driver.VMC_SR(
        energy, nk.optimizer.Sgd(0.02), diag_shift=1e-4, variational_state=state
    )


class RealTime:
    """Steps of order three in real time, of the Ising ring of 20 sites.

    Solver 1 is `pinv_smooth`, 2 is `cholesky`.
    """

    def __init__(self, solver):
        graph = nk.graph.Chain(20, pbc=True)
        space = nk.hilbert.Spin(0.5, 20)
        energy = nk.operator.IsingJax(space, graph, h=1.0, J=-1.0)
        sampler = nk.sampler.MetropolisLocal(space, n_chains=1024)
        self.state = nk.vqs.MCState(
            sampler,
            nk.models.RBM(alpha=1, param_dtype=complex),
            n_samples=1024,
            n_discard_per_chain=0,
            seed=0,
        )
        solvers = nk.optimizer.solver
        self.driver = experimental.TDVP(
            energy,
            self.state,
            experimental.dynamics.RK23(dt=0.005, adaptive=False),
            qgt=nk.optimizer.qgt.QGTJacobianDense(holomorphic=True, diag_shift=1e-6),
            linear_solver={
                1: partial(solvers.pinv_smooth, rtol=1e-8),
                2: solvers.cholesky,
            }[solver],
        )

    def run(self, steps, show_progress):
        self.driver.run(0.005 * steps, show_progress=show_progress)


def main(system, setting):
    drivers = {
        "bosons_10": bosons,
        "ising_40": ising,
        "heisenberg_20": heisenberg,
        "bose_hubbard_8": bose_hubbard,
        "real_time_20": RealTime,
    }
    driver = drivers[system](setting)
    driver.run(3, show_progress=False)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.process_time()
        driver.run(1, show_progress=False)
        jax.block_until_ready(driver.state.parameters)
        print(time.process_time() - start, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

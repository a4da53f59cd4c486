# %% [markdown]
# # Own ansatz and Hamiltonian
#
# The anharmonic oscillator
#
# $$
# H = -\frac{1}{2} \frac{d^2}{dx^2} + \frac{1}{2} x^2 + \lambda x^4
# $$
#
# is not part of the toolkit. A Hamiltonian and an ansatz for it take a few lines each.

# %%
import dataclasses
import tempfile

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from hamiltonians import kinetic_energy
from nqs import Experiment, Hamiltonian, LogPsi, Reference, Spins, run
from nqs.optimizers import SR
from samplers import Metropolis

# %% [markdown]
# ## The Hamiltonian
#
# `terms` returns the named contributions to the local energy
# $E_L(x) = (H \psi)(x) / \psi(x)$ of one configuration, and `initial_walkers` the first
# walkers. The reference is computed here: the matrix of $H$ between the lowest 80
# oscillator states, diagonalized by NumPy.


# %%
def diagonalized(lam, size=80):
    """The lowest energy in a basis of oscillator states."""
    k = np.arange(size + 4)
    x = np.diag(np.sqrt(k[1:] / 2), 1)
    x = x + x.T
    h = np.diag(k + 0.5) + lam * np.linalg.matrix_power(x, 4)
    return float(np.linalg.eigvalsh(h[:size, :size])[0])


@dataclasses.dataclass(frozen=True)
class Anharmonic(Hamiltonian):
    """H = -1/2 d^2/dx^2 + x^2 / 2 + lam x^4, one particle on a line."""

    lam: float = 1.0
    n = 1
    energy_unit = "hartree"
    length_unit = "bohr"

    def terms(self, ansatz, params, x):
        """Kinetic and potential energy () at x (1, 1)."""
        potential = jnp.sum(x**2 / 2 + self.lam * x**4)
        return {"kinetic": kinetic_energy(ansatz, params, x), "potential": potential}

    def initial_walkers(self, key, n_walkers):
        """Gaussian positions (w, 1, 1)."""
        return jax.random.normal(key, (n_walkers, 1, 1)) / 2

    def references(self):
        """The lowest eigenvalue of a large matrix."""
        value = diagonalized(self.lam)
        return (Reference(value, 1e-8, "exact", "80 oscillator states"),)


diagonalized(1.0), diagonalized(1.0, 120)

# %% [markdown]
# ## The ansatz
#
# A Flax module that takes one configuration and returns `LogPsi(sign, logabs)`, with
# $\psi = \mathrm{sign} \cdot e^{\mathrm{logabs}}$. This one is even and positive. Far
# away the exact wave function decays like
#
# $$
# \exp \left( -\int^x \sqrt{2 \lambda y^4 + y^2} \, dy \right)
#   = \exp \left( -\frac{\sqrt{2 \lambda}}{3}
#     \left( x^2 + \frac{1}{2 \lambda} \right)^{3/2} \right) ,
# $$
#
# which is a factor of the ansatz: without it rare walkers far away would have large
# local energies. `param_dtype` makes the layers follow the precision of the positions.


# %%
class Even(nn.Module):
    """log psi = network(sqrt(1 + x^2)) - sqrt(2 lam) / 3 (x^2 + 1 / 2 lam)^{3/2}."""

    lam: float = 1.0
    width: int = 16

    @nn.compact
    def __call__(self, x):  # x (1, 1), bohr
        """Sign and logarithm of psi at one configuration."""
        square = jnp.sum(x**2)
        dense = [nn.Dense(k, param_dtype=x.dtype) for k in (self.width, 1)]
        network = dense[1](jnp.tanh(dense[0](jnp.sqrt(1 + square)[None])))[0]
        decay = np.sqrt(2 * self.lam) / 3 * (square + 1 / (2 * self.lam)) ** 1.5
        logabs = network - decay
        return LogPsi(sign=jnp.ones_like(logabs), logabs=logabs)


# %% [markdown]
# ## The run
#
# With 49 parameters the natural gradient (stochastic reconfiguration) is cheap, and
# converges within some tens of steps.

# %%
result = run(
    Experiment(
        hamiltonian=Anharmonic(1.0),
        ansatz=Even(),
        sampler=Metropolis(sweeps=10),
        optimizer=SR(learning_rate=0.1),
        n_walkers=512,
        iterations=100,
        evaluation_steps=200,
        directory=tempfile.mkdtemp(),
    )
)

# %%
print("parameters", result["n_parameters"])
print("energy    ", result["energy"], "+-", result["energy_error"])
print("exact     ", result["references"][0]["value"])
print("variance  ", result["variance"])

# %% [markdown]
# ## A mistake is refused before anything compiles
#
# Two fermions of equal spin need an antisymmetric wave function. `run` compares the
# ansatz with the Hamiltonian and stops with one sentence.

# %%
from hamiltonians import HarmonicTrap  # noqa: E402
from nqs.files.directory import RunError  # noqa: E402

fermions = HarmonicTrap(n=2, d=1, spins=Spins(up=2))
try:
    run(
        Experiment(
            hamiltonian=fermions,
            ansatz=Even(),
            sampler=Metropolis(),
            optimizer=SR(),
            directory=tempfile.mkdtemp(),
        )
    )
except RunError as error:
    print(error)

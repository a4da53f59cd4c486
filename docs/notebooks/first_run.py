# %% [markdown]
# # First run in a trap
#
# Two electrons in a two-dimensional harmonic trap of frequency $\omega = 1$ hartree:
#
# $$
# H = \sum_{i=1}^{2} \left( -\frac{1}{2} \nabla_i^2
#   + \frac{1}{2} \omega^2 r_i^2 \right) + \frac{1}{r_{12}} .
# $$
#
# The ground-state energy is exactly 3 hartree (M. Taut, Phys. Rev. A 48, 3561 (1993)).

# %%
import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import nqs
from hamiltonians import Coulomb, HarmonicTrap
from nqs.ansatze import SlaterJastrow
from nqs.observables import PairCorrelation, RadialDensity
from nqs.optimizers import FirstOrder
from samplers import Metropolis

directory = Path(tempfile.mkdtemp()) / "dot"
plt.rcParams["figure.dpi"] = 90

# %% [markdown]
# An experiment consists of four parts (ansatz, Hamiltonian, sampler, optimizer), the
# observables, and the lengths of its phases: burn-in, training and evaluation. The
# ansatz is a Slater determinant for each spin times a Padé-Jastrow factor
# $\exp \left( \sum_{i<j} a r_{ij} / (1 + \beta r_{ij}) \right)$, in which $a = 1$ is
# the cusp of two electrons of opposite spin.

# %%
spins = nqs.Spins(up=1, down=1)
trap = HarmonicTrap(n=2, d=2, omega=1.0, interaction=Coulomb(), spins=spins)
result = nqs.run(
    nqs.Experiment(
        hamiltonian=trap,
        ansatz=SlaterJastrow(spins, omega=1.0),
        sampler=Metropolis(sweeps=10),
        optimizer=FirstOrder("adam", learning_rate=0.03),
        observables=(RadialDensity(4.0), PairCorrelation(5.0, spins)),
        iterations=150,
        evaluation_steps=150,
        directory=str(directory),
    )
)

# %% [markdown]
# ## The result
#
# `run` returns the content of `result.json`. The energy is measured with frozen
# parameters, after training. The error bar accounts for the autocorrelation of the
# Markov chains.

# %%
for name in ("energy", "energy_error", "variance", "r_hat", "n_effective"):
    print(f"{name:15} {result[name]:.6g}")
for name, (mean, error) in result["terms"].items():
    print(f"{name:15} {mean:.5f} +- {error:.5f}")

# %% [markdown]
# A Padé-Jastrow factor has one parameter per kind of pair, so that the energy stays a
# little above 3. In an eigenstate the virial ratio
# $(2 \langle T \rangle + \langle V_\mathrm{int} \rangle) / 2 \langle V_\mathrm{trap}
# \rangle$ is 1.

# %%
mean, error = result["observables"]["virial_ratio"]
print(f"virial ratio {mean:.4f} +- {error:.4f}")

# %% [markdown]
# ## The training history
#
# `metrics.jsonl` has one line a step. The mean energy falls, and so does the variance
# of the local energy, which vanishes in an eigenstate.

# %%
rows = [json.loads(line) for line in (directory / "metrics.jsonl").open()]
step = [row["step"] for row in rows]
figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained")
left.plot(step, [row["energy"] for row in rows])
left.axhline(3, color="black", lw=0.8, ls="--")
left.set(xlabel="step", ylabel="energy (hartree)")
right.semilogy(step, [row["variance"] for row in rows])
right.set(xlabel="step", ylabel="variance (hartree$^2$)")
plt.show()

# %% [markdown]
# ## Observables
#
# Profiles are in `observables.npz`: the grid, the mean and the error of each. The
# integral of the density over the plane is the number of electrons.

# %%
found = np.load(directory / "observables.npz")
r, density, error = (found[f"density{end}"] for end in ("_grid", "", "_error"))
figure, (left, right) = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained")
left.errorbar(r, density, error)
left.set(xlabel="r (bohr)", ylabel="density (bohr$^{-2}$)")
right.plot(found["pair_correlation_grid"], found["pair_correlation"][1])
right.set(xlabel="separation (bohr)", ylabel="pairs of opposite spins (bohr$^{-2}$)")
plt.show()
print("electrons:", np.round(np.sum(2 * np.pi * r * density * (r[1] - r[0])), 3))

# %% [markdown]
# ## Loading the run
#
# `nqs.load` returns the ansatz, its trained parameters and the walkers of a run
# directory.

# %%
ansatz, params, walkers = nqs.load(directory)
print(params)
print(ansatz.apply(params, walkers[0]))

# %% [markdown]
# # Electron gas and its observables
#
# Fourteen electrons in a periodic cube with a neutralizing background, at $r_s = 2$.
# Lengths are in units of $r_s$ bohr and energies in hartree:
#
# $$
# H = -\frac{1}{2 r_s^2} \sum_i \nabla_i^2
#   + \frac{1}{r_s} \Big( \sum_{i<j} \psi(x_i - x_j) + \frac{n \xi}{2} \Big)
# $$
#
# with the Ewald potential $\psi$ and the Madelung constant $\xi$.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import nqs
from hamiltonians import ElectronGas
from nqs.ansatze import PadeJastrow, PlaneWaveSlater, Product
from nqs.observables import MomentumDistribution, PairDistribution, StructureFactor
from nqs.optimizers import SR
from samplers import Langevin, Periodic

plt.rcParams["figure.dpi"] = 90
gas = ElectronGas(nqs.Spins(up=7, down=7), rs=2.0)
for reference in gas.references():
    print(f"{reference.value / gas.n:.6f} {reference.kind}: {reference.source}")

# %% [markdown]
# Energies are those of all electrons; the lines above divide by 14. Hartree-Fock is the
# energy of the determinant of plane waves, an upper bound. This notebook multiplies the
# determinant with a Jastrow factor of two parameters, which trains in seconds. The
# experiment `electron_gas` uses neural backflow and takes tens of minutes: see the page
# [Electron gas](../systems/electron-gas.html).

# %%
directory = Path(tempfile.mkdtemp()) / "gas"
slater = PlaneWaveSlater(gas.spins, gas.box)
jastrow = PadeJastrow(gas.spins, gas.rs, 1.1, gas.box)
system = gas.box, gas.spins
result = nqs.run(
    nqs.Experiment(
        hamiltonian=gas,
        ansatz=Product((slater, jastrow)),
        sampler=Periodic(Langevin(sweeps=3), gas.box),
        optimizer=SR(learning_rate=0.2),
        observables=(
            PairDistribution(*system),
            StructureFactor(*system),
            MomentumDistribution(*system),
        ),
        n_walkers=128,
        burn_in=60,
        iterations=40,
        evaluation_steps=100,
        directory=str(directory),
    )
)
found = np.load(directory / "observables.npz")

# %%
energy, error = result["energy_per_particle"], result["energy_per_particle_error"]
published, bound = (reference.value / gas.n for reference in gas.references())
print(f"energy {energy:.5f} +- {error:.5f} hartree per electron")
print(f"share of the correlation energy {(energy - bound) / (published - bound):.1%}")

# %% [markdown]
# ## The determinant in closed form
#
# The observables of a determinant of the plane waves $k$ of one spin, $N$ of them, are
# known. Opposite spins are uncorrelated, equal spins have
#
# $$
# g(r) = 1 - \frac{1}{N^2} \left| \sum_k e^{i k \cdot r} \right|^2 , \qquad
# S(q) = 1 - \frac{1}{N} \sum_{k, k'} \delta_{k - k', q} ,
# $$
#
# and $n(k)$ is 1 inside of the Fermi sphere and 0 outside.

# %%
k = gas.box.wave_numbers(gas.spins.up) @ gas.box.reciprocal  # (7, 3)
rng = np.random.default_rng(0)
directions = rng.normal(size=(2000, 3))
directions /= np.linalg.norm(directions, axis=1, keepdims=True)


def pairs(r):
    """Pair distribution of equal spins at a distance, averaged over directions."""
    waves = np.exp(1j * r * directions @ k.T).sum(axis=1)
    return 1 - np.mean(np.abs(waves) ** 2) / len(k) ** 2


def structure(q):
    """Structure factor averaged over the wave vectors of length q."""
    lengths = np.linalg.norm(k[:, None] - k[None], axis=-1)
    edge = np.linalg.norm(gas.box.reciprocal[0])
    m = np.indices((9, 9, 9)).reshape(3, -1).T - 4
    shell = np.isclose(np.linalg.norm(m, axis=1) * edge, q).sum()
    return 1 - np.isclose(lengths, q).sum() / shell / len(k)


# %% [markdown]
# ## Pair distribution
#
# Exchange keeps electrons of equal spin apart in both states. Only the Jastrow factor
# keeps electrons of opposite spin apart as well: the correlation hole.

# %%
r = found["pair_distribution_grid"]
exact = [pairs(distance) for distance in r], np.ones_like(r)
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained", sharey=True)
for i, title in enumerate(("equal spins", "opposite spins")):
    axes[i].plot(r, exact[i], "k--", lw=1, label="determinant")
    axes[i].plot(r, found["pair_distribution"][i], label="with Jastrow")
    axes[i].set(xlabel="r / $r_s$", title=title)
axes[0].set_ylabel("g(r)")
axes[0].legend(frameon=False)
plt.show()

# %% [markdown]
# ## Structure factor and momentum distribution
#
# Correlation lowers the structure factor at long wavelengths. It lowers the momentum
# distribution inside of the Fermi sphere and raises it outside.

# %%
q = found["structure_factor_grid"]
p = found["momentum_distribution_grid"]
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained")
axes[0].plot(q, [structure(length) for length in q], "k--", lw=1, label="determinant")
axes[0].plot(q, found["structure_factor"][0], "o-", ms=4, label="with Jastrow")
axes[0].set(xlabel="k $r_s$", ylabel="S(k)")
fermi = np.linalg.norm(k, axis=1).max()
axes[1].plot(p, np.where(p < 1.001 * fermi, 1, 0), "k--", lw=1)
axes[1].plot(p, found["momentum_distribution"], "o-", ms=4)
axes[1].set(xlabel="k $r_s$", ylabel="n(k)")
axes[0].legend(frameon=False)
plt.show()

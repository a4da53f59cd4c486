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
gas = ElectronGas(n_up=7, n_down=7, rs=2.0)
for reference in gas.references():
    print(f"{reference.value / gas.n:.6f} {reference.kind}: {reference.source}")

# %% [markdown]
# Energies are those of all electrons; the lines above divide by 14. Hartree-Fock is an
# upper bound, the determinant of plane waves. The ansatz of this notebook multiplies
# it with a Jastrow factor of two parameters, which trains in seconds. The experiment
# `electron_gas` uses neural backflow and takes tens of minutes: see the page
# [Electron gas](../systems/electron-gas.html).


# %%
def measured(ansatz, iterations, name):
    """Train, evaluate, and load the profiles."""
    directory = Path(tempfile.mkdtemp()) / name
    spins = gas.box, gas.n_up, gas.n_down
    result = nqs.run(
        nqs.Experiment(
            hamiltonian=gas,
            ansatz=ansatz,
            sampler=Periodic(Langevin(sweeps=3), gas.box),
            optimizer=SR(learning_rate=0.2),
            observables=(
                PairDistribution(*spins),
                StructureFactor(*spins),
                MomentumDistribution(*spins),
            ),
            n_walkers=128,
            burn_in=60,
            iterations=iterations,
            evaluation_steps=80,
            directory=str(directory),
        )
    )
    return result, np.load(directory / "observables.npz")


slater = PlaneWaveSlater(gas.n_up, gas.box)
jastrow = PadeJastrow(gas.n_up, gas.rs, 1.1, gas.box)
bare, bare_profiles = measured(slater, 0, "slater")
trained, profiles = measured(Product((slater, jastrow)), 40, "slater_jastrow")

# %% [markdown]
# The Jastrow factor lowers the energy, and the variance even more.

# %%
for name, result in (("determinant", bare), ("with Jastrow", trained)):
    energy, error = (result[f"energy_per_particle{end}"] for end in ("", "_error"))
    print(f"{name:13} {energy:.5f} +- {error:.5f}, variance {result['variance']:.3f}")

# %% [markdown]
# ## Pair distribution
#
# Exchange keeps electrons of equal spin apart in both states. Only the Jastrow factor
# keeps electrons of opposite spin apart as well: the correlation hole.

# %%
print(PairDistribution(gas.box, gas.n_up, gas.n_down).curves)

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained", sharey=True)
for i, title in enumerate(("equal spins", "opposite spins")):
    for found, label in ((bare_profiles, "determinant"), (profiles, "with Jastrow")):
        r = found["pair_distribution_grid"]
        axes[i].plot(r, found["pair_distribution"][i], label=label)
    axes[i].set(xlabel="r / $r_s$", title=title)
axes[0].set_ylabel("g(r)")
axes[0].legend(frameon=False)
plt.show()

# %% [markdown]
# ## Structure factor and momentum distribution
#
# The momentum distribution of the determinant is 1 inside of the Fermi sphere and 0
# outside. Correlation lowers it inside and raises it outside.

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.5, 3), layout="constrained")
for found, label in ((bare_profiles, "determinant"), (profiles, "with Jastrow")):
    names = "structure_factor", "momentum_distribution"
    for axis, name in zip(axes, names, strict=True):
        mean = np.atleast_2d(found[name])[0]  # of the charge, and of spin up
        axis.plot(found[f"{name}_grid"], mean, "o-", ms=4, label=label)
axes[0].set(xlabel="k $r_s$", ylabel="S(k)")
axes[1].set(xlabel="k $r_s$", ylabel="n(k)")
axes[1].legend(frameon=False)
plt.show()

"""The unitary Fermi gas in a periodic cube: pairing at infinite scattering length."""

import dataclasses

from experiments.options import Options, Part, PartOption, main
from experiments.singlets import singlet_ansatz, singlet_observables
from hamiltonians import FermiGas
from nqs.experiment import Experiment
from samplers import Periodic

# Of the Gaussians among the features of a pair, in effective ranges.
RANGES = (0.5, 1.0, 2.0, 4.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FermiGasOptions(Options):
    """Fermions in a periodic cube, energies in E_FG = n 3/5 E_F, lengths in 1/k_F."""

    n: int = 2
    """Fermions."""
    n_up: int | None = None
    """Those with spin up; None for half of them, or one more."""
    kf_re: float = 0.4
    """Effective range of the attraction, 1/k_F."""
    ansatz: PartOption = Part("pairing")
    """pairing, singlet (both with a backflow that knows no spins), backflow or slater;
    pairing takes any number of pairs, and unpaired spins up in a closed shell."""
    sampler: PartOption = Part("langevin", (("sweeps", 3),))
    """langevin or metropolis."""
    optimizer: PartOption = Part("spring")
    """spring, sr, minsr, or any of optax's by name: adam(learning_rate=0.01), say."""
    iterations: int = 500
    """Training steps."""
    n_walkers: int = 256
    """Markov chains."""
    evaluation_steps: int = 500
    """Sampler steps with frozen parameters, which give the result."""

    @property
    def time_step(self) -> float:
        """A fifth of 1 / E_F, 1/E_FG."""
        return 0.2 * 0.6 * self.n

    def experiment(self) -> Experiment:
        """The gas, its ansatz and its observables."""
        n_up = (self.n + 1) // 2 if self.n_up is None else self.n_up
        gas = FermiGas(n_up, self.n - n_up, self.kf_re)
        settings = self.settings()
        settings["sampler"] = Periodic(settings["sampler"], gas.box)
        ranges = tuple(part * self.kf_re for part in RANGES)
        return Experiment(
            name="fermi_gas",
            hamiltonian=gas,
            ansatz=singlet_ansatz(self.ansatz, gas, ranges),
            observables=singlet_observables(gas),
            **settings,
        )


if __name__ == "__main__":
    main(FermiGasOptions)

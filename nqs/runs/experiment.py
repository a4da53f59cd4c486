"""An experiment: four parts, how long to run them, and where."""

import dataclasses
from typing import Any

from nqs.observables import Observable
from nqs.runs.config import to_json
from nqs.statistics.evaluation import Evaluation
from nqs.types import Ansatz, Hamiltonian, Optimizer, Sampler
from nqs.vmc import VMC


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment:
    """Four parts and how long to run them.

    Attributes:
      ansatz: the wave function.
      hamiltonian: the system.
      sampler: the Markov kernel.
      optimizer: what turns a gradient into an update.
      observables: what evaluation measures besides the energy.
      name: of the experiment, in the results.
      iterations: training steps.
      burn_in: sampler steps before training, which also tune the step width.
      n_walkers: Markov chains.
      evaluation_steps: sampler steps with frozen parameters that give the result.
      seed: of all randomness.
      precision: "float64" or "float32".
      chunk_size: walkers whose energies are computed at a time; None for all.
      clip: see `VMC`.
      averaging: see `VMC`; the average is also what other runs start from.
      check: whether the ansatz is compared with the Hamiltonian, see `nqs.contracts`.
      checkpoint_every: seconds between checkpoints.
      observe_every: training steps after which the observables are averaged over the
        walkers of a sampler step of their own, for `observables.jsonl`; None for never.
      directory: of the run; None for a fresh one under runs/.
      resume: go on with the run in `directory`.
      start_from: a run directory whose parameters and rescaled walkers to start from.
      options: of the command line, to be found again in config.json.

    Raises:
      ValueError: for a number out of range.
    """

    ansatz: Ansatz
    hamiltonian: Hamiltonian
    sampler: Sampler
    optimizer: Optimizer
    observables: tuple[Observable, ...] = ()
    name: str = "experiment"
    iterations: int = 1000
    burn_in: int = 100
    n_walkers: int = 1024
    evaluation_steps: int = 1000
    seed: int = 0
    precision: str = "float64"
    chunk_size: int | None = None
    clip: float | None = 5.0
    averaging: float = 0.0
    check: bool = True
    checkpoint_every: float = 60.0
    observe_every: int | None = None
    directory: str | None = None
    resume: bool = False
    start_from: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for field, least in (
            ("iterations", 0),
            ("burn_in", 0),
            ("n_walkers", 1),
            ("evaluation_steps", 1),
            ("seed", 0),
        ):
            value = getattr(self, field)
            if not (isinstance(value, int) and value >= least):
                raise ValueError(
                    f"{field} must be an integer of at least {least}, got {value!r}"
                )
        if self.seed >= 2**32:  # all that a key takes without x64
            raise ValueError(f"seed must be below {2**32}, got {self.seed}")
        for field in ("n", "energy_unit", "length_unit"):
            if not hasattr(self.hamiltonian, field):
                name = type(self.hamiltonian).__name__
                raise ValueError(f"the Hamiltonian {name} must define {field}")
        if self.precision not in ("float64", "float32"):
            raise ValueError(
                f"precision must be float64 or float32, got {self.precision!r}"
            )
        if not self.checkpoint_every >= 0:
            raise ValueError(
                f"checkpoint_every must not be negative, got {self.checkpoint_every!r}"
            )
        every = self.observe_every
        if every is not None and not (isinstance(every, int) and every >= 1):
            raise ValueError(
                f"observe_every must be a number of steps >= 1 or None, got {every!r}"
            )
        if self.iterations and self.n_walkers < 2:
            raise ValueError(
                "n_walkers must be at least 2 for training, as the gradient is a "
                f"covariance over the walkers, got {self.n_walkers}"
            )
        self.vmc()  # checks how the parts fit

    def vmc(self) -> VMC:
        """The training loop of these parts."""
        return VMC(
            self.ansatz,
            self.hamiltonian,
            self.sampler,
            self.optimizer,
            self.chunk_size,
            self.clip,
            self.averaging,
            self.check,
        )

    def evaluation(self) -> Evaluation:
        """The measurement of these parts."""
        return Evaluation(
            self.ansatz,
            self.hamiltonian,
            self.sampler,
            self.observables,
            self.chunk_size,
        )

    def config(self) -> dict[str, Any]:
        """What config.json holds: the options first, then every field."""
        names = [field.name for field in dataclasses.fields(self)]
        names = [n for n in names if n not in ("options", "directory", "resume")]
        return {"options": to_json(self.options)} | {
            name: to_json(getattr(self, name)) for name in names
        }

"""Settings of a run besides its parts; this module does not import JAX."""

import dataclasses
import math
from typing import Any, Literal

from nqs.checks import one_of, positive, require, whole

# settings that are no part of the configuration of a run
UNSAVED = frozenset(
    {
        "directory",
        "resume",
        "compilation_cache",
        "save_samples",
        "distributed",
        "processes",
    }
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """Settings of a run besides its parts, shared with the command line."""

    iterations: int = 1000
    """Training steps."""
    burn_in: int = 100
    """Sampler steps before training, which also tune the step width."""
    n_walkers: int = 1024
    """Markov chains."""
    evaluation_steps: int = 1000
    """Sampler steps with frozen parameters, which give the result."""
    seed: int = 0
    """Seed of all randomness."""
    precision: Literal["float64", "float32"] = "float64"
    """Floating-point precision."""
    chunk_size: int | None = None
    """Walkers whose energies are computed at a time; None for all at once."""
    clip: float | None = 5.0
    """Half-width of the window about the median into which local energies are pulled
    for gradients, in mean absolute deviations; None for no window."""
    averaging: float = 0.0
    """Last part of training, 0 to 1, over which parameters are averaged for the
    evaluation and for runs that start from this one; 0 for no average."""
    single_sampling: bool = True
    """Move particles in single precision; in the evaluation with a correction to the
    density of psi in double precision."""
    check: bool = True
    """Compare the ansatz with the Hamiltonian before anything compiles."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints; inf for those between the phases only."""
    observe_every: int | None = None
    """Training steps between measurements of the observables, which
    `observables.jsonl` then holds; None for none in training."""
    save_samples: int | None = None
    """Evaluation steps between those whose walkers are saved in `samples/`; None for
    none."""
    directory: str | None = None
    """Run directory; None for a fresh one under runs/."""
    resume: bool = False
    """Continue the run in the directory; options left out are taken from it."""
    compilation_cache: str | None = None
    """Folder that keeps compiled programs for the next run; "none" for no cache, None
    for a folder `nqs` among the caches of the user."""
    start_from: str | None = None
    """Run directory whose parameters and rescaled walkers to start from."""

    def __post_init__(self):
        require(self, whole, "iterations", "burn_in", least=0)
        require(self, whole, "n_walkers", "evaluation_steps")
        # larger seeds need a key of 64 bits
        require(self, whole, "seed", least=0, most=2**32 - 1)
        one_of("precision", self.precision, ("float64", "float32"))
        if self.checkpoint_every != math.inf:  # which is never
            require(self, positive, "checkpoint_every", zero=True)
        for name in ("observe_every", "save_samples"):
            if getattr(self, name) is not None:
                require(self, whole, name)
        if self.iterations and self.n_walkers < 2:
            raise ValueError(
                "n_walkers must be at least 2 for training, as the gradient is a "
                f"covariance over the walkers, got {self.n_walkers}"
            )

    def training(self) -> dict[str, Any]:
        """These settings by name."""
        return self._fields_of(Training)

    def _fields_of(self, kind: type) -> dict[str, Any]:
        names = [field.name for field in dataclasses.fields(kind)]
        return {name: getattr(self, name) for name in names}

"""Settings of an evolution in time; this module does not import JAX."""

import ast
import dataclasses
from typing import Any, ClassVar

from nqs.checks import finite, positive, require, settle, whole


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvolutionSettings:
    """Settings of an evolution in real time.

    Raises:
      ValueError: if a number is out of range, or a change is not NAME=VALUE.
    """

    time: float = 1.0
    """End of the evolution, in the inverse of the energy unit."""
    outputs: int = 20
    """Equal intervals of time; everything is measured at the end of each."""
    quench: tuple[str, ...] = ()
    """NAME=VALUE: fields of the Hamiltonian after time zero, such as omega=2."""
    shift: tuple[float, ...] = ()
    """Displacement of all particles at time zero, one length an axis."""
    ramp: tuple[str, ...] = ()
    """NAME=FACTOR: terms of the Hamiltonian that grow linearly to FACTOR times."""
    ramp_time: float = 1.0
    """Time in which they grow."""
    tolerance: float = 1e-5
    """Largest error of a step, an angle between wave functions."""
    time_step: float = 0.01
    """Length of the first step."""
    cut: float = 1e-8
    """Eigenvalues of the metric below this part of the largest are left out."""
    noise_cut: float = 0.0
    """Forces below this number of standard errors are left out."""
    power: float = 2.0
    """Walkers of the steps are drawn from |psi| to this power, and weighted."""
    n_walkers: int | None = None
    """Walkers; None for those of the run."""
    sweeps: int | None = None
    """Sweeps of the sampler in each step; None for those of the run."""
    samples: int = 200
    """Steps of the sampler that are measured after every interval."""
    burn_in: int = 100
    """Steps of the sampler before the evolution."""
    seed: int = 0
    """Seed of all randomness."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints."""

    growing: ClassVar[set[str]] = set()  # what a resume may raise

    def __post_init__(self):
        require(self, positive, "time", "ramp_time", "time_step", "tolerance")
        require(self, positive, "cut", "power")
        require(self, positive, "noise_cut", "checkpoint_every", zero=True)
        require(self, whole, "outputs", "samples")
        for name in ("n_walkers", "sweeps"):
            if getattr(self, name) is not None:
                require(self, whole, name)
        require(self, whole, "burn_in", least=0)
        require(self, whole, "seed", least=0, most=2**32 - 1)
        for name in ("quench", "shift", "ramp"):
            settle(self, **{name: tuple(getattr(self, name))})
        for length in self.shift:
            finite("shift", length)
        for name, factor in assignments("ramp", self.ramp).items():
            finite(f"ramp of {name}", factor)
        assignments("quench", self.quench)


def assignments(field: str, texts: tuple[str, ...]) -> dict[str, Any]:
    """Values by name, from NAME=VALUE.

    Raises:
      ValueError: if a text is anything else.
    """
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = ast.literal_eval(value.strip())
        except (SyntaxError, ValueError):
            raise ValueError(
                f"{field} must be NAME=VALUE with a number or a tuple, got {text!r}"
            ) from None
    return found

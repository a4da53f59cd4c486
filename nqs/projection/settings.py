"""Settings of a projection; this module does not import JAX."""

import dataclasses

from nqs.checks import positive, settle, whole

BLOCK = 10  # steps between two lines of the metrics
STEPS = 20_000  # by default


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProjectionSettings:
    """Settings of a projection.

    Raises:
      ValueError: if a number is out of range.
    """

    time_step: tuple[float, ...] | None = None
    """Time steps, in the inverse of the energy unit; None for 0.01 0.005 of particles,
    0.002 0.001 of neutrons, and on a lattice, where the energy does not depend on them,
    for 0.1."""
    n_walkers: tuple[int, ...] = (1024,)
    """Populations; two of them show the population bias."""
    steps: int | None = None
    """Steps with each time step and population, None for 20000. On resume more than
    before continue a projection with one time step and one population."""
    burn_in: int = 1000
    """Steps before them, until the walkers have the mixed density."""
    seed: int = 0
    """Seed of all randomness."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints."""

    def __post_init__(self):
        for name, least in (("steps", BLOCK), ("burn_in", 0)):
            found = getattr(self, name)
            if found is not None and whole(name, found, least) % BLOCK:
                raise ValueError(f"{name} must be a multiple of {BLOCK}, got {found}")
        whole("seed", self.seed, 0, 2**32 - 1)
        positive("checkpoint_every", self.checkpoint_every, zero=True)
        for name in ("time_step", "n_walkers"):
            values = getattr(self, name)
            if values is None:
                continue
            values = tuple(values)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must be different numbers, got {values}")
            settle(self, **{name: values})
        for tau in self.time_step or ():
            positive("time_step", tau)
        for n_walkers in self.n_walkers:
            whole("n_walkers", n_walkers, 2)

    @property
    def stages(self) -> list[tuple[int, float]]:
        """Population and time step of every stage."""
        return [(w, tau) for w in self.n_walkers for tau in self.time_step or ()]

    @property
    def growing(self) -> set[str]:
        """What a resume may raise: a checkpoint has the walkers of the last stage."""
        return {"steps"} if len(self.stages) == 1 else set()

    @property
    def blocks(self) -> int:
        """Blocks of a stage, with those of the burn-in."""
        return (self.burn_in + (self.steps or STEPS)) // BLOCK

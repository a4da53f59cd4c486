"""Shared types: wave functions, references, and the protocols of the four parts.

Shape legend, used everywhere: `w` walkers, `n` particles, `d` dimensions, `s` lattice
sites, `p` parameters, `()` a scalar. A *configuration* `x` is a pytree of arrays:
`(n, d)` float for particles, `(s,)` integer for lattices. *Walkers* are `w`
configurations stacked along a leading axis.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

Params = Any  # a pytree of real arrays
Configuration = Any  # a pytree of arrays, one configuration
Walkers = Any  # the same pytree with a leading axis of length w
State = Any  # a NamedTuple with a field `walkers`


class LogPsi(NamedTuple):
    """psi = sign * exp(logabs), the convention of `numpy.linalg.slogdet`.

    Attributes:
      sign: () of unit modulus; a real dtype says that psi is real, a complex dtype
        that it is complex.
      logabs: () real, log|psi|.
    """

    sign: Array
    logabs: Array

    @property
    def log(self) -> Array:
        """Log psi up to the sign of a real psi: real if psi is, else complex."""
        if jnp.iscomplexobj(self.sign):
            return jax.lax.complex(self.logabs, jnp.angle(self.sign))
        return self.logabs

    @property
    def parts(self) -> Array:
        """Real parts of log psi: (1,), or (2,) with the phase if psi is complex."""
        if jnp.iscomplexobj(self.sign):
            return jnp.stack([self.logabs, jnp.angle(self.sign)])
        return self.logabs[None]


@dataclasses.dataclass(frozen=True)
class Reference:
    """A reference energy.

    Attributes:
      value: in the Hamiltonian's energy unit, for the whole system.
      error: one standard deviation, 0 if it is exact.
      kind: "exact", "upper_bound" (variational) or "estimate".
      source: where it comes from.
    """

    value: float
    error: float
    kind: str
    source: str

    def __post_init__(self):
        if self.kind not in ("exact", "upper_bound", "estimate"):
            raise ValueError(
                f"kind must be exact, upper_bound or estimate, got {self.kind!r}"
            )


class Ansatz(Protocol):
    """A wave function of one configuration; a `flax.linen.Module` already is one."""

    def init(self, key: Array, x: Configuration, /) -> Params: ...  # noqa: D102

    def apply(self, params: Params, x: Configuration, /) -> LogPsi: ...  # noqa: D102


@dataclasses.dataclass(frozen=True)
class Function:
    """A plain function `(params, x) -> LogPsi` as an ansatz.

    Attributes:
      function: called with the parameters and one configuration.
      initial: `(key, x) -> params`; without it the function has no parameters.
    """

    function: Callable[[Params, Configuration], LogPsi]
    initial: Callable[[Array, Configuration], Params] | None = None

    def init(self, key: Array, x: Configuration, /) -> Params:
        """Parameters of the wrapped function, an empty dict if it has none."""
        return {} if self.initial is None else self.initial(key, x)

    def apply(self, params: Params, x: Configuration, /) -> LogPsi:
        """The wrapped function."""
        return self.function(params, x)


class Hamiltonian(abc.ABC):
    """A physical system, defined by its local energy.

    Attributes:
      n: number of particles or sites, by which energies are divided.
      energy_unit: of every energy it gives, for example "hartree".
      length_unit: of the positions, None on a lattice.
      length_scale: by whose ratio walkers of one system are rescaled to start another,
        in length units.
    """

    n: int
    energy_unit: str
    length_unit: str | None
    length_scale: float = 1.0

    @abc.abstractmethod
    def terms(
        self, ansatz: Ansatz, params: Params, x: Configuration
    ) -> dict[str, Array]:
        """Named () contributions to the local energy (H psi)(x) / psi(x)."""

    @abc.abstractmethod
    def initial_walkers(self, key: Array, n_walkers: int) -> Walkers:
        """Walkers spread over the region where the ground state lives."""

    @abc.abstractmethod
    def references(self) -> tuple[Reference, ...]:
        """Known energies of this very system, the one to compare with first."""

    def local_energy(self, ansatz: Ansatz, params: Params, x: Configuration) -> Array:
        """Local energy (), the sum of the terms; complex when psi is."""
        return sum_of_terms(self.terms(ansatz, params, x))

    def derived(self, terms: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        """Functions of means: a virial ratio, a pressure, a reweighted average.

        Args:
          terms: real samples of every term, arrays of one shape.

        Returns:
          {name: (function, samples, ...)}, for function(mean, ...), which `jax` can
          differentiate for its error; none by default.
        """
        del terms
        return {}


def sum_of_terms(terms: dict[str, Any]) -> Any:
    """The sum of the named contributions, arrays of one shape."""
    first, *rest = terms.values()
    for term in rest:
        first = first + term
    return first


class Sampler(Protocol):
    """A Markov kernel that leaves |psi|^2 invariant.

    Attributes:
      requires: the capability that it needs of an ansatz, or None.
      sweeps: how many sweeps one `step` makes.
    """

    @property
    def requires(self) -> type | None: ...  # noqa: D102

    @property
    def sweeps(self) -> int: ...  # noqa: D102

    def init(self, walkers: Walkers, /) -> State: ...  # noqa: D102

    def step(
        self, key: Array, ansatz: Ansatz, params: Params, state: State, /
    ) -> tuple[State, dict[str, Array]]:
        """Move every walker; info holds () scalars such as the acceptance."""
        ...

    def adapt(self, state: State, info: dict[str, Array], /) -> State:
        """Adjust the step width; burn-in and training only, never inside `step`."""
        ...


class Optimizer(Protocol):
    """Settings from which an optax transformation is built.

    VMC calls `update(gradient, state, params, ansatz=, walkers=, local_energy=,
    weights=, chunk_size=)`. One that does not look at the gradient may say
    `uses_gradient = False`, which saves the time to compute it.
    """

    def build(self) -> optax.GradientTransformationExtraArgs: ...  # noqa: D102


class Observable(Protocol):
    """A quantity averaged during evaluation.

    A function of one configuration, whose average over |psi|^2 is wanted: a scalar (),
    or a profile on a `grid`. For its figure a profile may have more attributes: `axes`,
    the labels of the axes of its grid, and `label`, that of its values, where
    "{length}" stands for the length unit and "{d}" for the dimensions; `curves` names
    the rows of a (c, k).
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def grid(self) -> np.ndarray | None:
        """Points of a profile; None for a scalar.

        (k,) for one curve (k,) or several (c, k); (a, b, 2) for an image (a, b).
        """
        ...

    def __call__(self, ansatz: Ansatz, params: Params, x: Configuration) -> Array:
        """Value () or profile in one configuration."""
        ...


class Driver(Protocol):
    """An algorithm that composes the parts, such as `nqs.vmc.VMC`."""

    def init(self, key: Array, walkers: Walkers, /) -> State:
        """First state."""
        ...

    def step(self, key: Array, state: State, /) -> tuple[State, dict[str, Array]]:
        """Next state, and info of () scalars; pure, for `jax.jit`."""
        ...

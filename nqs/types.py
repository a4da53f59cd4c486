"""Shared types: wave functions, references, and the protocols of the four parts.

Shape legend, used everywhere: `w` walkers, `n` particles, `d` dimensions, `s` lattice
sites, `p` parameters, `()` a scalar. A *configuration* `x` is a pytree of arrays:
`(n, d)` float for particles, `(s,)` integer for lattices. *Walkers* are `w`
configurations stacked along a leading axis.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol, get_args, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from nqs.checks import one_of

Params = Any  # a pytree of real arrays
Configuration = Any  # a pytree of arrays, one configuration
Walkers = Any  # the same pytree with a leading axis of length w
State = Any  # a NamedTuple with a field `walkers`
Kind = Literal["exact", "upper_bound", "estimate"]  # upper_bound: variational


class LogPsi(NamedTuple):
    """psi = sign * exp(logabs), the convention of `numpy.linalg.slogdet`."""

    sign: Array  # () of unit modulus; its dtype is real or complex as psi is
    logabs: Array  # () real, log|psi|

    @property
    def log(self) -> Array:
        """Log psi, or log|psi| if psi is real."""
        if jnp.iscomplexobj(self.sign):
            return jax.lax.complex(self.logabs, jnp.angle(self.sign))
        return self.logabs

    def over(self, other: "LogPsi") -> Array:
        """The ratio psi / other ()."""
        size = jnp.exp(self.logabs - other.logabs)
        return self.sign * jnp.conj(other.sign) * size

    @property
    def parts(self) -> Array:
        """log|psi| (1,), or with the phase (2,) if psi is complex."""
        if jnp.iscomplexobj(self.sign):
            return jnp.stack([self.logabs, jnp.angle(self.sign)])
        return self.logabs[None]


@dataclasses.dataclass(frozen=True)
class Reference:
    """A reference energy."""

    value: float  # of the whole system, in the Hamiltonian's energy unit
    error: float  # one standard deviation, 0 if exact
    kind: Kind
    source: str

    def __post_init__(self):
        one_of("kind", self.kind, get_args(Kind))


class Ansatz(Protocol):
    """A wave function of one configuration; a `flax.linen.Module` already is one."""

    def init(self, key: Array, x: Configuration, /) -> Params: ...  # noqa: D102

    def apply(self, params: Params, x: Configuration, /) -> LogPsi: ...  # noqa: D102


@dataclasses.dataclass(frozen=True)
class Function:
    """A plain function `(params, x) -> LogPsi` as an ansatz.

    `initial` is `(key, x) -> params`; without it the function has no parameters.
    """

    function: Callable[[Params, Configuration], LogPsi]
    initial: Callable[[Array, Configuration], Params] | None = None

    def init(self, key: Array, x: Configuration, /) -> Params:
        """Initial parameters, an empty dict without `initial`."""
        return {} if self.initial is None else self.initial(key, x)

    def apply(self, params: Params, x: Configuration, /) -> LogPsi:
        """Value of the function."""
        return self.function(params, x)


class Hamiltonian(abc.ABC):
    """A physical system, defined by its local energy.

    Attributes:
      n: number of particles or sites, by which energies are divided.
      energy_unit: of every energy, for example "hartree".
      length_unit: of the positions, None on a lattice.
      length_scale: walkers of one system start another, rescaled by its ratio.
      diffusion: D of H = -D sum_i nabla_i^2 + V(x), in the energy unit times the square
        of the length unit; None for every other H.
    """

    n: int
    energy_unit: str
    length_unit: str | None
    length_scale: float = 1.0
    diffusion: float | None = None

    @abc.abstractmethod
    def terms(
        self, ansatz: Ansatz, params: Params, x: Configuration
    ) -> dict[str, Array]:
        """Named () contributions to the local energy (H psi)(x) / psi(x)."""

    @abc.abstractmethod
    def initial_walkers(self, key: Array, n_walkers: int) -> Walkers:
        """Walkers spread over the region of the ground state."""

    @abc.abstractmethod
    def references(self) -> tuple[Reference, ...]:
        """Known energies of this system, the one to compare with first."""

    def spectrum(self, count: int) -> tuple[Reference, ...]:
        """The lowest levels as far as they are known, degenerate ones repeated.

        By default the ground state alone, where its first reference is exact.
        """
        return tuple(r for r in self.references()[:1] if r.kind == "exact" and count)

    def local_energy(self, ansatz: Ansatz, params: Params, x: Configuration) -> Array:
        """Local energy (), the sum of the terms; complex when psi is."""
        return sum_of_terms(self.terms(ansatz, params, x))

    def derived(self, terms: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
        """Functions of means of the terms: a virial ratio, a pressure.

        Args:
          terms: real samples of every term, arrays of one shape.

        Returns:
          {name: (function, samples, ...)} for function(mean, ...), differentiable by
          `jax` for its error; none by default.
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
      requires: the capability of the ansatz that it requires, or None.
      sweeps: number in one `step`.
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
    weights=, chunk_size=)`. Weights are probabilities (w,) of the walkers, None for 1/w
    each. Walkers of a psi with `nqs.capabilities.Orbits` are one of every orbit, with
    its mean local energy, and weight 0 where no walker is. `uses_gradient = False`
    avoids computing the gradient.
    """

    def build(self) -> optax.GradientTransformationExtraArgs: ...  # noqa: D102


class Observable(Protocol):
    """A function of one configuration, averaged over |psi|^2 during evaluation.

    A scalar (), or a profile on a `grid`. For its figure a profile may have `axes`, the
    labels of the axes of its grid, and `label`, that of its values, where "{length}"
    stands for the length unit and "{d}" for the dimensions; `curves` are the names of
    the rows of a (c, k). Without a figure `axes` is empty.
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


@runtime_checkable
class DerivedObservable(Protocol):
    """An observable with further results, functions of its samples.

    Without a grid its value may be an array, which is kept for every walker, instead
    of a scalar. Then only the further results are reported.
    """

    @property
    def name(self) -> str: ...  # noqa: D102

    def series(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Samples (steps, groups) of each function, to first order in deviations.

        Args:
          values: samples (steps, groups, ...) of a profile, or (steps, walkers, ...).
        """
        ...


def is_scalar(observable: Observable) -> bool:
    """Whether the value of an observable is a scalar () with a mean of its own."""
    return observable.grid is None and not isinstance(observable, DerivedObservable)


class Driver(Protocol):
    """An algorithm that composes the parts, such as `nqs.vmc.VMC`."""

    def init(self, key: Array, walkers: Walkers, /) -> State:
        """First state."""
        ...

    def step(self, key: Array, state: State, /) -> tuple[State, dict[str, Array]]:
        """Next state, and info of () scalars; pure, for `jax.jit`."""
        ...

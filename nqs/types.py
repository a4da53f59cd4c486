"""The shared vocabulary: what a wave function is, and what the four parts promise.

Shape legend, used everywhere: `w` walkers, `n` particles, `d` dimensions, `s` lattice
sites, `p` parameters, `()` a scalar. A *configuration* `x` is a pytree of arrays:
`(n, d)` float for particles, `(s,)` integer for lattices. *Walkers* are `w`
configurations stacked along a leading axis.
"""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
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
    """A number to hold an energy against.

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
    """One system: what it costs a wave function to be in a configuration.

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


# Capabilities: what a part may use of an ansatz beyond `apply`.


@runtime_checkable
class HiddenLayer(Protocol):
    """|psi|^2 is the marginal of a joint density of x and hidden units (for Gibbs)."""

    def sample_hidden(self, params: Params, key: Array, x: Configuration) -> Array:
        """A draw of the hidden units given the visible ones."""
        ...

    def sample_visible(self, params: Params, key: Array, hidden: Array) -> Array:
        """A draw of the configuration given the hidden units."""
        ...


@runtime_checkable
class DirectSampling(Protocol):
    """|psi|^2 is normalised and can be sampled without a Markov chain."""

    def sample(self, params: Params, key: Array) -> Configuration:
        """One configuration drawn from |psi|^2."""
        ...


@runtime_checkable
class SiteRatios(Protocol):
    """Ratios psi(x')/psi(x) for changed sites of a lattice, without psi itself.

    `nqs.site_ratios.site_ratios_of` gives any other ansatz the same methods.
    """

    def site_tables(self, params: Params) -> Any:
        """What all walkers share; made once for many ratios."""
        ...

    def site_cache(self, tables: Any, x: Configuration) -> Any:
        """What the ratios need to know of one configuration."""
        ...

    def site_ratios(
        self, tables: Any, cache: Any, x: Configuration, sites: Array, values: Array
    ) -> Array:
        """(c,) ratios for c changes: x'[sites[c]] = values[c], both (c, k)."""
        ...

    def site_move(
        self, tables: Any, cache: Any, x: Configuration, sites: Array, values: Array
    ) -> tuple[Array, Any]:
        """The ratio () of one change, sites and values (k,), and the cache after it."""
        ...


@runtime_checkable
class ExchangeRatios(Protocol):
    """Ratios psi(x')/psi(x) where two particles of opposite spin change places.

    `nqs.exchange.exchange_ratios` gives them for any other ansatz.
    """

    def exchange_ratios(self, params: Params, x: Configuration) -> Array:
        """(n_up, n_down) ratios for positions of i up and j down exchanged."""
        ...


class Bonds(NamedTuple):
    """What Wolff's clusters need to know.

    Attributes:
      neighbours: (s, z) sites next to each; a site itself where there are fewer than z.
      levels: of each site, exchangeable without a change of energy.
      probability: 1 - exp(-gain / T), with which equal neighbours belong together.
    """

    neighbours: Any
    levels: int
    probability: float


@runtime_checkable
class Clusters(Protocol):
    """|psi|^2 = exp(-E / T), where neighbours gain energy by being equal."""

    def bonds(self) -> Bonds:
        """Neighbours and how strongly they hold together."""
        ...


class OuterProducts(NamedTuple):
    """Derivatives by a matrix of parameters (a, b): sum_r inputs[r] signals[:, r].

    Attributes:
      inputs: (r, a), what a layer sees in each of r rows.
      signals: (k, r, b), derivatives of the k `LogPsi.parts` by what it gives there.
    """

    inputs: Array
    signals: Array


@runtime_checkable
class LogDerivatives(Protocol):
    """Log-derivatives as outer products, whose Gram matrix needs no Jacobian.

    Of layers that see one row, r = 1, the Gram matrix over walkers is the elementwise
    product of those of inputs and signals.
    """

    def log_derivatives(
        self, params: Params, x: Configuration
    ) -> tuple[OuterProducts, ...]:
        """Derivatives of log psi(x) by all parameters, in any order."""
        ...


# The ansätze of this project that have each capability, for error messages.
IMPLEMENTED_BY: dict[type, tuple[str, ...]] = {
    Clusters: ("Boltzmann",),
    HiddenLayer: ("GaussianBinaryRBM",),
    DirectSampling: ("RecurrentGRU",),
    ExchangeRatios: ("SingletBackflow",),
    SiteRatios: ("BinaryRBM", "Boltzmann", "SpinJastrow", "Symmetrized"),
    LogDerivatives: (
        "Backflow",
        "BinaryRBM",
        "DeepSets",
        "FeedForward",
        "GaussianBinaryRBM",
        "Product",
        "RecurrentGRU",
        "SingletBackflow",
        "SpinJastrow",
    ),
}

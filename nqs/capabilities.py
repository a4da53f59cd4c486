"""Capabilities: what a part may use of an ansatz beyond `apply`."""

import importlib
import inspect
from typing import Any, NamedTuple, Protocol, runtime_checkable

from jax import Array

from nqs.types import Configuration, Params


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
    """|psi|^2 is normalized and can be sampled without a Markov chain."""

    def sample(self, params: Params, key: Array) -> Configuration:
        """One configuration drawn from |psi|^2."""
        ...


@runtime_checkable
class SiteRatios(Protocol):
    """Ratios psi(x')/psi(x) for changed sites of a lattice, without psi itself.

    `nqs.ratios.sites.site_ratios_of` gives any other ansatz the same methods.
    """

    def site_tables(self, params: Params) -> Any:
        """Tables shared by all walkers."""
        ...

    def site_cache(self, tables: Any, x: Configuration) -> Any:
        """Intermediate results of one configuration."""
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

    `nqs.ratios.exchange.exchange_ratios` gives them for any other ansatz.
    """

    def exchange_ratios(self, params: Params, x: Configuration) -> Array:
        """(up, down) ratios for positions of i up and j down exchanged."""
        ...


class Bonds(NamedTuple):
    """Bond data for cluster updates.

    Attributes:
      neighbors: (s, z) sites next to each; a site itself where there are fewer than z.
      levels: of each site, exchangeable without a change of energy.
      probability: 1 - exp(-gain / T), with which equal neighbors belong together.
    """

    neighbors: Any
    levels: int
    probability: float


@runtime_checkable
class Clusters(Protocol):
    """|psi|^2 = exp(-E / T), where neighbors gain energy by being equal."""

    def bonds(self) -> Bonds:
        """Neighbors and the probabilities of their bonds."""
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


def implemented_by(capability: type, room: str = "nqs.ansatze") -> list[str]:
    """Names of the public ansätze in a room that have a capability."""
    module = importlib.import_module(room)
    members = ((name, getattr(module, name)) for name in module.__all__)
    return [
        name
        for name, member in members
        if inspect.isclass(member) and issubclass(member, capability)
    ]

"""Capabilities: methods of an ansatz beyond `apply`."""

import importlib
import inspect
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jax import Array

from nqs.types import Configuration, Params


@runtime_checkable
class HiddenLayer(Protocol):
    """|psi|^2 as the marginal of a joint density of x and hidden units."""

    def sample_hidden(self, params: Params, key: Array, x: Configuration) -> Array:
        """A draw of the hidden units given the visible ones."""
        ...

    def sample_visible(self, params: Params, key: Array, hidden: Array) -> Array:
        """A draw of the configuration given the hidden units."""
        ...


@runtime_checkable
class DirectSampling(Protocol):
    """Normalized |psi|^2, sampled without a Markov chain."""

    def sample(self, params: Params, key: Array) -> Configuration:
        """One configuration drawn from |psi|^2."""
        ...


@runtime_checkable
class SiteRatios(Protocol):
    """Ratios psi(x')/psi(x) for changed sites of a lattice, without psi itself.

    `nqs.ratios.sites.site_ratios_of` adds the methods to any other ansatz.
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
    """Ratios psi(x')/psi(x) for exchanged positions of two opposite spins.

    `nqs.ratios.exchange.exchange_ratios` computes them for any other ansatz.
    """

    def exchange_ratios(self, params: Params, x: Configuration) -> Array:
        """(up, down) ratios for positions of i up and j down exchanged."""
        ...


@runtime_checkable
class Invariant(Protocol):
    """A psi of a lattice with symmetries of its own, which `Symmetrized` leaves out."""

    def invariances(self) -> np.ndarray | None:
        """Permutations (h, s) of a group that leaves psi as it is, or None."""
        ...


@runtime_checkable
class Orbits(Protocol):
    """A psi that is the same up to constant phases in all configurations of an orbit.

    So are the derivatives of its logarithm.
    """

    @property
    def n_orbits(self) -> int:
        """Number of orbits."""
        ...

    def orbit(self, x: Configuration) -> Array:
        """The number () of the orbit of a configuration."""
        ...


class Bonds(NamedTuple):
    """Bond data for cluster updates."""

    neighbors: Any  # (s, z) sites, padded with the site itself
    levels: int  # of a site, exchangeable without a change of energy
    probability: float  # 1 - exp(-gain / T) of a bond between equal neighbors


@runtime_checkable
class Clusters(Protocol):
    """|psi|^2 = exp(-E / T), with an energy gain of equal neighbors."""

    def bonds(self) -> Bonds:
        """Neighbors and the probabilities of their bonds."""
        ...


class OuterProducts(NamedTuple):
    """Derivatives by a matrix of parameters (a, b): sum_r inputs[r] signals[:, r]."""

    inputs: Array  # (r, a) of a layer, in r rows
    signals: Array  # (k, r, b) derivatives of the k `LogPsi.parts` by its outputs


@runtime_checkable
class LogDerivatives(Protocol):
    """Log-derivatives as outer products, whose Gram matrix needs no Jacobian.

    For r = 1 the Gram matrix over walkers is the elementwise product of those of inputs
    and signals.
    """

    def log_derivatives(
        self, params: Params, x: Configuration
    ) -> tuple[OuterProducts, ...]:
        """Derivatives of log psi(x) by all parameters, in any order."""
        ...


@runtime_checkable
class Holomorphic(Protocol):
    """Pairs of real parameters; a complex psi is analytic in complex numbers of them.

    A derivative by an imaginary part is i times that by the real part.
    """

    def apply(self, params: Params, x: Configuration, /) -> Any:
        """Log psi."""
        ...

    def pairs(self, params: Params) -> tuple[Params, Params]:
        """Real and imaginary parts, as two trees of the same shapes."""
        ...

    def from_pairs(self, real: Params, imaginary: Params) -> Params:
        """The inverse of `pairs`."""
        ...


def implemented_by(capability: type, room: str = "nqs.ansatze") -> list[str]:
    """Names of the public ansätze in a room that have a capability."""
    module = importlib.import_module(room)
    classes = inspect.getmembers(module, inspect.isclass)
    public = [pair for pair in classes if pair[0] in module.__all__]
    return [name for name, ansatz in public if issubclass(ansatz, capability)]

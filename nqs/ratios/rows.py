"""Rows of the matrix of H, as psi weighs them."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
from jax import Array

from nqs.capabilities import SiteRatios


@runtime_checkable
class MatrixRows(Protocol):
    """A Hamiltonian given by the rows of its matrix."""

    off_diagonal: str  # name of the term of `connected`

    def diagonal(self, x: Array) -> dict[str, Array]:
        """Named () contributions to <x|H|x>."""
        ...

    def connected(self, x: Array) -> Any:
        """Arrays sites (c, k), values (c, k) and elements (c,) of the row of x (s,)."""
        ...


class Row(NamedTuple):
    """The row of x in the matrix of H, as psi weighs it."""

    terms: dict[str, Array]  # () each, of the local energy
    amplitudes: Array  # (c,) m = <x|H|x'> psi(x') / psi(x)


def row_of(
    hamiltonian: MatrixRows, ratios: SiteRatios, tables: Any, cache: Any, x: Array
) -> Row:
    """The row of levels x (s,), whose `site_cache` is given."""
    change = hamiltonian.connected(x)
    found = ratios.site_ratios(tables, cache, x, change.sites, change.values)
    amplitudes = change.elements * found
    terms = hamiltonian.diagonal(x) | {hamiltonian.off_diagonal: jnp.sum(amplitudes)}
    return Row(terms, amplitudes)

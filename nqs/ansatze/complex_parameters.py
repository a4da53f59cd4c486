"""Wave functions continued to complex parameters, and shifted ones."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from nqs.capabilities import SiteRatios
from nqs.types import Ansatz, Configuration, LogPsi, Params


@dataclasses.dataclass(frozen=True)
class ComplexParameters:
    """The analytic continuation of psi to complex parameters.

    A derivative by an imaginary part is i times that by the real part, so that the
    space of derivatives contains i times each of its vectors. Then the equations of
    motion of real time conserve the energy. J. Haegeman et al., Phys. Rev. Lett. 107,
    070601 (2011).

    Attributes:
      ansatz: an analytic function of its parameters, such as a network with tanh or
        silu, determinants or a Jastrow factor; |theta| or max(theta) are not analytic.
    """

    ansatz: Ansatz

    def init(self, key: Array, x: Configuration, /) -> Params:
        """Parameters of the ansatz, with imaginary parts that are zero."""
        return with_imaginary(self.ansatz.init(key, x))

    def apply(self, params: Params, x: Configuration, /) -> LogPsi:
        """Log psi of one configuration, complex."""
        sign, logabs = self.ansatz.apply(joined(params), x)
        sign = jnp.asarray(sign, jnp.result_type(sign, logabs, jnp.complex64))
        if jnp.iscomplexobj(logabs):
            sign = sign * jnp.exp(jax.lax.complex(0 * logabs.imag, logabs.imag))
        return LogPsi(sign, logabs.real)

    def pairs(self, params: Params) -> tuple[Params, Params]:
        """Real and imaginary parts."""
        return params["real"], params["imaginary"]

    def from_pairs(self, real: Params, imaginary: Params) -> Params:
        """Parameters of these parts."""
        return {"real": real, "imaginary": imaginary}


@dataclasses.dataclass(frozen=True)
class ComplexSites(ComplexParameters):
    """`ComplexParameters` of an ansatz with `SiteRatios`."""

    ansatz: Any  # of both protocols

    def site_tables(self, params: Params):  # noqa: D102 - as in nqs.capabilities
        return self.ansatz.site_tables(joined(params))

    def site_cache(self, tables, x):  # noqa: D102
        return self.ansatz.site_cache(tables, x)

    def site_ratios(self, tables, cache, x, sites, values):  # noqa: D102
        return self.ansatz.site_ratios(tables, cache, x, sites, values)

    def site_move(self, tables, cache, x, sites, values):  # noqa: D102
        return self.ansatz.site_move(tables, cache, x, sites, values)


class Shifted(nn.Module):
    """exp(tilt . sum_i x_i) psi(x_1 - shift, ..., x_n - shift), both initially zero.

    With complex parameters it contains every motion of the center of mass that starts
    from psi in a harmonic trap. W. Kohn, Phys. Rev. 123, 1242 (1961).

    Attributes:
      ansatz: a linen module that is a function of positions (n, d).
    """

    ansatz: nn.Module

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        zeros, shape = nn.initializers.zeros, (1, x.shape[1])
        shift = self.param("shift", zeros, shape, x.dtype)
        tilt = self.param("tilt", zeros, shape, x.dtype)
        sign, logabs = self.ansatz(x - shift)
        return LogPsi(sign, logabs + jnp.sum(tilt * x))


def complex_parameters(ansatz: Ansatz) -> ComplexParameters:
    """`ComplexParameters`, with the site ratios of the ansatz if it has them."""
    if isinstance(ansatz, SiteRatios):
        return ComplexSites(ansatz)
    return ComplexParameters(ansatz)


def with_imaginary(params: Params) -> Params:
    """Real parameters as complex ones."""
    return {"real": params, "imaginary": jax.tree.map(jnp.zeros_like, params)}


def joined(params: Params) -> Params:
    """Complex arrays from their real and imaginary parts."""
    return jax.tree.map(jax.lax.complex, params["real"], params["imaginary"])

"""Layers, activations and checks shared by the ansätze."""

import warnings
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import one_of, positives, whole
from nqs.laplacian.dense import elementwise
from nqs.laplacian.rules import refine
from nqs.types import LogPsi

# The sampled kinetic energy lacks the delta functions of their second derivatives.
KINKED = ("abs", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu",
          "relu", "relu6", "selu", "sparse_sigmoid")  # fmt: skip

INITIALIZERS = {
    "glorot_normal": nn.initializers.glorot_normal(),
    "glorot_uniform": nn.initializers.glorot_uniform(),
    "he_normal": nn.initializers.he_normal(),
    "he_uniform": nn.initializers.he_uniform(),
    "lecun_normal": nn.initializers.lecun_normal(),
    "normal": nn.initializers.normal(0.1),
    "orthogonal": nn.initializers.orthogonal(),
}


class Perceptron(nn.Module):
    """Dense layers with activations; see `FeedForward` for the settings."""

    widths: tuple[int, ...]
    activation: str | Callable = "tanh"
    kernel_init: str | Callable = "glorot_normal"
    residual: bool = False
    linear_output: bool = False  # no activation and no bias on the last layer

    @nn.compact
    def __call__(self, h: Array) -> Array:
        """Features (..., k) to (..., widths[-1])."""
        activation = named_activation(self.activation)
        kernel_init = named_initializer(self.kernel_init)
        for layer, width in enumerate(self.widths):
            last = self.linear_output and layer == len(self.widths) - 1
            dense = nn.Dense(
                width, use_bias=not last, kernel_init=kernel_init, param_dtype=h.dtype
            )
            new = dense(h) if last else activation(dense(h))
            h = h + new if self.residual and not last and h.shape == new.shape else new
        return h


class Envelope(nn.Module):
    """Log of exp(-alpha sum_ia omega_a x_ia^2 / 2), with alpha > 0 learned.

    Attributes:
      omega: trap frequency, one number or one per axis, hartree; alpha starts at 1,
        the width of the oscillator.
    """

    omega: float | tuple[float, ...] = 1.0

    def __post_init__(self):
        super().__post_init__()
        positives("omega", self.omega)

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Log envelope () at x (n, d)."""
        log_alpha = self.param("log_alpha", nn.initializers.zeros, (), x.dtype)
        q = oscillator_lengths(x, self.omega)
        return -jnp.exp(log_alpha) * jnp.sum(q * q) / 2


def oscillator_lengths(x: Array, omega: float | tuple[float, ...]) -> Array:
    """Positions (n, d) in units of the oscillator length 1/sqrt(omega_a) of each axis.

    Raises:
      ValueError: if omega is not positive, or neither one number nor one per axis.
    """
    d = x.shape[-1]
    if np.shape(omega) not in ((), (d,)) or not np.all(np.asarray(omega) > 0):
        raise ValueError(
            f"omega must be one positive number or d={d} of them, got {omega!r}"
        )
    omegas = jnp.asarray(np.broadcast_to(omega, (1, d)), x.dtype)
    return jnp.sqrt(omegas) * x


def zero_dense(k: int, like: Array, bias: bool = False) -> nn.Dense:
    """A layer of k outputs that starts at zero, with the dtype of an array."""
    zeros = nn.initializers.zeros
    return nn.Dense(k, use_bias=bias, kernel_init=zeros, param_dtype=like.dtype)


def different_factors(k: int, h: Array, size: float = 1.0) -> Array:
    """Factors (..., k) of features h (..., m), 1 and random functions of h at first.

    For terms of a sum over k: equal terms would have equal gradients, and stay equal.
    The random functions are about `size` times a feature.
    """
    init = nn.initializers.variance_scaling(size**2, "fan_in", "truncated_normal")
    return 1 + nn.Dense(k, kernel_init=init, param_dtype=h.dtype)(h)


def network(ansatz: Any, widths: tuple[int, ...], linear_output: bool) -> Perceptron:
    """A perceptron with the activation and initialization of the ansatz."""
    return Perceptron(
        widths, ansatz.activation, ansatz.kernel_init, ansatz.residual, linear_output
    )


def log_psi(outputs: Array, log_envelope: Array | float = 0.0) -> LogPsi:
    """LogPsi of the network outputs: (1,) logabs, or (2,) logabs and phase."""
    logabs = outputs[0] + log_envelope
    if outputs.shape[0] == 1:
        return LogPsi(jnp.ones_like(logabs), logabs)
    return LogPsi(jax.lax.complex(jnp.cos(outputs[1]), jnp.sin(outputs[1])), logabs)


def log_sum(signs: Array, logs: Array) -> LogPsi:
    """Log of the sum over k of signs exp(logs), both (k,).

    Of complex logs it is analytic, a complex logabs with the sign 1.
    """
    largest = jax.lax.stop_gradient(jnp.max(jnp.real(logs)))
    weights = jnp.exp(logs - largest)
    if jnp.iscomplexobj(logs):
        log = largest + jnp.log(jnp.sum(signs * weights))
        return LogPsi(jnp.ones_like(log), log)
    if not jnp.iscomplexobj(signs):
        total = jnp.sum(signs * weights)
        return LogPsi(jnp.sign(total), largest + jnp.log(jnp.abs(total)))
    # real and imaginary part, because folx has no modulus of a complex number
    real, imaginary = (jnp.sum(f(signs) * weights) for f in (jnp.real, jnp.imag))
    square = real * real + imaginary * imaginary
    scale = jax.lax.rsqrt(square)
    sign = jax.lax.complex(scale * real, scale * imaginary)
    return LogPsi(sign, largest + jnp.log(square) / 2)


@jax.jit  # folx recognizes the elementwise function by its name
def silu(x: Array) -> Array:
    """The activation x / (1 + exp(-x)), by tanh, which is faster than exp on a CPU."""
    return x * (0.5 + 0.5 * jnp.tanh(0.5 * x))


refine("silu", elementwise(silu))


def named_activation(activation: str | Callable) -> Callable:
    """The activation of a name in `jax.nn` or `jax.numpy`."""
    if callable(activation):
        return activation
    if activation in ("silu", "swish"):
        return silu
    for module in (jax.nn, jnp):
        if callable(found := getattr(module, activation, None)):
            return found
    raise ValueError(
        "activation must be a function of jax.nn or jax.numpy, such as 'tanh', 'silu' "
        f"or 'gelu', got {activation!r}"
    )


def named_initializer(kernel_init: str | Callable) -> Callable:
    """The kernel initializer of a name."""
    if callable(kernel_init):
        return kernel_init
    return INITIALIZERS[one_of("kernel_init", kernel_init, INITIALIZERS)]


def check_integers(ansatz: Any, **least: int) -> None:
    """Require that these fields are integers >= their least value."""
    for name, smallest in least.items():
        whole(name, getattr(ansatz, name), smallest)


def check_elementwise(activation: str | Callable) -> None:
    """Require an activation that maps arrays to arrays of the same shape."""
    f = named_activation(activation)
    for shape in ((), (2, 3)):
        try:
            found = jax.eval_shape(f, jax.ShapeDtypeStruct(shape, "float32"))
        except (TypeError, ValueError, IndexError):
            found = None
        if getattr(found, "shape", None) != shape:
            raise ValueError(f"activation must be elementwise, got {activation!r}")


def check_network(ansatz: Any) -> None:
    """Check the settings of a network, and warn of activations with kinks."""
    for field in ("features", "hidden"):
        widths = getattr(ansatz, field, ())
        if not isinstance(widths, tuple) or not all(
            isinstance(width, int) and width > 0 for width in widths
        ):
            raise ValueError(
                f"{field} must be a tuple of positive integers such as (32, 32), got "
                f"{widths!r}"
            )
    positives("omega", getattr(ansatz, "omega", 1.0))
    whole("levels", getattr(ansatz, "levels", 2), 2)
    named_activation(ansatz.activation)
    named_initializer(ansatz.kernel_init)
    name = getattr(ansatz.activation, "__name__", ansatz.activation)
    if name in KINKED:
        warnings.warn(
            f"{name} has kinks: the local energy misses their kinetic energy, and the "
            "result is no upper bound; silu, softplus or elu are smooth",
            stacklevel=3,
        )

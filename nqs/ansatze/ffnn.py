"""Feed-forward networks for log psi, plain and symmetric under exchange."""

import warnings
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from nqs.ansatze.envelope import Envelope, oscillator_lengths
from nqs.ansatze.log_derivatives import LayerwiseDerivatives
from nqs.ansatze.site_features import site_features
from nqs.types import LogPsi

# Their second derivative holds delta functions at the kinks, which no walker ever
# meets: the sampled kinetic energy misses them and the energy is no upper bound.
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
    """Dense layers with an activation after each but, if asked, not after the last.

    Attributes:
      widths: of the layers.
      activation: name of a function of `jax.nn` or `jax.numpy`, or a callable.
      kernel_init: a key of `INITIALIZERS`, or an initializer.
      residual: h + f(h) wherever a layer keeps the width.
      linear_output: no activation and no bias on the last layer.
    """

    widths: tuple[int, ...]
    activation: str | Callable = "tanh"
    kernel_init: str | Callable = "glorot_normal"
    residual: bool = False
    linear_output: bool = False

    @nn.compact
    def __call__(self, h: Array) -> Array:
        """Features (..., k) to (..., widths[-1])."""
        activation, kernel_init = (
            named_activation(self.activation),
            named_initializer(self.kernel_init),
        )
        for layer, width in enumerate(self.widths):
            last = self.linear_output and layer == len(self.widths) - 1
            dense = nn.Dense(
                width, use_bias=not last, kernel_init=kernel_init, param_dtype=h.dtype
            )
            new = dense(h) if last else activation(dense(h))
            h = h + new if self.residual and not last and h.shape == new.shape else new
        return h


class FeedForward(LayerwiseDerivatives, nn.Module):
    """log psi(x) = network(x) + log envelope(x), a multilayer perceptron of all of x.

    Positions enter in oscillator lengths, sqrt(omega) x. The levels of a lattice enter
    as spins, or one unit a level where there are more than two, without an envelope.

    Attributes:
      hidden: widths of the hidden layers.
      activation: name of a smooth function of `jax.nn` or `jax.numpy`, or a callable.
      kernel_init: a key of `INITIALIZERS` (Glorot, He, normal ...), or an initializer.
      residual: h + f(h) wherever a layer keeps the width.
      omega: trap frequency of the envelope, one number or one per axis, hartree.
      phase: a second output is the phase of psi, which is then complex.
      levels: q of the sites of a lattice.

    Raises:
      ValueError: for widths that are no positive integers or an unknown name.
    """

    hidden: tuple[int, ...] = (32, 32)
    activation: str | Callable = "tanh"
    kernel_init: str | Callable = "glorot_normal"
    residual: bool = False
    omega: float | tuple[float, ...] = 1.0
    phase: bool = False
    levels: int = 2

    def __post_init__(self):
        super().__post_init__()
        check_network(self)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x, positions (n, d) or levels (s,)."""
        perceptron = network(self, (*self.hidden, 1 + self.phase), True)
        if jnp.issubdtype(x.dtype, jnp.integer):
            outputs = perceptron(site_features(x, self.levels).reshape(-1))
            return log_psi(outputs, jnp.zeros((), outputs.dtype))
        outputs = perceptron(oscillator_lengths(x, self.omega).reshape(-1))
        return log_psi(outputs, Envelope(self.omega)(x))


class DeepSets(LayerwiseDerivatives, nn.Module):
    """log psi(x) = rho(mean_i phi(x_i)) + log envelope(x), symmetric under exchange.

    M. Zaheer et al., Deep sets, NeurIPS 30 (2017): any continuous symmetric function
    has this form. For bosons, or two opposite spins.

    Attributes:
      features: widths of the layers of phi, shared by all particles.
      hidden: widths of the hidden layers of rho.
      activation: as in `FeedForward`.
      kernel_init: as in `FeedForward`.
      residual: as in `FeedForward`.
      omega: as in `FeedForward`.
      phase: as in `FeedForward`.

    Raises:
      ValueError: for widths that are no positive integers or an unknown name.
    """

    features: tuple[int, ...] = (32, 32)
    hidden: tuple[int, ...] = (32,)
    activation: str | Callable = "tanh"
    kernel_init: str | Callable = "glorot_normal"
    residual: bool = False
    omega: float | tuple[float, ...] = 1.0
    phase: bool = False

    def __post_init__(self):
        super().__post_init__()
        check_network(self)

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of x (n, d)."""
        particles = oscillator_lengths(x, self.omega)
        pooled = jnp.mean(network(self, self.features, False)(particles), axis=0)
        outputs = network(self, (*self.hidden, 1 + self.phase), True)(pooled)
        return log_psi(outputs, Envelope(self.omega)(x))


def network(ansatz, widths: tuple[int, ...], linear_output: bool) -> Perceptron:
    """A perceptron with the activation and initialization of the ansatz."""
    return Perceptron(
        widths, ansatz.activation, ansatz.kernel_init, ansatz.residual, linear_output
    )


def log_psi(outputs: Array, log_envelope: Array) -> LogPsi:
    """LogPsi of the network outputs: (1,) logabs, or (2,) logabs and phase."""
    if outputs.shape[0] == 1:
        return LogPsi(jnp.ones_like(outputs[0]), outputs[0] + log_envelope)
    sign = jax.lax.complex(jnp.cos(outputs[1]), jnp.sin(outputs[1]))
    return LogPsi(sign, outputs[0] + log_envelope)


def named_activation(activation: str | Callable) -> Callable:
    """The function of that name in `jax.nn` or `jax.numpy`."""
    if callable(activation):
        return activation
    if activation in ("silu", "swish"):
        return silu
    for module in (jax.nn, jnp):
        if callable(found := getattr(module, activation, None)):
            return found
    raise ValueError(
        f"activation must be a function of jax.nn or jax.numpy, such as 'tanh', 'silu' "
        f"or 'gelu', got {activation!r}"
    )


def check_elementwise(activation: str | Callable) -> None:
    """Refuse an activation that mixes features, of which softmax is one.

    Raises:
      ValueError: if it does not take a number to a number and keep a shape.
    """
    f = named_activation(activation)
    for shape in ((), (2, 3)):
        numbers = jax.ShapeDtypeStruct(shape, "float32")
        try:
            kept = jax.eval_shape(f, numbers).shape == shape
        except (TypeError, ValueError, IndexError):
            kept = False
        if not kept:
            raise ValueError(
                f"activation must act on every number alone, got {activation!r}"
            )


@jax.jit  # for its name alone, by which folx knows an elementwise function
def silu(x: Array) -> Array:
    """The activation x / (1 + exp(-x)), by the hyperbolic tangent.

    XLA evaluates tanh in two thirds of the time of exp on a CPU, in double precision.
    """
    return x * (0.5 + 0.5 * jnp.tanh(0.5 * x))


def named_initializer(kernel_init: str | Callable) -> Callable:
    """The kernel initializer of that name."""
    if callable(kernel_init):
        return kernel_init
    if kernel_init not in INITIALIZERS:
        raise ValueError(
            f"kernel_init must be one of {[*INITIALIZERS]}, got {kernel_init!r}"
        )
    return INITIALIZERS[kernel_init]


def check_network(ansatz) -> None:
    """Refuse impossible settings, and warn of activations with kinks."""
    for field in ("features", "hidden"):
        widths = getattr(ansatz, field, ())
        if not isinstance(widths, tuple) or not all(
            isinstance(width, int) and width > 0 for width in widths
        ):
            raise ValueError(
                f"{field} must be a tuple of positive integers such as (32, 32), got "
                f"{widths!r}"
            )
    named_activation(ansatz.activation)
    named_initializer(ansatz.kernel_init)
    name = getattr(ansatz.activation, "__name__", ansatz.activation)
    if name in KINKED:
        warnings.warn(
            f"{name} has kinks: the local energy misses their "
            "kinetic energy, and the result is no upper bound; silu, softplus or elu "
            "are smooth",
            stacklevel=3,
        )

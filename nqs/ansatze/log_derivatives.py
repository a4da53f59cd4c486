"""Log-derivatives as outer products, read off the dense layers of a network.

For a layer y_r = A_r W + b with the signal G_r = d log psi / d y_r, d log psi / dW is
sum_r A_r G_r^T. So one pass forward and one back determine the Jacobian, in no more
memory than the activations.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core.tracers import current_trace
from flax.traverse_util import flatten_dict, unflatten_dict
from jax import Array

from nqs.capabilities import OuterProducts
from nqs.types import Configuration, LogPsi, Params


class LayerwiseDerivatives:
    """The capability `LogDerivatives` of a linen module that returns a `LogPsi`.

    Every `flax.linen.Dense` inside counts, at any depth and for any number of calls.
    Other parameters, and those in a lifted transformation such as `nn.scan`, are
    differentiated one by one. The kernel of a Dense must not be used outside of it.
    """

    def log_derivatives(
        self, params: Params, x: Configuration
    ) -> tuple[OuterProducts, ...]:
        """The derivatives of log psi(x), one item for each layer or parameter."""
        assert isinstance(self, nn.Module)
        leaves = flatten_dict(params)
        shapes = output_shapes(self, leaves, x)
        zeros = jax.tree.map(lambda y: jnp.zeros(y.shape, y.dtype), shapes)
        dense = {(*layer, name) for layer in shapes for name in ("kernel", "bias")}
        others = {key: leaf for key, leaf in leaves.items() if key not in dense}

        def log_psi(perturbations, others):
            inputs = {layer: [] for layer in perturbations}

            def perturb(module, layer, a, y):
                if layer not in perturbations:
                    return y
                inputs[layer].append(a.astype(y.dtype))
                return y + perturbations[layer][len(inputs[layer]) - 1]

            return apply_with(perturb, self, leaves | others, x).parts, inputs

        differentiate = jax.jacrev(log_psi, argnums=(0, 1), has_aux=True)
        (signals, jacobian), inputs = differentiate(zeros, others)
        layers = (
            of_layer(inputs[layer], signals[layer], (*layer, "bias") in leaves)
            for layer in shapes
        )
        return *layers, *map(of_parameter, jax.tree.leaves(jacobian))


def apply_with(visit: Callable, module: nn.Module, leaves: dict, x) -> LogPsi:
    """Log psi(x) with visit(module, path, inputs, outputs) as output of each Dense."""

    def intercept(call, args, kwargs, context):
        outputs = call(*args, **kwargs)
        dense = context.module
        if type(dense) is not nn.Dense or context.method_name != "__call__":
            return outputs
        inputs = args[0] if args else kwargs["inputs"]
        return visit(dense, ("params", *dense.path), inputs, outputs)

    with nn.intercept_methods(intercept):
        psi = module.apply(unflatten_dict(leaves), x)
    assert isinstance(psi, LogPsi)
    return psi


def output_shapes(module: nn.Module, leaves: dict, x) -> dict[tuple, list]:
    """Output shapes of each Dense at each of its calls, by the layer's path.

    Only of layers that are plain at every call: outside of transformations, whose
    values may not leave them, and with the parameters as weights.
    """
    shapes, not_plain = {}, set()

    def survey(leaves):
        trace = current_trace()

        def visit(dense, layer, a, y):
            names = ("kernel", "bias") if dense.use_bias else ("kernel",)
            plain = (
                trace == current_trace()
                and dense.dot_general is dense.dot_general_cls is None
                and jnp.issubdtype(y.dtype, jnp.floating)
                and all(
                    leaves.get((*layer, name)) is dense.get_variable("params", name)
                    for name in names
                )
            )
            if not plain:
                not_plain.add(layer)
            shapes.setdefault(layer, []).append(jax.ShapeDtypeStruct(y.shape, y.dtype))
            return y

        return apply_with(visit, module, leaves, x)

    jax.eval_shape(survey, leaves)
    return {layer: calls for layer, calls in shapes.items() if layer not in not_plain}


def of_layer(inputs: list[Array], signals: list[Array], bias: bool) -> OuterProducts:
    """Derivatives by kernel (and bias) from inputs (..., a) and signals (k, ..., b)."""
    a = jnp.concatenate([a.reshape(-1, a.shape[-1]) for a in inputs])
    if bias:
        a = jnp.concatenate([a, jnp.ones_like(a[:, :1])], axis=1)
    g = [g.reshape(g.shape[0], -1, g.shape[-1]) for g in signals]
    return OuterProducts(a, jnp.concatenate(g, axis=1))


def of_parameter(jacobian: Array) -> OuterProducts:
    """The derivatives (k, ...) by one parameter."""
    k, size = jacobian.shape[0], math.prod(jacobian.shape[1:])
    return OuterProducts(jnp.ones((1, 1), jacobian.dtype), jacobian.reshape(k, 1, size))

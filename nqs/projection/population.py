"""Populations of a fixed number of walkers with weights, which projections share.

Walkers carry weights, and a comb draws them anew where the weights differ much. This
biases the energy by a part of order 1/w. S. Sorella and L. Buonaura, Phys. Rev. B 57,
11446 (1998).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.checks import name_of
from nqs.contracts import check_log_psi
from nqs.types import Ansatz, Params, Walkers, sum_of_terms
from nqs.vmc import running_average

# Effective walkers, as a part of all, below which they are drawn anew.
FEW = 0.8

# Last part of the steps over which the trial energy is averaged.
MEMORY = 0.5


class ProjectionState(NamedTuple):
    """Walkers of a projection, between two steps."""

    step: Array  # () integer, steps done
    params: Params
    walkers: Walkers  # (w, n, d), or (w, s)
    guide: Any  # arrays (w, ...) of the guiding psi, with the `terms` of its energy
    weights: Array  # (w,) of mean 1
    trial_energy: Array  # ()
    time_step: Array  # () tau, in the inverse of the energy unit


def first_state(
    params: Params, walkers: Walkers, guide: Any, time_step: float
) -> ProjectionState:
    """Walkers of equal weight before the first step."""
    local_energy = sum_of_terms(guide.terms)
    energy = jnp.mean(local_energy)
    tau = jnp.asarray(time_step, energy.dtype)
    weights, step = jnp.ones_like(local_energy), jnp.zeros((), int)
    return ProjectionState(step, params, walkers, guide, weights, energy, tau)


def check_real(ansatz: Ansatz, params: Params, x: Any) -> None:
    """Raise a ValueError unless psi is real."""
    check_log_psi(ansatz, params, x)
    sign = jax.eval_shape(ansatz.apply, params, x).sign
    if jnp.issubdtype(sign.dtype, jnp.complexfloating):
        raise ValueError(
            "ansatz must be real for a projection with its nodes, got a complex psi of "
            f"{name_of(ansatz)}"
        )


def weighted(
    state: ProjectionState, walkers: Walkers, guide: Any, factors: Array, time: Array
) -> tuple[ProjectionState, dict[str, Array]]:
    """The state with new walkers, whose weights change by factors (w,) in a time ().

    Returns:
      The next state, and info of () scalars: the mixed estimate of the energy and of
      every term, the variance of the local energy, the energy at which the weights
      would not grow, and the effective part of the walkers.
    """
    weights = state.weights * factors
    growth = jnp.mean(weights)
    weights = weights / growth
    info = mixed(weights, guide.terms)
    info["growth_energy"] = state.trial_energy - jnp.log(growth) / time
    info["effective_walkers"] = 1 / jnp.mean(weights**2)
    steps = state.step.astype(growth.dtype)
    trial = running_average(state.trial_energy, info["energy"], steps, MEMORY)
    following = state._replace(
        step=state.step + 1,
        walkers=walkers,
        guide=guide,
        weights=weights,
        trial_energy=trial,
    )
    return following, info


def mixed(weights: Array, terms: dict[str, Array]) -> dict[str, Array]:
    """Weighted means over the walkers, as () scalars; the weights have mean 1."""
    local_energy = sum_of_terms(terms)
    energy = jnp.mean(weights * local_energy)
    variance = jnp.mean(weights * (local_energy - energy) ** 2)
    means = {name: jnp.mean(weights * term) for name, term in terms.items()}
    return means | {"energy": energy, "variance": variance}


def renewed(key: Array, state: ProjectionState) -> ProjectionState:
    """The state, with walkers drawn anew if too few of them are effective."""
    few = 1 / jnp.mean(state.weights**2) < FEW
    return jax.lax.cond(few, drawn_anew, lambda _, same: same, key, state)


def drawn_anew(key: Array, state: ProjectionState) -> ProjectionState:
    """Walkers of equal weight, drawn from those of the state."""
    chosen = comb(key, state.weights)
    walkers, guide = jax.tree.map(
        lambda leaf: leaf[chosen], (state.walkers, state.guide)
    )
    weights = jnp.ones_like(state.weights)
    return state._replace(walkers=walkers, guide=guide, weights=weights)


def comb(key: Array, weights: Array) -> Array:
    """Indices (w,) that hold walker i weights[i] / mean(weights) times on average.

    The teeth of a comb at equal distances, shifted by one random number, choose from
    the sums of weights; every number of copies is one of the two nearest integers.
    """
    sums = jnp.cumsum(weights)
    teeth = jnp.arange(weights.size, dtype=weights.dtype)
    teeth = (teeth + jax.random.uniform(key, (), weights.dtype)) * jnp.mean(weights)
    chosen = jnp.searchsorted(sums, teeth, side="right")
    return jnp.minimum(chosen, weights.size - 1)  # rounding

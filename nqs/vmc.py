"""Variational Monte Carlo: one pure step from walkers and parameters to better ones."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from nqs.batching import check_chunk_size, chunked_map
from nqs.checks import check_ansatz, check_switches, name_of, positive
from nqs.contracts import (
    called,
    check_capability,
    check_fields,
    check_instances,
    check_kind,
    check_log_psi,
    check_numbers,
    check_parameters,
    check_walkers,
)
from nqs.gradient import by_orbits, clip_local_energy, energy_gradient
from nqs.single import single_step
from nqs.types import (
    Ansatz,
    Hamiltonian,
    Optimizer,
    Params,
    Sampler,
    State,
    Walkers,
    sum_of_terms,
)


class VMCState(NamedTuple):
    """Training state."""

    step: Array  # () integer, steps done
    params: Params
    average: Params  # over the last part of training, which evaluation freezes
    opt_state: optax.OptState
    sampler: State  # .walkers (w, ...)


@dataclasses.dataclass(frozen=True)
class VMC:
    """The four parts composed into `init` and `step`.

    Attributes:
      ansatz: the wave function.
      hamiltonian: the system.
      sampler: the Markov kernel.
      optimizer: settings of the update, or an optax transformation.
      chunk_size: walkers at a time; None for `nqs.batching.suitable_chunk_size`.
      clip: width of `clip_local_energy`, for the gradient; None for no clipping.
      averaging: part of the training, 0 to 1, over which `running_average` averages the
        parameters for the evaluation.
      check: whether the ansatz is compared with the Hamiltonian, see `nqs.contracts`.
      single_sampling: whether a sampler with a `reversible_step` moves the walkers in
        single precision, see `nqs.single`.

    Raises:
      ValueError: if the ansatz lacks a capability of the sampler or contradicts the
        Hamiltonian, or a number is out of range.
    """

    ansatz: Ansatz
    hamiltonian: Hamiltonian
    sampler: Sampler
    optimizer: Optimizer
    chunk_size: int | None = None
    clip: float | None = 5.0
    averaging: float = 0.0
    check: bool = True
    single_sampling: bool = False

    def __post_init__(self):
        check_instances(
            ansatz=self.ansatz,
            hamiltonian=self.hamiltonian,
            sampler=self.sampler,
            optimizer=self.optimizer,
        )
        check_ansatz(self.ansatz)
        check_switches(self)
        if self.check:
            check_fields(self.ansatz, self.hamiltonian)
        check_capability(self.sampler, self.ansatz)
        check_chunk_size(self.chunk_size)
        if self.clip is not None:
            positive("clip", self.clip)
        if not 0 <= self.averaging <= 1:
            raise ValueError(f"averaging must be 0 to 1, got {self.averaging!r}")
        transformation(self.optimizer)

    def init(self, key: Array, walkers: Walkers) -> VMCState:
        """The state before the first step; a ValueError for an unsuitable ansatz."""
        x = jax.tree.map(lambda leaf: leaf[0], walkers)
        check_kind(self.sampler, self.hamiltonian, x)
        check_walkers(self.hamiltonian, walkers)
        params = jax.tree.map(strong, self.ansatz.init(key, x))
        check_log_psi(self.ansatz, params, x)
        check_parameters(self.ansatz, params, x)
        self.check_numbers(params, walkers)
        opt_state = transformation(self.optimizer).init(params)
        average = jax.tree.map(jnp.copy, params)  # steps may donate both
        step, sampler = jnp.zeros((), int), self.sampler.init(walkers)
        return VMCState(step, params, average, opt_state, sampler)

    def check_numbers(
        self, params: Params, walkers: Walkers, call: Callable = called
    ) -> None:
        """`nqs.contracts.check_numbers` of these parts, unless `check` is False."""
        if self.check:
            parts = self.ansatz, self.hamiltonian, self.sampler
            check_numbers(*parts, params, walkers, call)

    def step(self, key: Array, state: VMCState) -> tuple[VMCState, dict[str, Array]]:
        """Sample, measure, and move the parameters down the energy gradient.

        Returns:
          The next state and info, () scalars: energy, its imaginary part if psi is
          complex, variance, the mean of every term, the norms of the update and, if the
          optimizer uses it, of the gradient, the number of non-finite values, and the
          info of the sampler.
        """
        params = state.params
        sampler, info = self.sample(key, params, state.sampler)
        terms = self.local_terms(params, sampler.walkers)
        return self.update(state._replace(sampler=sampler), info, terms)

    def sample(
        self, key: Array, params: Params, state: State, exact: Array | bool = False
    ) -> tuple[State, dict[str, Array]]:
        """A step of the sampler, as the sampler itself gives it.

        In single precision the walkers have the density of psi with its rounding, or
        where `exact`, a () flag, that of psi. Warns of a psi that has no value there,
        and samples in double precision.
        """
        sampler: Any = self.sampler
        if self.single_sampling and hasattr(sampler, "reversible_step"):
            try:
                return single_step(sampler, key, self.ansatz, params, state, exact)
            except TypeError as error:  # as of a product of x with doubles
                reason = str(error).partition("\n")[0]
                warnings.warn(f"sampling in double precision: {reason}", stacklevel=2)
        return sampler.step(key, self.ansatz, params, state)

    def local_terms(self, params: Params, walkers: Walkers) -> dict[str, Array]:
        """Every named term of the local energy of every walker, (w,) each."""
        return local_terms(
            self.ansatz, self.hamiltonian, params, walkers, self.chunk_size
        )

    def update(
        self, state: VMCState, info: dict[str, Array], terms: dict[str, Array]
    ) -> tuple[VMCState, dict[str, Array]]:
        """The second half of `step`, after sampling and measuring.

        Args:
          state: with walkers drawn from its parameters.
          info: of the sampler.
          terms: of the local energy of these walkers.
        """
        walkers, params, info = state.sampler.walkers, state.params, dict(info)
        local_energy = sum_of_terms(terms)
        gradient, updates, opt_state = self._update(state, walkers, local_energy)
        broken = jnp.sum(~jnp.isfinite(local_energy)) + info.pop("non_finite", 0)
        info = energy_info(local_energy, terms) | info
        info["update_norm"] = jnp.asarray(optax.tree.norm(updates))
        info["non_finite"] = broken
        if self._uses_gradient:
            info["gradient_norm"] = jnp.asarray(optax.tree.norm(gradient))
        sampler = self.sampler.adapt(state.sampler, info)
        params = optax.apply_updates(params, updates)
        average = running_average(state.average, params, state.step, self.averaging)
        return VMCState(state.step + 1, params, average, opt_state, sampler), info

    @property
    def _uses_gradient(self) -> bool:
        return getattr(self.optimizer, "uses_gradient", True)

    def _update(
        self, state: VMCState, walkers: Walkers, local_energy: Array
    ) -> tuple[Params, Params, optax.OptState]:
        """Gradient, update and the next state of the optimizer."""
        ansatz, params = self.ansatz, state.params
        if not jax.tree.leaves(params):
            return params, params, state.opt_state
        if self.clip is not None:
            local_energy = clip_local_energy(local_energy, self.clip)
        walkers, local_energy, weights = by_orbits(ansatz, walkers, local_energy)
        gradient = params  # of the same shapes, for an optimizer that does not use it
        if self._uses_gradient:
            point = ansatz, params, walkers, local_energy, weights
            gradient = energy_gradient(*point, chunk_size=self.chunk_size)
        updates, opt_state = transformation(self.optimizer).update(
            gradient,
            state.opt_state,
            params,
            ansatz=ansatz,
            walkers=walkers,
            local_energy=local_energy,
            weights=weights,
            chunk_size=self.chunk_size,
        )
        return gradient, updates, opt_state


def running_average(
    average: Params, params: Params, step: Array, part: float
) -> Params:
    """The average over about the last `part` of all steps so far.

    A stochastic gradient moves the parameters about their optimum; their average is
    nearer to it. Each step has the weight 1 / (1 + part * step): an exponential average
    whose memory grows with the training.

    `average` is that of the first `step` steps, `params` are the next parameters;
    part = 0 is no average, 1 that of all steps.

    Reference: polynomial-decay averaging, O. Shamir and T. Zhang, ICML 2013.
    """
    weight = 1 / (1 + part * step)
    return jax.tree.map(
        lambda old, new: ((1 - weight) * old + weight * new).astype(new.dtype),
        average,
        params,
    )


def local_terms(
    ansatz: Ansatz,
    hamiltonian: Hamiltonian,
    params: Params,
    walkers: Walkers,
    chunk_size: int | None = None,
) -> dict[str, Array]:
    """Every named term of the local energy of every walker, (w,) each."""
    return chunked_map(
        lambda x: hamiltonian.terms(ansatz, params, x), walkers, chunk_size
    )


def energy_info(
    local_energy: Array, terms: dict[str, Array], weights: Array | None = None
) -> dict[str, Array]:
    """Means over the walkers, with weights (w,) of sum 1 or equal ones."""

    def mean(values):
        return jnp.mean(values) if weights is None else weights @ values

    energy = mean(local_energy)
    info = {
        "energy": energy.real,
        "variance": mean(jnp.abs(local_energy - energy) ** 2),
    }
    if jnp.iscomplexobj(local_energy):
        info["energy_imaginary"] = energy.imag
    means = {name: mean(term).real for name, term in terms.items()}
    # the total is not overwritten by a term called energy, as of classical models
    return info | {f"{k}_term" if k in info else k: v for k, v in means.items()}


def strong(leaf: Any) -> Array:
    """An array of a definite dtype, so that the second step does not recompile."""
    return jnp.asarray(leaf, jnp.result_type(leaf))


def transformation(optimizer: Any) -> optax.GradientTransformationExtraArgs:
    """The optax transformation of an optimizer, which may be one itself."""
    if hasattr(optimizer, "build"):
        return optimizer.build()
    if isinstance(optimizer, optax.GradientTransformation):
        return optax.with_extra_args_support(optimizer)
    raise ValueError(
        "optimizer must have build() or be an optax transformation, got "
        f"{name_of(optimizer)}"
    )

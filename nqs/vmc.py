"""Variational Monte Carlo: one pure step from walkers and parameters to better ones."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from nqs.batching import check_chunk_size, chunked_map, chunked_sum
from nqs.capabilities import implemented_by
from nqs.contracts import (
    check_fields,
    check_kind,
    check_log_psi,
    check_parameters,
    check_symmetry,
    name_of,
)
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
      optimizer: what turns a gradient into an update.
      chunk_size: walkers whose energies and gradients are computed at a time; None for
        all at once.
      clip: half-width of the window into which local energies are pulled for the
        gradient, in mean absolute deviations from the median; None for no clipping.
      averaging: the last part of training, 0 to 1, over which parameters are averaged
        for the evaluation; 0 for the last ones. See `running_average`.
      check: whether the ansatz is compared with the Hamiltonian, see `nqs.contracts`.

    Raises:
      ValueError: if the sampler needs what the ansatz does not have, or a number is
        out of range.
    """

    ansatz: Ansatz
    hamiltonian: Hamiltonian
    sampler: Sampler
    optimizer: Optimizer
    chunk_size: int | None = None
    clip: float | None = 5.0
    averaging: float = 0.0
    check: bool = True

    def __post_init__(self):
        if not (hasattr(self.ansatz, "init") and hasattr(self.ansatz, "apply")):
            raise ValueError(
                "ansatz must have init(key, x) and apply(params, x), got "
                f"{name_of(self.ansatz)}; wrap a function f(params, x) -> LogPsi as "
                "nqs.Function(f, initial), an NNX module as nqs.from_nnx(module)"
            )
        if self.check:
            check_fields(self.ansatz, self.hamiltonian)
        needed = self.sampler.requires
        if needed is not None and not isinstance(self.ansatz, needed):
            raise ValueError(
                f"{type(self.sampler).__name__} needs an ansatz with a "
                f"{needed.__name__}, such as "
                f"{' or '.join(implemented_by(needed)) or 'one of your own'}; "
                f"got {type(self.ansatz).__name__}"
            )
        check_chunk_size(self.chunk_size)
        if self.clip is not None and not 0 < self.clip < float("inf"):
            raise ValueError(f"clip must be positive or None, got {self.clip!r}")
        if not 0 <= self.averaging <= 1:
            raise ValueError(f"averaging must lie in [0, 1], got {self.averaging!r}")
        transformation(self.optimizer)

    def init(self, key: Array, walkers: Walkers) -> VMCState:
        """The state before the first step.

        Raises:
          ValueError: if the ansatz does not give a LogPsi of two scalars.
        """
        x = jax.tree.map(lambda leaf: leaf[0], walkers)
        check_kind(self.sampler, self.hamiltonian, x)
        params = jax.tree.map(strong, self.ansatz.init(key, x))
        check_log_psi(self.ansatz, params, x)
        check_parameters(self.ansatz, params, x)
        if self.check:
            check_symmetry(self.ansatz, self.hamiltonian, params, walkers)
        opt_state = transformation(self.optimizer).init(params)
        average = jax.tree.map(jnp.copy, params)  # steps may donate both
        step, sampler = jnp.zeros((), int), self.sampler.init(walkers)
        return VMCState(step, params, average, opt_state, sampler)

    def step(self, key: Array, state: VMCState) -> tuple[VMCState, dict[str, Array]]:
        """Sample, measure, and move the parameters down the energy gradient.

        Args:
          key: a fresh key.
          state: the state after the last step.

        Returns:
          The next state and info, () scalars: energy, its imaginary part where psi is
          complex, variance, the mean of every term, the norms of the gradient, if the
          optimizer uses it, and of the update, the number of non-finite values, and
          what the sampler reports.
        """
        sampler, info = self.sampler.step(key, self.ansatz, state.params, state.sampler)
        walkers, params = sampler.walkers, state.params
        terms = local_terms(
            self.ansatz, self.hamiltonian, params, walkers, self.chunk_size
        )
        local_energy = sum_of_terms(terms)
        clipped = local_energy
        if self.clip is not None:
            clipped = clip_local_energy(local_energy, self.clip)
        gradient = updates = params
        opt_state = state.opt_state
        if jax.tree.leaves(params):  # else there is nothing to train
            gradient = energy_gradient(
                self.ansatz, params, walkers, clipped, chunk_size=self.chunk_size
            )
            updates, opt_state = transformation(self.optimizer).update(
                gradient,
                state.opt_state,
                params,
                ansatz=self.ansatz,
                walkers=walkers,
                local_energy=clipped,
                weights=None,
                chunk_size=self.chunk_size,
            )
        broken = jnp.sum(~jnp.isfinite(local_energy)) + info.pop("non_finite", 0)
        info = (
            energy_info(local_energy, terms)
            | info
            | {
                "update_norm": jnp.asarray(optax.tree.norm(updates)),
                "non_finite": broken,
            }
        )
        if getattr(self.optimizer, "uses_gradient", True):  # else it is never computed
            info["gradient_norm"] = jnp.asarray(optax.tree.norm(gradient))
        sampler = self.sampler.adapt(sampler, info)
        params = optax.apply_updates(params, updates)
        average = running_average(state.average, params, state.step, self.averaging)
        return VMCState(state.step + 1, params, average, opt_state, sampler), info


def running_average(
    average: Params, params: Params, step: Array, part: float
) -> Params:
    """The average over about the last `part` of all steps so far.

    The noise of a stochastic gradient moves the parameters about their optimum, which
    costs energy, and the average is nearer to it than any one of them. Each step counts
    as 1 / (1 + part * step): an exponential average whose memory grows with the
    training, so that it is good at every step and needs no length in advance.

    Args:
      average: after `step` steps.
      params: the new ones.
      step: () steps done before these parameters, from 0.
      part: 0 for no average, 1 for all that was ever seen.

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


def energy_gradient(
    ansatz: Ansatz,
    params: Params,
    walkers: Walkers,
    local_energy: Array,
    weights: Array | None = None,
    *,
    chunk_size: int | None = None,
) -> Params:
    """Gradient of the energy with respect to real parameters.

    dE/dtheta = 2 Re <(E_L - <E_L>) conj(d log psi / d theta)>, psi real or complex. It
    is computed as the gradient of 2 Re sum_w weight_w conj(E_w - <E>) log psi_w.

    Args:
      ansatz: the wave function.
      params: its parameters, a pytree of real arrays.
      walkers: (w, ...) drawn from |psi|^2, or the nodes of a quadrature.
      local_energy: (w,) real or complex, hartree say.
      weights: (w,) probability of each walker, summing to 1; None for 1/w each.
      chunk_size: walkers at a time; None for all at once.

    Returns:
      A pytree like params.

    Reference: S. Sorella, Phys. Rev. B 71, 241103 (2005).
    """
    if weights is None:
        weights = jnp.full_like(local_energy.real, 1 / local_energy.shape[0])
    signal = weights * (local_energy - jnp.sum(weights * local_energy))

    def gradient_of_chunk(chunk):
        walkers, signal = chunk

        def surrogate(params):
            psi = jax.vmap(lambda x: ansatz.apply(params, x))(walkers)
            total = signal.real @ psi.logabs
            if jnp.iscomplexobj(psi.sign):  # Re[conj(E) log psi] has a second half
                total = total + signal.imag @ jnp.angle(psi.sign)
            return 2 * total

        return jax.grad(surrogate)(params)

    return chunked_sum(gradient_of_chunk, (walkers, signal), chunk_size)


def clip_local_energy(energies: Array, width: float = 5.0) -> Array:
    """Pull outlying local energies to a window about their median.

    For gradients only; reported energies are never clipped. Real and imaginary part
    are clipped apart.

    Args:
      energies: (w,) real or complex.
      width: half-width of the window, in mean absolute deviations from the median.

    Raises:
      ValueError: if width is not positive.

    Reference: D. Pfau et al., Phys. Rev. Research 2, 033429 (2020).
    """
    if not 0 < width < float("inf"):
        raise ValueError(f"width must be positive, got {width!r}")
    if jnp.iscomplexobj(energies):
        return jax.lax.complex(
            clip_local_energy(energies.real, width),
            clip_local_energy(energies.imag, width),
        )
    center = median(energies)
    window = width * jnp.mean(jnp.abs(energies - center))
    return jnp.clip(energies, center - window, center + window)


def median(values: Array, digits: int = 16) -> Array:
    """A median of (w,) real values by counting, to 16^-digits of their range.

    Sorting would gather all walkers on every device; counting only adds up numbers.
    Each round looks into one sixteenth of the interval that is left.
    """
    rungs = jnp.arange(17, dtype=values.dtype) / 16

    def narrow(_, interval):
        low, high = interval
        edges = low + (high - low) * rungs
        below = jnp.sum(values[:, None] <= edges[None, :], axis=0)
        i = jnp.clip(jnp.sum(2 * below < values.shape[0]) - 1, 0, 15)
        return edges[i], edges[i + 1]

    extremes = jnp.min(values), jnp.max(values)
    low, high = jax.lax.fori_loop(0, digits, narrow, extremes)
    return (low + high) / 2


def energy_info(local_energy: Array, terms: dict[str, Array]) -> dict[str, Array]:
    """Means over the walkers, as () scalars."""
    energy = jnp.mean(local_energy)
    info = {
        "energy": energy.real,
        "variance": jnp.mean(jnp.abs(local_energy - energy) ** 2),
    }
    if jnp.iscomplexobj(local_energy):
        info["energy_imaginary"] = energy.imag
    means = {name: jnp.mean(term).real for name, term in terms.items()}
    # a term called energy, as classical models have, must not hide the total
    return info | {f"{k}_term" if k in info else k: v for k, v in means.items()}


def strong(leaf: Any) -> Array:
    """An array of a definite dtype, so that the second step does not recompile."""
    return jnp.asarray(leaf, jnp.result_type(leaf))


def transformation(optimizer: Any) -> optax.GradientTransformationExtraArgs:
    """The optax transformation of an optimizer, which may be one itself.

    Raises:
      ValueError: if it is neither.
    """
    if hasattr(optimizer, "build"):
        return optimizer.build()
    if isinstance(optimizer, optax.GradientTransformation):
        return optax.with_extra_args_support(optimizer)
    raise ValueError(
        "optimizer must have build() or be an optax transformation, got "
        f"{name_of(optimizer)}"
    )

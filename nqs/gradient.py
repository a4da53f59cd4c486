"""The energy gradient, the window on local energies, and walkers by orbits."""

import jax
import jax.numpy as jnp
from jax import Array

from nqs.batching import chunked_sum
from nqs.capabilities import Orbits
from nqs.checks import positive
from nqs.types import Ansatz, Params, Walkers


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

    dE/dtheta = 2 Re <(E_L - <E_L>) conj(d log psi / d theta)>, psi real or complex.

    Args:
      ansatz: the wave function.
      params: a pytree of real arrays.
      walkers: (w, ...) drawn from |psi|^2, or the nodes of a quadrature.
      local_energy: (w,) real or complex.
      weights: (w,) probabilities of the walkers, sum 1; None for 1/w each.
      chunk_size: see `nqs.batching.chunked_sum`.

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


def by_orbits(
    ansatz: Ansatz, walkers: Walkers, local_energy: Array
) -> tuple[Walkers, Array, Array | None]:
    """Walkers, local energies and weights, one of every orbit where orbits are fewer.

    The derivatives of log psi are the same in an orbit, and so is the local energy if H
    has the symmetry: sums over the walkers are sums over orbits. Otherwise the gradient
    has the mean local energy of each orbit, and the noise damping of natural gradient
    lacks the variance within orbits. An orbit without walkers has weight zero. Without
    the capability `Orbits`, or with more orbits than walkers, walkers and energies (w,)
    are as they are, and weights None.
    """
    w = local_energy.shape[0]
    if not isinstance(ansatz, Orbits) or ansatz.n_orbits >= w:
        return walkers, local_energy, None
    orbit = jax.vmap(ansatz.orbit)(walkers)
    member = orbit[None, :] == jnp.arange(ansatz.n_orbits)[:, None]
    count = jnp.sum(member, axis=1)
    total = jnp.sum(jnp.where(member, local_energy[None, :], 0), axis=1)
    first = jnp.argmax(member, axis=1)  # walker 0 of an empty orbit, for a finite row
    chosen = jax.tree.map(lambda leaf: leaf[first], walkers)
    weights = count.astype(local_energy.real.dtype) / w
    return chosen, total / jnp.maximum(count, 1), weights


def clip_local_energy(energies: Array, width: float = 5.0) -> Array:
    """Pull outlying local energies to a window about their median.

    For gradients only; reported energies are never clipped. Real and imaginary part
    are clipped separately.

    Energies are (w,) real or complex; the width is that of half the window, in mean
    absolute deviations from the median, positive.

    Reference: D. Pfau et al., Phys. Rev. Research 2, 033429 (2020).
    """
    positive("width", width)
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

    Sorting would gather all walkers on every device. Each round keeps one sixteenth of
    the interval.
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

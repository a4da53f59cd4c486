"""Observables of a lattice: magnetization and structure factor of levels.

Level x of q has the value exp(2 pi i x / q), sigma^z = 1 - 2 x for q = 2. Its average
over sites is the magnetization per spin, or the order parameter of a clock model.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.checks import whole
from nqs.space.lattice import Lattice
from nqs.types import Ansatz, Params


@dataclasses.dataclass(frozen=True)
class Magnetization:
    """<|m|^power> of the order parameter m = (1/s) sum_j exp(2 pi i x_j / q).

    Binder's cumulant is 1 - <|m|^4> / 3 <|m|^2>^2.

    Attributes:
      levels: q, at least 2.
      power: of |m|, at least 1.
    """

    levels: int = 2
    power: int = 1

    grid = None

    def __post_init__(self):
        whole("levels", self.levels, 2)
        whole("power", self.power)

    @property
    def name(self) -> str:
        """Key in the results."""
        return "magnetization" + (f"_{self.power}" if self.power > 1 else "")

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """|m|^power () of levels x (s,)."""
        return jnp.abs(jnp.mean(roots(x, self.levels))) ** self.power


@dataclasses.dataclass(frozen=True)
class SiteStructureFactor:
    """S(k) = (1/s) <|sum_j exp(-i k r_j) exp(2 pi i x_j / q)|^2>, the mean of k and -k.

    Its sum over all k is s. A ferromagnet has S(0) = s, the Neel state S(pi) = s.

    With `density` the levels are numbers of particles, and their deviations n_j - <n>
    from the mean of the sites replace the roots of unity.

    Attributes:
      lattice: positions of the sites.
      levels: q, at least 2.
      density: of numbers of particles; those of several copies of the lattice, one
        after the other, are added.
    """

    lattice: Lattice
    levels: int = 2
    density: bool = False

    name = "structure_factor"
    label = "structure factor S(k)"

    def __post_init__(self):
        whole("levels", self.levels, 2)

    @property
    def axes(self) -> tuple[str, ...]:
        """Labels of the axes."""
        if len(self.lattice.extent) == 1:
            return (r"wave number k / $\pi$",)
        return r"$k_1$ / $2 \pi$", r"$k_2$ / $2 \pi$"

    @property
    def grid(self) -> np.ndarray:
        """Wave numbers (k,) 0 to 1 in units of pi, or (a, b, 2) in 2 pi about 0."""
        if len(self.lattice.extent) == 1:
            return 2 * np.fft.rfftfreq(self.lattice.n)
        axes = [np.fft.fftshift(np.fft.fftfreq(n)) for n in self.lattice.extent]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def __call__(self, ansatz: Ansatz, params: Params, x: Array) -> Array:
        """Values on the grid for levels x (s,)."""
        if self.density:
            n = x.astype(jnp.result_type(float)).reshape(-1, self.lattice.n).sum(axis=0)
            values = n - jnp.mean(n)
        else:
            values = roots(x, self.levels)
        waves = jnp.fft.fftn(values.reshape(self.lattice.extent))
        square = jnp.abs(waves) ** 2 / self.lattice.n
        opposite = jnp.roll(jnp.flip(square), 1, tuple(range(square.ndim)))
        mean = (square + opposite) / 2
        if square.ndim == 1:
            return mean[: self.lattice.n // 2 + 1]
        return jnp.fft.fftshift(mean)


def roots(x: Array, levels: int) -> Array:
    """exp(2 pi i x / q) (s,) of levels x (s,), real for two of them."""
    if levels == 2:
        return jnp.array([1.0, -1.0])[x]
    return jnp.asarray(np.exp(2j * np.pi * np.arange(levels) / levels))[x]

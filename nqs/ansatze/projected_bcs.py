"""Pairs of spins in singlets: a BCS state without doubly occupied sites."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.ansatze.lattice_slater import occupied
from nqs.checks import positive
from nqs.moves import where
from nqs.space.lattice import Lattice, sublattices
from nqs.space.pairing import Pairing, mean_field, pairing, parity
from nqs.types import LogPsi, Params


class Blocks(NamedTuple):
    """Two lists of sites, and psi after exchanges between them.

    With F = f[up, down], `blocks` (2, h, 2, h) is [[F^-1, -F^-1 f[up, up]],
    [f[down, down] F^-1, f[down, up] - f[down, down] F^-1 f[up, up]]]. Every site has
    its place (s,) in the list of its spin.
    """

    places: Array
    blocks: Array


class ProjectedBCS(nn.Module):
    """psi(x) = eps(x) det f(r_i - r_j), i up and j down, of as many up as down.

    Electron pairs sum_ij f(r_i - r_j) c+_i,up c+_j,down, projected to one electron on
    each site (Gutzwiller); f is even, which makes the pairs singlets. eps is the sign
    of the permutation that orders the electrons, first up, then down, by sites. f
    starts at d-wave pairs of nearest neighbors on a square lattice and at the Fermi sea
    of a chain. It changes sign around those axes of the torus that then have the
    largest gap between filled and empty orbitals.

    Attributes:
      lattice: a periodic chain or square lattice with an even number of sites an axis.
      marshall: whether spins of one sublattice are turned, as in `Heisenberg`.
      gap: pairing amplitude of the first f, in units of the hopping; square lattice.
      stddev: of random numbers added to the first f, in units of its largest value.

    Raises:
      ValueError: for another lattice, a gap that is not positive, or a negative stddev.

    References: P. W. Anderson, Science 235, 1196 (1987); C. Gros, Ann. Phys. 189, 53
    (1989); D. Tahara and M. Imada, J. Phys. Soc. Jpn. 77, 114701 (2008).
    """

    lattice: Lattice
    marshall: bool = True
    gap: float = 1.0
    stddev: float = 0.01

    def __post_init__(self):
        super().__post_init__()
        positive("gap", self.gap)
        positive("stddev", self.stddev, zero=True)
        found, even = self.lattice, not any(m % 2 for m in self.lattice.extent)
        if found.kind == "triangular" or not (found.periodic and even):
            raise ValueError(
                "lattice must be a periodic chain or square lattice with an even "
                f"extent, got {found}"
            )

    @nn.compact
    def __call__(self, x: Array) -> LogPsi:
        """Log psi of levels x (s,), 0 for up and 1 for down.

        Raises:
          ValueError: if there are not s sites.
        """
        if x.shape != (self.lattice.n,):
            raise ValueError(f"x must have shape ({self.lattice.n},), got {x.shape}")
        h, dtype = self.lattice.n // 2, jnp.result_type(float)
        count = int(self._pairing.numbers.max()) + 1
        f = self._matrix(self.param("pairs", self._first, (count,), dtype))
        found = jnp.linalg.slogdet(off_node(f[occupied(1 - x, h)][:, occupied(x, h)]))
        crossings = jnp.sum((1 - x) * jnp.cumsum(x))  # each up with a down before it
        fits = jnp.sum(x) == h
        sign = jnp.where(fits, (1 - 2 * (crossings % 2)) * found.sign, 0)
        return LogPsi(sign, jnp.where(fits, found.logabsdet, -jnp.inf))

    def invariances(self) -> np.ndarray:
        """Symmetries (g, s) of the lattice that leave psi as it is for every f."""
        numbers, signs = self._pairing
        kept = []
        for g in self.lattice.symmetries:
            turned = np.ix_(g, g)
            # signs[g_i, g_j] must be c_i signs[i, j] c_j, where all c multiply psi
            change = signs * signs[turned]
            c = np.where(change[0] == 0, change[0, 1] * change[1], change[0])
            c[0] = 1
            same = np.array_equal(signs[turned], c[:, None] * signs * c)
            if same and np.array_equal(numbers[turned], numbers):
                sublattice = self._side[g[0]] * self._side[0]
                turns = sublattice ** (len(g) // 2) if self.marshall else 1
                if parity(g) * np.prod(c) * turns == 1:
                    kept.append(g)
        return np.array(kept)

    def site_tables(self, params: Params) -> Array:
        """The amplitudes f (s, s) of all pairs."""
        return self._matrix(params["params"]["pairs"])

    def site_cache(self, tables: Array, x: Array) -> Blocks:
        """The blocks of one configuration."""
        h = len(x) // 2
        up, down = occupied(1 - x, h), occupied(x, h)
        inverse = jnp.linalg.inv(off_node(tables[up][:, down]))
        after, before = tables[down][:, down] @ inverse, inverse @ tables[up][:, up]
        rest = tables[down][:, up] - after @ tables[up][:, up]
        blocks = jnp.stack(
            [jnp.stack([inverse, -before], 1), jnp.stack([after, rest], 1)]
        )
        places = jnp.where(x == 0, jnp.cumsum(1 - x), jnp.cumsum(x)) - 1
        return Blocks(places, blocks)

    def site_ratios(
        self, tables: Array, cache: Blocks, x: Array, sites: Array, values: Array
    ) -> Array:
        """(c,) ratios for exchanges (c, 2)."""
        i, j = jax.vmap(lambda pair: slots(cache, x, pair))(sites)
        pivots = cache.blocks[:, j, :, i]  # (c, 2, 2)
        ratios = pivots[:, 0, 1] * pivots[:, 1, 0] - pivots[:, 0, 0] * pivots[:, 1, 1]
        return of_exchanges(x[sites], values, ratios)

    def site_move(
        self, tables: Array, cache: Blocks, x: Array, sites: Array, values: Array
    ) -> tuple[Array, Blocks]:
        """The ratio () of one exchange (2,), and the blocks after it.

        The sites change sides, as in a pivot step of a linear program.
        """
        places, blocks = cache
        i, j = slots(cache, x, sites)
        pivot, determinant = away_from_node(blocks[:, j, :, i])
        adjoint = jnp.array([[pivot[1, 1], -pivot[0, 1]], [-pivot[1, 0], pivot[0, 0]]])
        inverse = adjoint / determinant
        rows = jnp.einsum("ab,bcl->acl", inverse, blocks[:, j])
        columns = jnp.einsum("akb,bc->akc", blocks[:, :, :, i], inverse)
        moved = blocks - jnp.einsum("akb,bcl->akcl", blocks[:, :, :, i], rows)
        # the halves of the blocks exchange their meaning with the sites
        moved = moved.at[:, j].set(rows[::-1]).at[:, :, :, i].set(-columns[..., ::-1])
        moved = moved.at[:, j, :, i].set(inverse[::-1, ::-1])
        new = Blocks(places.at[sites].set(places[sites[::-1]]), moved)
        differ = x[sites[0]] != x[sites[1]]
        ratio = of_exchanges(x[sites], values, -determinant)
        return ratio, where(differ & (ratio != 0), new, cache)

    def _first(self, key: Array, shape: tuple[int, ...], dtype) -> Array:
        """The pairs of the mean field, and random numbers."""
        numbers, signs = self._pairing
        f = mean_field(self.lattice, self.gap)
        first = np.zeros(shape)
        first[numbers[signs != 0]] = (signs * f)[signs != 0]
        first /= np.abs(first).max()
        noise = nn.initializers.normal(self.stddev)
        return jnp.asarray(first, dtype) + noise(key, shape, dtype)

    def _matrix(self, pairs: Array) -> Array:
        """The amplitudes f (s, s) of all pairs; rows turn a sublattice."""
        numbers, signs = self._pairing
        if self.marshall:
            signs = signs * self._side[:, None]
        return pairs[jnp.asarray(numbers)] * jnp.asarray(signs, pairs.dtype)

    @property
    def _pairing(self) -> Pairing:
        return pairing(self.lattice)

    @property
    def _side(self) -> np.ndarray:
        """1 and -1 (s,) of the sublattices."""
        side = sublattices(self.lattice.n, self.lattice.edges)
        assert side is not None  # of even extents
        return side


def slots(cache: Blocks, x: Array, sites: Array) -> tuple[Array, Array]:
    """Places () of the up and of the down spin of an exchange (2,)."""
    if sites.shape != (2,):
        raise ValueError(
            "ProjectedBCS requires moves and Hamiltonians that exchange two sites, got "
            f"changes of {sites.shape[0]}"
        )
    own = cache.places[sites]
    up, down = jnp.where(x[sites[0]] == 0, own, own[::-1])
    return up, down


def of_exchanges(old: Array, new: Array, ratios: Array) -> Array:
    """Ratios (...) to levels (..., 2): 1 for equal ones, 0 where none is exchanged."""
    ratios = jnp.where(jnp.all(new == old[..., ::-1], -1), ratios, 0)
    return jnp.where(jnp.all(new == old, -1), 1, ratios)


def off_node(matrix: Array) -> Array:
    """A matrix (h, h), changed in its last digits if it is nearly singular.

    Many configurations are nodes of pairs by symmetry. In an average over symmetries
    ratios and derivatives of such a term would lose all digits, those of a changed
    matrix lose two thirds.
    """
    h, eps = len(matrix), float(jnp.finfo(matrix.dtype).eps)
    fixed = jax.lax.stop_gradient(matrix)
    scale, inverse = jnp.max(jnp.abs(fixed)), jnp.linalg.inv(fixed)
    regular = jnp.all(scale * jnp.abs(inverse) < eps**-0.5)  # not if one is NaN
    # of full rank: on a small torus half of the rows may depend on the others
    change = np.random.default_rng(0).uniform(-1, 1, (h, h)) * eps ** (1 / 3)
    return jnp.where(regular, matrix, matrix + scale * change.astype(matrix.dtype))


def away_from_node(pivot: Array) -> tuple[Array, Array]:
    """A pivot (2, 2), and its determinant, which is not zero.

    In an average one of the terms may pass a node. Its pivot is then that of slightly
    different pairs, so that half of its digits remain correct after it, or a third if
    the node is a double one, instead of none. They are all correct from the next step.
    """
    eps = float(jnp.finfo(pivot.dtype).eps)
    double = jnp.max(jnp.abs(pivot)) < eps ** (1 / 3)
    flat = jnp.where(double, jnp.array([0, 1, 1, 0]) * eps ** (1 / 3), pivot.reshape(4))
    k = jnp.argmax(jnp.abs(flat))
    determinant = flat[0] * flat[3] - flat[1] * flat[2]
    least = eps**0.5 * jnp.minimum(1, flat[k] ** 2)
    kept = jnp.maximum(jnp.abs(determinant), least)
    kept = jnp.where(determinant < 0, -kept, kept)
    even = jnp.array([1, -1, -1, 1], flat.dtype)[k]
    step = even * (kept - determinant) / flat[k]  # of the opposite element
    return flat.at[3 - k].add(step).reshape(2, 2), kept

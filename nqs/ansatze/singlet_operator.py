"""An operator on singlet pairs of two Slater determinants, to second order.

With Q_ij = (1 - P_ij) / 2 the projector of two spins on their singlet, it is

    1 + sum_{i<j} u_ij Q_ij + 1/2 sum u_ij u_kl Q_ij Q_kl,

the last sum over two pairs without a common particle. On a psi of labelled spins the
exchange of spins P_ij is minus that of positions, and Q_ij of equal spins is nothing.
Over i, k up and j, l down, i != k and j != l, there remains

    1 + sum_ij u_ij (1 + r_ij) / 2 + sum_ijkl u_ij u_kl (1 + r_ij + r_kl + r_ijkl) / 8,

r_ij the ratio that the exchange of i and j makes of psi, r_ijkl that of both exchanges.
With the rows of spins down in terms of those up, a_ji, and the other way round, b_ji
for j down and i up, they are minors: of one determinant each

    r_ij = a_ji b_ji,    r_ijkl = (a_ji a_lk - a_jk a_li) (b_ji b_lk - b_jk b_li).

So where a determinant nearly vanishes, and its a are of rank one but for what is
finite, a = x + outer(column, row) / fraction, psi has one such factor and no more: the
rest cancels. It is left out here, by products of x and of a.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nqs.types import LogPsi


class Rows(NamedTuple):
    """A table a = rows + outer(column, row) / fraction of a determinant with others."""

    rows: Array
    column: Array
    row: Array
    fraction: Array

    @classmethod
    def of(cls, rows: Array) -> "Rows":
        """A table that is finite."""
        return cls(rows, 0 * rows[:, 0], 0 * rows[0], jnp.ones((), rows.dtype))

    @property
    def transposed(self) -> "Rows":
        """The transposed table."""
        return Rows(self.rows.T, self.row, self.column, self.fraction)


def mixed_singlets(u: Array, of_up: Rows, of_down: Rows) -> Array:
    """What the operator makes of two determinants, in units of them, ().

    Args:
      u: u_ij in row j and column i, (n_down, n_up).
      of_up: a (n_down, n_up).
      of_down: b (n_down, n_up).

    Returns:
      This times both fractions, which is finite where they vanish.
    """

    def finite(t: Rows) -> tuple[Array, Array]:
        """Tables a * fraction, and x with what its minors need of a."""
        singular = jnp.outer(t.column, t.row)
        a = t.fraction * t.rows + singular
        return a, jnp.stack([t.rows, a + singular])

    (a, both_a), (b, both_b) = finite(of_up), finite(of_down)
    of_i, of_j = (jnp.sum(u, axis=axis, keepdims=True) for axis in (0, 1))
    apart = jnp.sum(u, keepdims=True) - of_i - of_j + u  # u_kl of all other k and l
    none = 1 + jnp.sum(u * (4 + apart)) / 8
    one = jnp.sum(u * (2 + apart) * a * b) / 4
    r = both_a[:, None] * both_b[None]
    two = (
        _crossed(jnp.einsum("ji,pqji->pq", u, r)[..., None, None])
        + _crossed(jnp.einsum("ji,pqjk->pqik", u, r))
        - _crossed(jnp.einsum("pji,qjk->pqik", u[None] * both_a, both_b))
        - _crossed(jnp.einsum("qji,pjk->pqik", u[None] * both_b, both_a))
    )
    return of_up.fraction * of_down.fraction * none + one + two / 16


def rows_of(table: Array, matrix: Array) -> tuple[Rows, LogPsi]:
    """Rows of a table (k, n) in terms of those of a matrix (n, n), and its determinant.

    To a matrix that may be nearly singular a constant is added where its inverse is
    largest. Any constant is exact, derivatives included: det(matrix) is that of the sum
    times the fraction, which is what is returned besides.
    """
    values = jax.lax.stop_gradient(matrix)
    inverse = jnp.linalg.inv(values)
    n = len(matrix)
    at = jax.nn.one_hot(jnp.argmax(jnp.abs(inverse)), n * n, dtype=matrix.dtype)
    at = at.reshape(n, n)
    size = jnp.max(jnp.abs(values)) * jnp.sign(jnp.sum(at * inverse))
    regular = matrix + size * at.T
    inverse = jnp.linalg.inv(regular)
    there = jnp.sum(at, axis=0)
    row = jnp.sum(at, axis=1) @ inverse
    column = size * (inverse @ there)
    fraction = 1 - size * (row @ there)
    rows = Rows(table @ inverse, table @ column, row, fraction)
    return rows, LogPsi(*jnp.linalg.slogdet(regular))


def _crossed(q: Array) -> Array:
    """Traces of q_00 q_11 + q_01 q_10 of four matrices (2, 2, k, k)."""
    return jnp.sum(q[0, 0] * q[1, 1].T + q[0, 1] * q[1, 0].T)

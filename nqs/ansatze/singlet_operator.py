"""An operator on singlet pairs, to second order, by ratios of determinants.

With Q_ij = (1 - P_ij) / 2 the projector of two spins on their singlet, it is

    1 + sum_{i<j} u_ij Q_ij + 1/2 sum u_ij u_kl Q_ij Q_kl,

the last sum over two pairs without a common particle. On a psi of labeled spins the
exchange of spins P_ij is minus that of positions, and Q_ij of equal spins vanishes.
Over i, k up and j, l down, i != k and j != l, there remains

    1 + sum_ij u_ij (1 + r_ij) / 2 + sum_ijkl u_ij u_kl (1 + r_ij + r_kl + r_ijkl) / 8,

r_ij the ratio of psi after and before the exchange of positions i and j, r_ijkl that of
both exchanges.

For two determinants of orbitals they are minors, one of each. With the rows of spins
down in terms of those up, a_ji, and vice versa, b_ji for j down and i up,

    r_ij = a_ji b_ji,    r_ijkl = (a_ji a_lk - a_jk a_li) (b_ji b_lk - b_jk b_li).

For a determinant of pairs, where an exchange replaces a row and a column, they are
minors of one table (matrix determinant lemma): r_ij is the determinant of a block g_ji
of 2 x 2, and r_ijkl that of four such blocks, by their adjugates

    det g_ji det g_lk + det g_jk det g_li - tr(adj(g_ji) g_jk adj(g_lk) g_li).

Where a determinant nearly vanishes its table is x + outer(column, row) / fraction, with
a small fraction and all else finite. Minors have one such factor and no more, because
terms with a second one cancel: it is left out here, and psi is smooth.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nqs.types import LogPsi


class Table(NamedTuple):
    """finite + outer(column, row) / fraction."""

    finite: Array
    column: Array
    row: Array
    fraction: Array

    @property
    def transposed(self) -> "Table":  # noqa: D102
        return Table(self.finite.T, self.row, self.column, self.fraction)


def mixed_orbitals(u: Array, of_up: Table, of_down: Table) -> Array:
    """The operator on two determinants over their product, times both fractions.

    u_ij is in row j and column i, (n_down, n_up); a and b are of the same shape.
    """

    def finite(t: Table) -> tuple[Array, Array]:
        """The table a * fraction, and both factors of its minors."""
        singular = jnp.outer(t.column, t.row)
        a = t.fraction * t.finite + singular
        return a, jnp.stack([t.finite, a + singular])

    (a, both_a), (b, both_b) = finite(of_up), finite(of_down)
    apart = _of_all_others(u)
    none = 1 + jnp.sum(u * (4 + apart)) / 8
    one = jnp.sum(u * (2 + apart) * a * b) / 4
    mixed = of_up.fraction * of_down.fraction * none + one
    if min(u.shape) < 2:  # no two pairs
        return mixed
    r = both_a[:, None] * both_b[None]
    two = (
        _crossed(jnp.einsum("ji,pqji->pq", u, r)[..., None, None])
        + _crossed(jnp.einsum("ji,pqjk->pqik", u, r))
        - _crossed(jnp.einsum("pji,qjk->pqik", u[None] * both_a, both_b))
        - _crossed(jnp.einsum("qji,pjk->pqik", u[None] * both_b, both_a))
    )
    return mixed + two / 16


def mixed_pairs(u: Array, table: Table) -> Array:
    """The operator on a determinant of pairs over it, times the fraction.

    u_ij is in row j and column i, (n_down, n_up). The table (2 n_down, 2 n_up) consists
    of four matrices [[a, b], [c, d]] of the elements of g_ji, see `pair_table`.
    """
    n_down, n_up = u.shape
    apart = _of_all_others(u)

    def mixed(g: Array) -> Array:
        a, b = g[:n_down, :n_up], g[:n_down, n_up:]
        c, d = g[n_down:, :n_up], g[n_down:, n_up:]
        r = a * d - b * c
        none = 1 + jnp.sum(u * (4 + apart)) / 8
        one = jnp.sum(u * (2 + apart) * r) / 4
        if min(u.shape) < 2:  # no two pairs
            return none + one
        swapped = u.T @ r
        adjugates = jnp.block([[d, -c], [-b, a]])
        chain = (jnp.tile(u, (2, 2)) * adjugates).T @ g
        two = jnp.sum(u * r) ** 2 + jnp.sum(swapped * swapped.T)
        return none + one + (two - jnp.sum(chain * chain.T)) / 8

    # affine in what has rank one, as minors are
    singular = jnp.outer(table.column, table.row)
    value, slope = jax.jvp(mixed, (table.finite,), (singular,))
    return table.fraction * value + slope


def row_table(rows: Array, matrix: Array) -> tuple[Table, LogPsi]:
    """Rows (k, n) in terms of those of a matrix (n, n), and its determinant.

    A constant is added to the matrix, which may be singular, where its inverse is
    largest. Any constant is exact, derivatives included: det(matrix) is the fraction
    times the determinant of the sum, which is returned.
    """
    n = len(matrix)
    values, others = jax.lax.stop_gradient((matrix, rows))
    size = jnp.maximum(jnp.max(jnp.abs(values)), jnp.max(jnp.abs(others)))
    tiny = size * jnp.finfo(matrix.dtype).eps
    inverse = jnp.linalg.inv(values + tiny * jnp.eye(n, dtype=matrix.dtype))
    at = jax.nn.one_hot(jnp.argmax(jnp.abs(inverse)), n * n, dtype=matrix.dtype)
    at = at.reshape(n, n)
    size *= jnp.sign(jnp.sum(at * inverse))
    regular = matrix + size * at.T
    inverse = jnp.linalg.inv(regular)
    there = jnp.sum(at, axis=0)
    row = jnp.sum(at, axis=1) @ inverse
    column = size * (inverse @ there)
    fraction = 1 - size * (row @ there)
    table = Table(rows @ inverse, rows @ column, row, fraction)
    return table, LogPsi(*jnp.linalg.slogdet(regular))


def pair_table(
    matrix: Array, rows: Array, columns: Array, corner: Array
) -> tuple[Table, LogPsi]:
    """Minors of a determinant of pairs after exchanges, and that determinant.

    The block g_ji consists of the ratio with particle j in row i; that with particle i
    in column j; minus the element (j, i) of the inverse; and the element where the new
    row and column meet, less row times inverse times column.

    Args:
      matrix: (n_up, n_up).
      rows: of particles with spin down, as if up, (n_down, n_up).
      columns: of particles with spin up, as if down, (n_up, n_up).
      corner: elements (n_down, n_up) of new rows and columns.

    Returns:
      The table (2 n_down, 2 n_up), and the determinant of `row_table`.
    """
    n_down, n_up = corner.shape
    slots = jnp.eye(n_down, n_up, dtype=matrix.dtype)
    table, det = row_table(jnp.concatenate([rows, -slots]), matrix)
    right = jnp.pad(corner, ((0, n_down), (0, 0))) - table.finite @ columns
    finite = jnp.concatenate([table.finite, right], axis=1)
    row = jnp.concatenate([table.row, -table.row @ columns])
    return table._replace(finite=finite, row=row), det


def exchanged(table: Table, k: int, j: Array, i: Array) -> tuple[Table, Array]:
    """The table after the exchange of row j and column i, of k numbers each.

    k is 1 for `row_table`, where row j takes the place of row i of the matrix, and 2
    for `pair_table`. With g = finite - column (-fraction)^-1 row, this is a principal
    pivot transform on a block of k + 1 rows and columns (A. W. Tucker, Proc. Symp.
    Appl. Math. 10, 129 (1960)). Elimination by the largest pivots leaves the smallest
    one, the new fraction, so that either determinant may vanish.

    Returns:
      The table, and a number () in place of the old fraction: this number, the new
      fraction and the determinant of `row_table` have the new determinant as product.
    """
    rest, left, right, block = _bordered(table, k, j, i)
    scale = -jnp.ones((), rest.dtype)
    for _ in range(k):
        row, column = jnp.divmod(jnp.argmax(jnp.abs(block)), len(block))
        first = jnp.arange(len(block))
        rows, columns = (  # the largest element moves to the corner
            jnp.where(first == 0, at, jnp.where(first == at, 0, first))
            for at in (row, column)
        )
        block, right, left = block[rows][:, columns], right[rows], left[columns]
        a = block[0, 0]
        scale = jnp.where((row == 0) == (column == 0), a, -a) * scale
        of_rows, of_columns = block[1:, 0] / a, block[0, 1:] / a
        rest = rest - jnp.outer(left[0] / a, right[0])
        block = block[1:, 1:] - jnp.outer(of_rows, block[0, 1:])
        right = right[1:] - jnp.outer(of_rows, right[0])
        left = left[1:] - jnp.outer(of_columns, left[0])
    return Table(rest, -left[0], right[0], block[0, 0]), scale


def _bordered(
    table: Table, k: int, j: Array, i: Array
) -> tuple[Array, Array, Array, Array]:
    """Parts of the exchanged table, rest - left^T block^-1 right.

    Row j and column i of rest are zero. The first row of left (k + 1, k n_down), right
    (k + 1, k n_up) and block (k + 1, k + 1) belongs to the fraction.
    """
    n_down, n_up = (size // k for size in table.finite.shape)
    blocks = table.finite.reshape(k, n_down, k, n_up)
    column, row = table.column.reshape(k, n_down), table.row.reshape(k, n_up)
    in_row, in_column = jnp.arange(n_down)[None] == j, jnp.arange(n_up)[None] == i
    # inverses enter the tables with a minus
    one = jnp.asarray(np.diag([1, -1][:k]), column.dtype)[:, :, None]
    both = in_row[:, :, None, None] | in_column[None, None]
    rest = jnp.where(both, 0, blocks).reshape(table.finite.shape)
    of_column = jnp.moveaxis(blocks[:, :, :, i], -1, 0)
    left = [jnp.where(in_row, 0, column)[None], jnp.where(in_row, one, of_column)]
    right = [
        jnp.where(in_column, 0, row)[None],
        jnp.where(in_column, -one, blocks[:, j]),
    ]
    left, right = (jnp.concatenate(p).reshape(k + 1, -1) for p in (left, right))
    above = jnp.concatenate([-table.fraction[None], row[:, i]])
    below = jnp.concatenate([column[:, j][:, None], blocks[:, j, :, i]], axis=1)
    return rest, left, right, jnp.concatenate([above[None], below])


def _of_all_others(u: Array) -> Array:
    """Sum over k != i and l != j of u_kl, for every i and j."""
    of_i, of_j = (jnp.sum(u, axis=axis, keepdims=True) for axis in (0, 1))
    return jnp.sum(u, keepdims=True) - of_i - of_j + u


def _crossed(q: Array) -> Array:
    """Traces of q_00 q_11 + q_01 q_10 of four matrices (2, 2, k, k)."""
    return jnp.sum(q[0, 0] * q[1, 1].T + q[0, 1] * q[1, 0].T)

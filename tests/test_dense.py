"""Dense kernels: one order of summation for every partition, half storage and several vectors."""

from itertools import pairwise

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import BACKWARD, FORWARD, dense_sweep, directions, random_cuts, seeds

from dasksor import dense_rows
from dasksor.kernels import dense, half
from dasksor.rows import prepare_rows, relax, residual_norms

# Around tiles of 8 and panels of 16 columns, and where blocks of sums are many.
orders = st.one_of(st.integers(1, 50), st.sampled_from([63, 64, 65, 130, 200, 257]))
dtypes = st.sampled_from([np.float32, np.float64])
counts = st.integers(1, 3)


def problem(seed, n, nrhs, dtype=np.float64, mirrored=False):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, n))
    if mirrored:
        A += A.T
    A[np.diag_indices(n)] = n + 1.0
    b, x = rng.standard_normal((2, nrhs, n))
    return rng, A.astype(dtype), b, x


def swept(kernel, A, b, x, *where):
    new, squares = x.copy(), np.zeros(len(x))
    kernel(A, 1.3 / A.diagonal().astype(np.float64), b, new, *where, squares)
    return new, squares


@settings(deadline=None, max_examples=60)
@given(seeds, orders, counts, directions, dtypes)
def test_sweep_equals_the_reference(seed, n, nrhs, direction, dtype):
    _, A, b, x = problem(seed, n, nrhs, dtype)
    new, squares = swept(dense.sweep, A, b, x, 0, direction)
    expected = dense_sweep(A, b.T, x.T, 1.3, direction).T
    np.testing.assert_allclose(new, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(squares, np.sum((expected - x) ** 2, axis=1), rtol=1e-10)


@settings(deadline=None, max_examples=60)
@given(seeds, orders, counts, st.integers(1, 9), directions, dtypes)
def test_rows_are_summed_alike_in_every_partition(seed, n, nrhs, nblocks, direction, dtype):
    rng, A, b, x = problem(seed, n, nrhs, dtype)
    scale, r, blockwise = 1.3 / A.diagonal().astype(np.float64), np.empty_like(x), x.copy()
    whole, _ = swept(dense.sweep, A, b, x, 0, direction)
    dense.residual(A, b, x, 0, r)
    for start, stop in list(pairwise(random_cuts(rng, n, min(n, nblocks))))[::direction]:
        own = slice(start, stop)
        rows, b_own, piece = A[own].copy(), b[:, own].copy(), np.empty((nrhs, stop - start))
        dense.residual(rows, b_own, x, start, piece)
        np.testing.assert_array_equal(piece, r[:, own])
        dense.sweep(rows, scale[own], b_own, blockwise, start, direction, np.zeros(nrhs))
    np.testing.assert_array_equal(blockwise, whole)


@settings(deadline=None, max_examples=40)
@given(seeds, orders, directions, dtypes, st.booleans())
def test_right_hand_sides_together_are_those_one_at_a_time(seed, n, direction, dtype, mirrored):
    _, A, b, x = problem(seed, n, 3, dtype, mirrored)
    where = (direction,) if mirrored else (0, direction)
    kernel = half.sweep if mirrored else dense.sweep
    together, squares = swept(kernel, A, b, x, *where)
    r = np.empty_like(x)
    dense.residual(A, b, x, 0, r)
    for s in range(3):
        one = slice(s, s + 1)
        alone, square = swept(kernel, A, b[one], x[one], *where)
        np.testing.assert_array_equal(together[one], alone)
        assert squares[s] == square[0]
        piece = np.empty((1, n))
        dense.residual(A, b[one], x[one], 0, piece)
        np.testing.assert_array_equal(r[one], piece)


@settings(deadline=None, max_examples=80)
@given(seeds, orders, counts, directions, dtypes)
def test_half_of_a_symmetric_matrix_gives_the_bits_of_the_whole(seed, n, nrhs, direction, dtype):
    _, A, b, x = problem(seed, n, nrhs, dtype, mirrored=True)
    whole, squares = swept(dense.sweep, A, b, x, 0, direction)
    new, same = swept(half.sweep, A, b, x, direction)
    np.testing.assert_array_equal(new, whole)
    np.testing.assert_array_equal(same, squares)


@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
@pytest.mark.parametrize("n", [40, 77])
def test_half_of_a_symmetric_matrix_is_all_that_is_read(n, direction):
    # Panels of 16 and their triangles are read whole, and the rows of an incomplete last tile.
    _, A, b, x = problem(0, n, 1, mirrored=True)
    expected, _ = swept(half.sweep, A, b, x, direction)
    i, j = np.indices((n, n))
    far = i // dense.BLOCK > j // dense.BLOCK if direction == FORWARD else i // 16 < j // 16
    A[far & (i < n // 8 * 8) & (j < n // 8 * 8)] = np.nan
    read, _ = swept(half.sweep, A, b, x, direction)
    np.testing.assert_array_equal(read, expected)


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(2, 150), dtypes, st.data())
def test_equals_transpose(seed, n, dtype, data):
    _, A, _, _ = problem(seed, n, 1, dtype, mirrored=True)
    assert half.equals_transpose(A)
    i = data.draw(st.integers(0, n - 1))
    j = data.draw(st.integers(0, n - 1).filter(lambda j: j != i))
    A[i, j] = np.nextafter(A[i, j], np.inf)
    assert not half.equals_transpose(A)


@pytest.mark.parametrize("direction", [FORWARD, BACKWARD])
def test_rows_that_use_half_agree_with_blocks_bit_for_bit(direction, monkeypatch):
    monkeypatch.setattr(dense_rows, "CACHED", 0)
    _, A, b, x = problem(3, 150, 1, mirrored=True)
    whole, x_whole = prepare_rows(A, 0), x.copy()
    assert whole.symmetric
    relax(whole, x_whole, b, 1.3 / whole.diagonal, direction)
    for start, stop in [(0, 50), (50, 61), (61, 150)][::direction]:
        rows = prepare_rows(A[start:stop], start)
        assert not rows.symmetric
        relax(rows, x, b[:, start:stop], 1.3 / rows.diagonal, direction)
    np.testing.assert_array_equal(x, x_whole)


def test_only_large_exactly_symmetric_matrices_use_half(monkeypatch):
    _, A, _, _ = problem(0, 20, 1, mirrored=True)
    assert not prepare_rows(A, 0).symmetric
    monkeypatch.setattr(dense_rows, "CACHED", 0)
    assert prepare_rows(A, 0).symmetric
    A[0, 1] = np.nextafter(A[0, 1], 2.0)
    assert not prepare_rows(A, 0).symmetric


def test_strided_vectors_are_refused_not_misread():
    rows = prepare_rows(np.eye(16), 0)
    with pytest.raises(numba.TypingError, match="contiguous"):
        residual_norms(rows, np.ones((1, 32))[:, ::2], np.ones((1, 16)))

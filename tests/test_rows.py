"""Rows made ready for sweeps: local columns, canonical storage, checks, independence of blocks."""

import pickle
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from dask.sizeof import sizeof
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import (
    directions,
    omegas,
    random_cuts,
    random_dominant,
    seeds,
    sizes,
    unsorted,
    with_duplicates,
)

from dasksor.rows import (
    CsrRows,
    DenseRows,
    canonical_csr,
    canonical_dense,
    check_rows,
    joined,
    prepare_rows,
    relax,
    residual_norms,
)

storages = pytest.mark.parametrize("stored", [sp.csr_array, np.asarray])
A3 = np.array([[2.0, 0.0, 1.0], [5.0, 3.0, 0.0], [0.0, 7.0, 4.0]])


@st.composite
def dominant_matrices(draw):
    rng = np.random.default_rng(draw(seeds))
    return random_dominant(rng, draw(sizes))


# Canonical storage


@pytest.mark.parametrize("spoiled", [with_duplicates, unsorted, lambda A: unsorted(A).tocsc()])
@settings(deadline=None, max_examples=25)
@given(dominant_matrices())
def test_canonical_csr_is_sorted_unique_and_equal(spoiled, A):
    result = canonical_csr(spoiled(A))
    assert isinstance(result, sp.csr_array)
    assert sp.csr_array((result.data, result.indices, result.indptr)).has_canonical_format
    np.testing.assert_allclose(result.toarray(), A, rtol=1e-15)


def test_canonical_csr_leaves_the_users_matrix_alone():
    data, indices = np.array([1.0, 3.0, 2.0, 4.0]), np.array([1, 0, 0, 1])
    A = sp.csr_array((data, indices, np.array([0, 3, 4])), (2, 2))
    result = canonical_csr(A)
    np.testing.assert_array_equal(result.toarray(), [[5.0, 1.0], [0.0, 4.0]])
    np.testing.assert_array_equal(A.data, [1.0, 3.0, 2.0, 4.0])
    np.testing.assert_array_equal(A.indices, [1, 0, 0, 1])
    assert A.nnz == 4


def test_canonical_csr_does_not_copy_what_is_canonical():
    A = sp.csr_array(A3)
    assert np.shares_memory(canonical_csr(A).data, A.data)


@pytest.mark.parametrize(
    ("dtype", "becomes"),
    [
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.int64, np.float64),
        (np.int8, np.float64),
        (np.uint16, np.float64),
        (np.bool_, np.float64),
        (np.longdouble, np.float64),
    ],
)
def test_dtypes(dtype, becomes):
    A = A3.astype(dtype)
    dense, sparse = canonical_dense(A), canonical_csr(sp.csr_array(A))
    assert dense.dtype == sparse.dtype == becomes
    np.testing.assert_array_equal(dense, A)
    np.testing.assert_array_equal(sparse.toarray(), A)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_canonical_dense_makes_plain_arrays_without_copying():
    A = A3.copy()
    assert canonical_dense(A) is A
    assert type(canonical_dense(np.matrix(A))) is np.ndarray
    assert canonical_dense(A.astype(np.float16)).dtype == np.float64


# Checks


@storages
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@settings(deadline=None, max_examples=25)
@given(dominant_matrices(), st.integers(0, 1000), st.data())
def test_the_first_bad_entry_is_named_with_its_row_and_column(stored, bad, A, start, data):
    n = len(A)
    row, column = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, n - 1))
    A[row, column] = bad
    wide = np.zeros((n, start + n))
    wide[:, start:] = A
    message = rf"^A\[{start + row}, {start + column}\] is {bad}: all entries must be finite$"
    with pytest.raises(ValueError, match=message):
        check_rows(stored(wide), start)


@storages
def test_the_bad_entry_of_several_is_the_first(stored):
    A = A3.copy()
    A[1, 0] = A[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"A\[1, 0\] is nan"):
        check_rows(stored(A), 0)


@storages
@settings(deadline=None, max_examples=25)
@given(dominant_matrices(), st.integers(0, 1000), st.data())
def test_zero_on_the_diagonal_is_named_with_its_row(stored, A, start, data):
    n = len(A)
    row = data.draw(st.integers(0, n - 1))
    A[row:, row:] -= np.diag(A.diagonal()[row:])
    wide = np.zeros((n, start + n + 2))
    wide[:, start : start + n] = A
    with pytest.raises(ValueError, match=rf"zero on the diagonal in row {start + row}: .*nonzero"):
        check_rows(stored(wide), start)


def test_a_stored_zero_on_the_diagonal_is_a_zero_too():
    A = sp.csr_array(A3)
    A.data[A.indptr[1] + 1] = 0.0
    assert A.nnz == 6
    with pytest.raises(ValueError, match="zero on the diagonal in row 1"):
        prepare_rows(A, 0)


@storages
@settings(deadline=None, max_examples=25)
@given(dominant_matrices(), st.data())
def test_check_rows_returns_the_diagonal(stored, A, data):
    start = data.draw(st.integers(0, len(A) - 1))
    diagonal = check_rows(stored(A[start:]), start)
    np.testing.assert_array_equal(diagonal, A.diagonal()[start:])
    assert diagonal.dtype == np.float64


# Local numbering


@storages
@settings(deadline=None, max_examples=60)
@given(dominant_matrices(), st.data())
def test_local_rows_say_the_same_as_global_rows(stored, A, data):
    n = len(A)
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    rows = prepare_rows(stored(A)[start:stop], start)
    assert rows.size == stop - start
    assert (np.diff(rows.columns) > 0).all()
    own = rows.columns[rows.own : rows.own + rows.size]
    np.testing.assert_array_equal(own, np.arange(start, stop))
    np.testing.assert_array_equal(rows.diagonal, A.diagonal()[start:stop])
    if isinstance(rows, DenseRows):
        local = rows.values
    else:
        shape = (rows.size, rows.columns.size)
        local = sp.csr_array((rows.data, rows.indices, rows.indptr), shape).toarray()
        read = np.flatnonzero(A[start:stop].any(axis=0))
        if stop - start < n:
            np.testing.assert_array_equal(rows.columns, np.union1d(read, np.arange(start, stop)))
    whole = np.zeros((rows.size, n))
    whole[:, rows.columns] = local
    np.testing.assert_array_equal(whole, A[start:stop])


@storages
def test_prepared_rows_are_read_only_contiguous_and_travel(stored):
    rows = prepare_rows(stored(np.asfortranarray(A3)), 0)
    arrays = [rows.values] if isinstance(rows, DenseRows) else [rows.data, rows.indices]
    for array in [*arrays, rows.diagonal]:
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    assert sizeof(rows) >= sum(array.nbytes for array in arrays)
    x, b = np.zeros((1, 3)), np.ones((1, 3))
    y = x.copy()
    relax(rows, x, b, 1.0 / rows.diagonal, 1)
    relax(pickle.loads(pickle.dumps(rows)), y, b, 1.0 / rows.diagonal, 1)
    np.testing.assert_array_equal(x, y)
    assert x.any()


def test_kinds():
    assert isinstance(prepare_rows(A3, 0), DenseRows)
    rows = prepare_rows(sp.csr_array(A3), 0)
    assert isinstance(rows, CsrRows)
    assert (rows.indptr.dtype, rows.indices.dtype) == (np.int64, np.int32)


# Several right-hand sides, several blocks


@storages
@settings(deadline=None, max_examples=40)
@given(dominant_matrices(), seeds, st.integers(1, 3), st.integers(1, 5), omegas, directions)
def test_any_partition_gives_the_same_sweep_and_residual(
    stored, A, seed, nrhs, nblocks, omega, direction
):
    rng, n = np.random.default_rng(seed), len(A)
    b, x = rng.standard_normal((2, nrhs, n))
    whole, cut = prepare_rows(stored(A), 0), x.copy()
    norms = residual_norms(whole, x, b)
    pieces = []
    cuts = random_cuts(rng, n, min(n, nblocks))
    change = 0.0
    for start, stop in list(pairwise(cuts))[::direction]:
        rows = prepare_rows(stored(A)[start:stop], start)
        b_own = np.ascontiguousarray(b[:, start:stop])
        # Kernels take contiguous vectors only.
        local = np.ascontiguousarray(x[:, rows.columns])
        pieces.append(residual_norms(rows, local, b_own))
        local = np.ascontiguousarray(cut[:, rows.columns])
        change += relax(rows, local, b_own, omega / rows.diagonal, direction)
        cut[:, start:stop] = local[:, rows.own : rows.own + rows.size]
    assert change == pytest.approx(
        relax(whole, x, b, omega / whole.diagonal, direction), rel=1e-12, abs=1e-300
    )
    np.testing.assert_array_equal(cut, x)
    np.testing.assert_allclose(joined(pieces), norms, rtol=1e-12)


@storages
def test_residual_norms_of_each_right_hand_side(stored):
    rows = prepare_rows(stored(A3), 0)
    x, b = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), np.array([[5.0, 11.0, 27.0], [3.0, 4, 0]])
    np.testing.assert_array_equal(residual_norms(rows, x, b), [1.0, 5.0])

"""Rows made ready for sweeps: local columns, canonical storage, checks, independence of blocks."""

import pickle
from itertools import pairwise, product
from unittest import mock

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

from dasksor import problems, sparse_rows, storing
from dasksor.analysis import row_facts
from dasksor.partition import Partition
from dasksor.rows import (
    DenseRows,
    canonical_csr,
    canonical_dense,
    check_rows,
    joined,
    prepare_rows,
    residual_norms,
)
from dasksor.sparse_rows import CsrRows, DiagonalRows, TripleRows

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
        local = rows.csr().toarray()
        read = np.flatnonzero(A[start:stop].any(axis=0))
        if stop - start < n:
            np.testing.assert_array_equal(rows.columns, np.union1d(read, np.arange(start, stop)))
    whole = np.zeros((rows.size, n))
    whole[:, rows.columns] = local
    np.testing.assert_array_equal(whole, A[start:stop])


@storages
def test_prepared_rows_are_read_only_contiguous_and_travel(stored):
    rows = prepare_rows(stored(np.asfortranarray(A3)), 0)
    arrays = [rows.values] if isinstance(rows, DenseRows) else [rows.values, rows.indices]
    for array in [*arrays, rows.diagonal]:
        assert array.flags.c_contiguous
        assert not array.flags.writeable
    assert sizeof(rows) >= sum(array.nbytes for array in arrays)
    x, b = np.zeros((1, 3)), np.ones((1, 3))
    y = x.copy()
    rows.sweep(x, b, 1.0, 1)
    pickle.loads(pickle.dumps(rows)).sweep(y, b, 1.0, 1)
    np.testing.assert_array_equal(x, y)
    assert x.any()


def test_kinds():
    assert isinstance(prepare_rows(A3, 0), DenseRows)
    rows = prepare_rows(sp.csr_array(A3), 0)
    assert isinstance(rows, CsrRows)
    assert (rows.first.dtype, rows.indices.dtype) == (np.int32, np.uint32)


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
        change += rows.sweep(local, b_own, omega, direction)[0]
        cut[:, start:stop] = local[:, rows.own : rows.own + rows.size]
    assert change == pytest.approx(whole.sweep(x, b, omega, direction)[0], rel=1e-12, abs=1e-300)
    np.testing.assert_array_equal(cut, x)
    np.testing.assert_allclose(joined(pieces), norms, rtol=1e-12)


@storages
def test_residual_norms_of_each_right_hand_side(stored):
    rows = prepare_rows(stored(A3), 0)
    x, b = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), np.array([[5.0, 11.0, 27.0], [3.0, 4, 0]])
    np.testing.assert_array_equal(residual_norms(rows, x, b), [1.0, 5.0])


# Matrices of grids by diagonals, of solids by triples


@st.composite
def banded_matrices(draw):
    """Neighbours and diagonals from 16 on, full but for holes, of one kind of numbers."""
    rng = np.random.default_rng(draw(seeds))
    n = draw(st.integers(120, 300))
    far = rng.choice(np.arange(16, n // 6 + 1), draw(st.integers(1, 3)), replace=False)
    offsets = np.unique([-1, 0, 1, *far, *(-rng.permutation(far)[:2])])
    kind = draw(st.sampled_from([np.float64, np.float32, np.int8]))
    values = rng.uniform(-9.0, 9.0, (offsets.size, n)).astype(kind)
    values[rng.random(values.shape) < 0.1] = 0
    A = sp.csr_array(sp.dia_array((values, offsets), shape=(n, n))).astype(np.float64)
    A.setdiag(100.0)
    A.eliminate_zeros()
    return A


@st.composite
def solids(draw):
    """Nodes of three unknowns that read whole nodes, but for holes."""
    rng = np.random.default_rng(draw(seeds))
    nodes = rng.random((draw(st.integers(20, 40)),) * 2) < 0.5
    A = np.kron(nodes, np.ones((3, 3))) * rng.standard_normal((3 * len(nodes),) * 2)
    A[rng.random(A.shape) < 0.02] = 0.0
    np.fill_diagonal(A, 100.0)
    return sp.csr_array(A)


def compressed(matrix, start):
    """Rows as they would be stored were they no grid's."""
    with mock.patch.multiple(storing, PADDING=0.0, TRIPLE_PADDING=0.0):
        return prepare_rows(matrix, start)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([(DiagonalRows, banded_matrices()), (TripleRows, solids())]),
    st.data(), seeds, omegas, directions, st.integers(1, 5), st.integers(1, 4),
)  # fmt: skip
def test_storages_partitions_and_passes_give_the_same_bits(
    kind, data, seed, omega, direction, count, nblocks
):
    kind, matrices = kind
    A = data.draw(matrices)
    n = A.shape[0]
    b, start = np.random.default_rng(seed).standard_normal((2, n))
    whole, reference = prepare_rows(A, 0), compressed(A, 0)
    assert isinstance(whole, kind)
    assert isinstance(reference, CsrRows)
    x, r, r_reference = start.copy(), np.empty(n), np.empty(n)
    changes = [reference.sweep(x[None], b[None], omega, direction)[0] for _ in range(count)]
    for rows, group in product((whole, reference), (1, 512)):
        y = start.copy()
        with mock.patch.multiple(sparse_rows, LEAST_GROUP=group, LEAST_BYTES=0):
            found = rows.sweep(y[None], b[None], omega, direction, count)
        np.testing.assert_allclose(found, changes, rtol=1e-12)
        np.testing.assert_array_equal(y, x)
    whole.residual(x[None], b[None], r[None])
    reference.residual(x[None], b[None], r_reference[None])
    np.testing.assert_array_equal(r, r_reference)
    y = start.copy()
    cuts = list(pairwise(random_cuts(np.random.default_rng(seed), n, nblocks)))
    blocks = [prepare_rows(A[i:j], i) for i, j in cuts]
    for _ in range(count):
        for rows, (i, j) in list(zip(blocks, cuts, strict=True))[::direction]:
            local = y[rows.columns]
            rows.sweep(local[None], b[None, i:j], omega, direction)
            y[i:j] = local[rows.own : rows.own + rows.size]
    np.testing.assert_array_equal(y, x)


@settings(deadline=None, max_examples=30)
@given(st.one_of(banded_matrices(), solids()), st.data())
def test_every_storage_holds_the_matrix(A, data):
    start = data.draw(st.integers(0, A.shape[0] - 1))
    part = A[start : data.draw(st.integers(start + 1, A.shape[0]))]
    rows, reference = prepare_rows(part, start), compressed(part, start)
    local = reference.csr().toarray()
    np.testing.assert_array_equal(local, part[:, rows.columns].toarray())
    np.testing.assert_array_equal(rows.csr().toarray(), local)
    groups = np.random.default_rng(0).integers(0, 3, rows.columns.size)
    summed = reference.summed(groups, 3).toarray()
    np.testing.assert_allclose(rows.summed(groups, 3).toarray(), summed, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("value", "dtype"), [(3.0, np.int8), (200.0, np.float32), (0.5, np.float32), (0.1, np.float64)]
)
def test_values_are_stored_in_the_narrowest_type_that_holds_them(value, dtype):
    A = sp.csr_array(sp.diags_array([1.0, 0.1, value], offsets=[-1, 0, 20], shape=(90, 90)))
    rows = prepare_rows(A, 0)
    assert rows.values.dtype == dtype
    np.testing.assert_array_equal(rows.csr().toarray(), A.toarray())


def test_what_would_be_mostly_zeros_or_hang_together_stays_compressed():
    rng = np.random.default_rng(0)
    scattered = sp.random_array((200, 200), density=0.05, rng=rng) + 9.0 * sp.eye_array(200)
    pentadiagonal = sp.diags_array([1.0, 1.0, 9.0, 1.0, 1.0], offsets=range(-2, 3), shape=(90, 90))
    for A in (scattered, pentadiagonal):
        assert isinstance(prepare_rows(sp.csr_array(A), 0), CsrRows)


def test_a_block_that_reads_beyond_its_edge_but_not_its_neighbour():
    A = sp.csr_array(sp.diags_array([1.0, 9.0, 2.0], offsets=[-40, 0, 40], shape=(120, 120)))
    x, b = np.random.default_rng(1).standard_normal((2, 120))
    whole = x.copy()
    prepare_rows(A, 0).sweep(whole[None], b[None], 1.2, 1)
    rows = prepare_rows(A[50:51], 50)
    assert (rows.own, rows.columns.tolist()) == (1, [10, 50, 90])
    local = np.array([whole[10], x[50], x[90]])
    rows.sweep(local[None], b[None, 50:51], 1.2, 1)
    assert local[1] == whole[50]


@settings(deadline=None, max_examples=25)
@given(dominant_matrices(), seeds, omegas, directions, st.integers(1, 6))
def test_several_passes_at_once_are_as_many_passes(A, seed, omega, direction, count):
    b, x = np.random.default_rng(seed).standard_normal((2, len(A)))
    y, rows = x.copy(), prepare_rows(sp.csr_array(A), 0)
    changes = np.array([rows.sweep(x[None], b[None], omega, direction)[0] for _ in range(count)])
    with mock.patch.multiple(sparse_rows, LEAST_GROUP=1, LEAST_BYTES=0):
        together = rows.sweep(y[None], b[None], omega, direction, count)
    np.testing.assert_array_equal(x, y)
    np.testing.assert_allclose(together, changes, rtol=1e-12)


def matrices_of_tests():
    """Grids, a solid and a scattered pattern, with whole and with rough entries."""
    rng = np.random.default_rng(0)
    nodes = sp.kron(problems.poisson((9, 8), points=9), np.ones((3, 3)))
    for A in (
        problems.poisson((40, 50)),
        problems.poisson((12, 13, 14)),
        problems.poisson((10, 10, 10), points=27),
        canonical_csr(nodes + 9.0 * sp.eye_array(216)),
        canonical_csr(sp.random_array((900, 900), density=0.01, rng=rng) + 9.0 * sp.eye_array(900)),
    ):
        d = sp.diags_array(np.exp(rng.standard_normal(A.shape[0])))
        yield from (A, canonical_csr(d @ A @ d))


def tree_of(n, rng):
    """The Laplacian of a tree in which hardly any neighbours are adjacent, plus the identity."""
    child = np.arange(1, n)
    parent = (rng.random(n - 1) * child).astype(int)
    graph = sp.csr_array((np.ones(n - 1), (child, parent)), shape=(n, n))
    graph = sp.csr_array(graph + graph.T)
    return sp.csr_array(sp.diags_array(graph.sum(axis=1) + 1.0) - graph)


@pytest.mark.parametrize("nblocks", [1, 3])
def test_rows_made_ready_take_at_most_1_3_times_the_bytes_of_csr(nblocks):
    for A in matrices_of_tests():
        bounds = Partition.even(A.shape[0], nblocks).ranges
        stored = sum(sizeof(prepare_rows(A[i:j], i)) for i, j in bounds)
        assert stored <= 1.3 * (12 * A.nnz + 4 * A.shape[0])


def test_a_symmetric_pattern_keeps_what_couples_neighbours_once():
    A = tree_of(300, np.random.default_rng(1)) + sp.diags_array(
        [0.25, 0.25], offsets=[-1, 1], shape=(300, 300)
    )
    rows = prepare_rows(canonical_csr(A), 0)
    assert isinstance(rows, CsrRows)
    assert np.shares_memory(rows.before, rows.after)
    np.testing.assert_array_equal(rows.csr().toarray(), A.toarray())


def test_what_is_looked_at_in_pieces_is_the_whole():
    for A in (*matrices_of_tests(), canonical_csr(tree_of(900, np.random.default_rng(0)))):
        rows = prepare_rows(A, 0)
        with mock.patch.object(sparse_rows, "SOME", A.nnz // 5):
            pieces = list(rows.pieces())
            facts = row_facts(rows, Partition((0, A.shape[0])))
        assert len(pieces) > 1
        np.testing.assert_array_equal(sp.vstack(pieces).toarray(), A.toarray())
        assert facts.entries == A.nnz
        whole = row_facts(rows, Partition((0, A.shape[0])))
        assert facts.dominance == whole.dominance
        assert facts.weight == pytest.approx(whole.weight)

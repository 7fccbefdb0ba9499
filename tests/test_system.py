"""What is accepted as A, b and x0, and what is said about everything else."""

import math
from itertools import product

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from distributed import LocalCluster
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import FORMATS, in_dask, odd_chunks, random_dominant, seeds

import dasksor
from dasksor import BlockError, LinearSystem, from_blocks
from dasksor.system import as_matrix

A3 = np.array([[4.0, 1.0, 0.0], [0.0, 5.0, -2.0], [3.0, 0.0, 6.0]])


def here(*values):
    return dask.compute(*values, scheduler="sync")


def dense(A):
    return A.toarray() if sp.issparse(A) else A


# Matrices


@pytest.mark.filterwarnings("ignore:the matrix subclass")
@pytest.mark.parametrize("kind", FORMATS)
@settings(deadline=None, max_examples=10)
@given(seeds, st.integers(1, 12), st.data())
def test_every_kind_of_matrix_gives_the_same_rows(kind, seed, n, data):
    A = random_dominant(np.random.default_rng(seed), n)
    system = LinearSystem.of(FORMATS[kind](A), np.ones(n))
    start = data.draw(st.integers(0, n - 1))
    stop = data.draw(st.integers(start + 1, n))
    (rows,) = here(system.rows(start, stop))
    assert rows.dtype == np.float64
    assert isinstance(rows, np.ndarray | sp.csr_array)
    np.testing.assert_allclose(dense(rows), A[start:stop], rtol=1e-15)
    if sp.issparse(rows):
        fresh = sp.csr_array((rows.data, rows.indices, rows.indptr), rows.shape)
        assert fresh.has_canonical_format
    matrix, (b, x0) = system.gathered().matrix, system.vectors()
    np.testing.assert_allclose(dense(matrix), A, rtol=1e-15)
    np.testing.assert_array_equal(b, np.ones((1, n)))
    np.testing.assert_array_equal(x0, np.zeros((1, n)))
    assert (system.n, system.nrhs, system.vector) == (n, 1, True)


DTYPES = ("f4", "f8", "g", "i1", "i8", "u4", "?")
# scipy.sparse has neither half precision nor the other order of bytes.
FORMS_AND_DTYPES = [
    *product((np.asarray, in_dask), (*DTYPES, "f2", ">f8")),
    *product((sp.csr_array, sp.coo_matrix), DTYPES),
]


@pytest.mark.parametrize(("form", "dtype"), FORMS_AND_DTYPES)
def test_real_dtypes(form, dtype):
    A = np.abs(A3).astype(dtype)
    (rows,) = here(LinearSystem.of(form(A), np.ones(3)).rows(0, 3))
    assert rows.dtype == (np.float32 if dtype == "f4" else np.float64)
    np.testing.assert_array_equal(dense(rows), A.astype(np.float64))


@pytest.mark.parametrize("form", [sp.coo_matrix, sp.dia_array, sp.bsr_array])
def test_chunks_of_any_sparse_format_can_be_cut(form):
    A = da.from_array(A3, chunks=2).map_blocks(form)
    system = LinearSystem.of(A, np.ones(3))
    parts = here(*(system.rows(i, i + 1) for i in range(3)))
    np.testing.assert_array_equal(sp.vstack(parts).toarray(), A3)


def test_the_users_matrix_is_neither_changed_nor_copied():
    A = sp.csr_array(A3)
    system = LinearSystem.of(A, np.ones(3))
    assert np.shares_memory(system.matrix.data, A.data)
    assert system.is_local
    messy = sp.csr_array((np.array([3.0, 1.0, 2.0]), [0, 0, 1], [0, 2, 3]), (2, 2))
    system = LinearSystem.of(messy, np.ones(2))
    np.testing.assert_array_equal(system.matrix.toarray(), [[4.0, 0.0], [0.0, 2.0]])
    np.testing.assert_array_equal(messy.data, [3.0, 1.0, 2.0])


def test_entries_are_those_that_are_known_without_building_the_matrix():
    b = np.ones(3)
    assert LinearSystem.of(A3, b).entries == 9
    assert LinearSystem.of(sp.csr_array(A3), b).entries == 6
    assert LinearSystem.of(in_dask(A3), b).entries == 9
    assert LinearSystem.of(in_dask(A3).map_blocks(sp.csr_array), b).entries is None
    assert LinearSystem.of(FORMATS["factory"](A3), b).entries is None


@pytest.mark.parametrize("kind", ["dask", "dask of sparse", "factory"])
def test_matrices_of_workers_are_not_built_here(kind):
    calls = []

    def rows(start, stop):
        calls.append((start, stop))
        return A3[start:stop]

    if kind == "factory":
        A = from_blocks(rows, (3, 3), 2)
    else:
        A = da.from_delayed(dask.delayed(rows)(0, 3), (3, 3), float)
    system = LinearSystem.of(A, np.ones(3))
    assert not system.is_local
    part = system.rows(1, 3)
    assert calls == []
    (built,) = here(part)
    np.testing.assert_array_equal(built, A3[1:])
    assert len(calls) == 1


@settings(deadline=None, max_examples=40)
@given(seeds, st.integers(1, 20), st.data())
def test_a_sparse_matrix_is_cut_by_entries_and_a_dense_one_by_rows(seed, n, data):
    A = random_dominant(np.random.default_rng(seed), n)
    nblocks = data.draw(st.integers(1, n))
    for form in (np.asarray, sp.csr_array):
        partition = LinearSystem.of(form(A), np.ones(n)).partition(nblocks)
        assert (partition.n, partition.nblocks) == (n, nblocks)
        assert min(partition.sizes) >= 1
    arrow = sp.lil_array(np.eye(100))
    arrow[0, :] = arrow[1, :] = 0.001
    arrow[0, 0] = arrow[1, 1] = 1.0
    assert LinearSystem.of(arrow, np.ones(100)).partition(2).sizes[0] < 10


# Right-hand sides and starts


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 4)])
@pytest.mark.parametrize("form", ["numpy", "list", "fortran", "dask", "float32", "integers"])
def test_right_hand_sides_and_starts(shape, form):
    values = np.arange(1.0, 1.0 + math.prod(shape)).reshape(shape)
    forms = {
        "numpy": np.asarray,
        "list": lambda v: v.tolist(),
        "fortran": np.asfortranarray,
        "dask": lambda v: da.from_array(v, chunks=2),
        "float32": lambda v: v.astype(np.float32),
        "integers": lambda v: v.astype(np.int16),
    }
    b, x0 = forms[form](values), forms[form](-values)
    system = LinearSystem.of(A3, b, x0)
    rhs, start = system.vectors()
    expected = values.reshape(3, -1).T
    for got, wanted in ((rhs, expected), (start, -expected)):
        assert got.dtype == np.float64
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, wanted)
    assert system.nrhs == len(expected)
    assert system.vector == (len(shape) == 1)
    parts = here(*(system.entries_of(system.rhs, i, i + 1) for i in range(3)))
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), expected)


@settings(deadline=None, max_examples=20)
@given(seeds, st.integers(1, 14))
def test_chunks_of_right_hand_sides_do_not_matter(seed, n):
    values = np.random.default_rng(seed).standard_normal((n, 3))
    b = da.from_array(values, chunks=(odd_chunks(n), (1, 2)))
    rhs, _ = LinearSystem.of(np.eye(n), b, b[:, ::-1]).vectors()
    np.testing.assert_array_equal(rhs, values.T)


def test_the_users_vectors_are_not_changed():
    b, x0 = np.ones(3), np.full(3, 7.0)
    dasksor.solve(A3, b, x0, mode="sequential")
    np.testing.assert_array_equal(b, 1.0)
    np.testing.assert_array_equal(x0, 7.0)


# Bad input: what is wrong, with the values, before anything starts

BAD_MATRICES = {
    "not square": (np.ones((2, 3)), ValueError, r"square, got shape \(2, 3\)"),
    "not square, sparse": (sp.csc_matrix((4, 3)), ValueError, r"square, got shape \(4, 3\)"),
    "not square, dask": (da.ones((2, 3)), ValueError, r"square, got shape \(2, 3\)"),
    "empty": (np.ones((0, 0)), ValueError, "A is empty"),
    "empty, sparse": (sp.coo_array((0, 0)), ValueError, "A is empty"),
    "empty list": ([], ValueError, r"two-dimensional, got shape \(0,\)"),
    "vector": (np.ones(3), ValueError, r"two-dimensional, got shape \(3,\)"),
    "sparse vector": (sp.coo_array([1.0, 2.0]), ValueError, r"two-dimensional, got shape \(2,\)"),
    "cube": (np.ones((2, 2, 2)), ValueError, r"two-dimensional, got shape \(2, 2, 2\)"),
    "dask vector": (da.ones(4), ValueError, r"two-dimensional, got shape \(4,\)"),
    "nan": (np.where(A3 == 5.0, np.nan, A3), ValueError, r"A\[1, 1\] is nan"),
    "inf": (np.where(A3 == -2.0, np.inf, A3), ValueError, r"A\[1, 2\] is inf"),
    "-inf, sparse": (
        sp.csc_array(np.where(A3 == 3.0, -np.inf, A3)),
        ValueError,
        r"A\[2, 0\] is -inf",
    ),
    "complex": (A3 * 1j, TypeError, "A has complex dtype complex128"),
    "complex, sparse": (sp.csr_array(A3 * 1j), TypeError, "A has complex dtype complex128"),
    "complex, dask": (da.ones((2, 2), dtype="c8"), TypeError, "A has complex dtype complex64"),
    "objects": (A3.astype(object), TypeError, "A has dtype object"),
    "words": ([["a"]], TypeError, "A has dtype <U1"),
    "dates": (np.zeros((1, 1), "M8[s]"), TypeError, "A has dtype datetime64"),
    "zero diagonal": (np.diag([1.0, 0.0, 0.0]), ValueError, "zero on the diagonal in row 1: "),
    "no diagonal": (sp.csr_array(np.eye(3, k=1)), ValueError, "zero on the diagonal in row 0: "),
    "none": (None, TypeError, "A must be a NumPy array, .*got NoneType"),
    "number": (3.0, TypeError, "A must be a NumPy array, .*got float"),
    "word": ("A.mtx", TypeError, "A must be a NumPy array, .*from_blocks, got str"),
    "function": (np.eye, TypeError, "A must be a NumPy array, .*from_blocks, got function"),
    "operator": (
        sp.linalg.aslinearoperator(A3),
        TypeError,
        "A must be a NumPy array, .*from_blocks, got MatrixLinearOperator",
    ),
}


@pytest.fixture
def no_cluster(monkeypatch):
    """Fail if a cluster is started."""

    def refuse(*args, **options):
        raise AssertionError("a cluster was started")

    monkeypatch.setattr(LocalCluster, "__init__", refuse)


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize("mode", ["auto", "sequential", "sync", "async"])
@pytest.mark.parametrize("name", BAD_MATRICES)
def test_bad_matrices(name, mode):
    A, error, message = BAD_MATRICES[name]
    with pytest.raises(error, match=message):
        dasksor.solve(A, np.ones(3), mode=mode)


def test_unknown_chunks_are_refused_and_the_remedy_works():
    A, keep = da.from_array(np.diag([1.0, 0.0, 2.0]), chunks=2), da.from_array([1.0, 0.0, 1.0])
    unknown = A[keep > 0]
    with pytest.raises(ValueError, match=r"A has unknown chunk sizes, .*compute_chunk_sizes\(\)"):
        LinearSystem.of(unknown, np.ones(3))
    b = da.from_array(np.arange(4.0), chunks=2)
    some = b[b > 0]
    with pytest.raises(ValueError, match=r"b has unknown chunk sizes, .*b.compute_chunk_sizes"):
        LinearSystem.of(A3, some)
    with pytest.raises(ValueError, match="x0 has unknown chunk sizes"):
        LinearSystem.of(A3, np.ones(3), some)
    with dask.config.set(scheduler="sync"):
        some.compute_chunk_sizes()
    assert LinearSystem.of(A3, some).rhs.shape == (1, 3)


BAD_VECTORS = {
    "too short": (np.ones(2), ValueError, r"has shape \(2,\) but A has shape \(3, 3\)"),
    "too long": ([1, 2, 3, 4], ValueError, r"has shape \(4,\) but A has shape \(3, 3\)"),
    "row": (np.ones((1, 3)), ValueError, r"has shape \(1, 3\) but A has shape \(3, 3\)"),
    "number": (1.0, ValueError, r"has shape \(\) but A has shape \(3, 3\)"),
    "no column": (np.ones((3, 0)), ValueError, r"has shape \(3, 0\) but A"),
    "empty": ([], ValueError, r"has shape \(0,\) but A"),
    "cube": (np.ones((3, 1, 1)), ValueError, r"has shape \(3, 1, 1\) but A"),
    "dask": (da.ones(5), ValueError, r"has shape \(5,\) but A"),
    "nan": ([1.0, math.nan, 2.0], ValueError, "has nan at row 1: all entries must be finite"),
    "inf": ([[1.0, 1], [0, 1], [2, math.inf]], ValueError, "has inf at row 2"),
    "complex": ([1j, 1, 1], TypeError, "has complex dtype complex128"),
    "complex dask": (da.ones(3, dtype=complex), TypeError, "has complex dtype complex128"),
    "words": (["a", "b", "c"], TypeError, "has dtype <U1"),
    "objects": (np.ones(3, dtype=object), TypeError, "has dtype object"),
}


@pytest.mark.usefixtures("no_cluster")
@pytest.mark.parametrize("mode", ["sequential", "sync", "async"])
@pytest.mark.parametrize("name", BAD_VECTORS)
def test_bad_vectors(name, mode):
    bad, error, message = BAD_VECTORS[name]
    with pytest.raises(error, match=f"^b {message}"):
        dasksor.solve(A3, bad, mode=mode)
    if np.shape(bad) != ():
        with pytest.raises(error, match=f"^x0 {message}"):
            dasksor.solve(A3, np.ones(3), bad, mode=mode)


def test_start_and_right_hand_side_of_different_shapes():
    with pytest.raises(ValueError, match=r"x0 has shape \(3, 2\) but b has shape \(3,\)"):
        LinearSystem.of(A3, np.ones(3), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"x0 has shape \(3, 2\) but b has shape \(3, 4\)"):
        LinearSystem.of(A3, np.ones((3, 4)), np.ones((3, 2)))


# What only a worker can see


def test_bad_entries_of_dask_vectors_are_found_where_they_are_computed():
    b = da.from_array(np.array([1.0, np.inf, 2.0]), chunks=1)
    with pytest.raises(ValueError, match="has inf at row 1: all entries must be finite"):
        dasksor.solve(A3, b, mode="sequential")


@pytest.mark.parametrize("kind", ["dask", "dask of sparse", "factory", "sparse factory"])
@pytest.mark.parametrize(
    ("A", "message"),
    [
        (np.where(A3 == -2.0, np.nan, A3), r"A\[1, 2\] is nan"),
        (np.where(A3 == 6.0, 0.0, A3), "zero on the diagonal in row 2"),
    ],
)
def test_bad_entries_of_matrices_of_workers_are_found_before_any_sweep(kind, A, message):
    with pytest.raises(ValueError, match=message):
        dasksor.solve(FORMATS[kind](A), np.ones(3), mode="sequential")


def test_an_exception_in_a_factory_arrives_with_block_and_phase():
    def rows(start, stop):
        return {}["missing"]

    A = from_blocks(rows, (6, 6), 2)
    with pytest.raises(BlockError, match="rows 2 to 4, building: KeyError: 'missing'") as caught:
        here(LinearSystem.of(A, np.ones(6)).rows(2, 5))
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (np.ones((3, 3)), ValueError, r"must return an array of shape \(2, 3\), got ndarray of sh"),
        (np.ones((2, 2)), ValueError, r"must return an array of shape \(2, 3\), .*\(2, 2\)"),
        ([[1.0, 2.0, 3.0]] * 2, ValueError, r"shape \(2, 3\), got list of shape None"),
        (np.ones((2, 3)) * 1j, TypeError, "complex dtype"),
    ],
)
def test_a_factory_that_returns_no_rows(rows, error, message):
    A = from_blocks(lambda start, stop: rows, (3, 3), 1)
    with pytest.raises(error, match=message):
        here(LinearSystem.of(A, np.ones(3)).rows(0, 2))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3, (3, 3), 1), TypeError, "function must be callable .*got int"),
        ((len, (3, 4), 1), ValueError, r"shape must be \(n, n\) with n >= 1, got \(3, 4\)"),
        ((len, (0, 0), 1), ValueError, r"shape must be \(n, n\) with n >= 1, got \(0, 0\)"),
        ((len, (3,), 1), ValueError, r"shape must be \(n, n\)"),
        ((len, (3, 3), 0), ValueError, "nblocks must lie in 1, ..., 3, got 0"),
        ((len, (3, 3), 4), ValueError, "nblocks must lie in 1, ..., 3, got 4"),
    ],
)
def test_bad_factories(arguments, error, message):
    with pytest.raises(error, match=message):
        from_blocks(*arguments)


def test_a_factory_is_taken_as_it_is():
    A = FORMATS["factory"](A3)
    assert as_matrix(A) is A

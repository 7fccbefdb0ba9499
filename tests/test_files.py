"""Files read back as written, and what is said of broken ones."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.io import mmwrite
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix, random_array, save_npz

from dasksor.files import read, read_vector, write_seed

A = csr_array(np.array([[4.0, -1.0, 0.0], [-1.0, 4.0, 1 / 3], [0.0, 1e-300, 4.0]]))
SEED = "3 3 3\n1 1 4\n2 2 4.5\n3 1 -1e-3\n0 0 0\n"
MARKET = "%%MatrixMarket matrix coordinate real general\n2 2 2\n1 1 3\n2 2 4\n"


def assert_same(found, expected=A):
    assert isinstance(found, csr_array)
    assert found.dtype == np.float64
    assert found.indices.dtype == found.indptr.dtype == np.int32
    assert found.has_canonical_format
    assert np.array_equal(found.toarray(), expected.toarray())


@pytest.mark.parametrize("name", ["a.txt", "a.dat", "a.matrix", "a"])
def test_seed_text_comes_back_exactly(tmp_path, name):
    write_seed(tmp_path / name, A)
    assert_same(read(str(tmp_path / name)))


def test_seed_text_as_written(tmp_path):
    write_seed(tmp_path / "a.txt", np.array([[2.0, 0.0], [0.1, 1e22]]))
    assert (tmp_path / "a.txt").read_text() == "2 2 3\n1 1 2.0\n2 1 0.1\n2 2 1e+22\n0 0 0\n"


@pytest.mark.parametrize("A", [csc_array(A), coo_array(A), csr_matrix(A), A.toarray()])
def test_write_seed_takes_any_kind(tmp_path, A):
    write_seed(tmp_path / "a.txt", A)
    assert_same(read(tmp_path / "a.txt"), csr_array(A))


@given(st.integers(1, 12), st.floats(0, 1), st.integers(0, 99))
def test_seed_round_trip(tmp_path_factory, n, density, seed):
    path = tmp_path_factory.mktemp("seed") / "a.txt"
    matrix = random_array((n, n), density=density, rng=np.random.default_rng(seed), format="csr")
    write_seed(path, matrix)
    assert_same(read(path), matrix)


def test_seed_round_trip_of_more_than_one_slice(tmp_path):
    matrix = random_array((400, 400), density=0.9, rng=np.random.default_rng(1), format="csr")
    assert matrix.nnz > 100_000
    write_seed(tmp_path / "a.txt", matrix)
    assert_same(read(tmp_path / "a.txt"), matrix)


def test_seed_text_may_have_blank_lines_blanks_crlf_and_any_order(tmp_path):
    text = "2 2 2\r\n\r\n  2\t2 5\r\n1 1 4  \r\n0 0 0\r\n\r\n"
    (tmp_path / "a.txt").write_bytes(text.encode())
    assert_same(read(tmp_path / "a.txt"), csr_array(np.diag([4.0, 5.0])))


BROKEN_SEED = [
    ("", "line 1: the header must be three whole numbers 'n n nnz', got ''"),
    ("3 3\n", "line 1: the header must be three whole numbers 'n n nnz', got '3 3'"),
    ("3 3 x\n", "line 1: the header must be"),
    ("1.5 1.5 2\n", "line 1: the header must be"),
    ("-3 -3 3\n", "line 1: the header must be"),
    ("3 4 3\n" + SEED[6:], "line 1: the matrix must be square, got 3 x 4"),
    ("0 0 0\n0 0 0\n", "line 1: the matrix must be square, got 0 x 0"),
    (SEED[6:], "line 2: index (2, 2) is no entry of a 1 x 1 matrix"),
    (SEED[:-6], "closing line '0 0 0' is missing after 3 entries"),
    ("3 3 3\n", "closing line '0 0 0' is missing after 0 entries"),
    (SEED + "1 2 3\n", "line 6: text after the closing line '0 0 0': remove it"),
    (SEED.replace("3 3 3", "3 3 4"), "line 5: 3 entries, but the header in line 1 says 4"),
    (SEED.replace("3 3 3", "3 3 2"), "line 5: 3 entries, but the header in line 1 says 2"),
    (SEED.replace("2 2 4.5", "2 4 4.5"), "line 3: index (2, 4) is no entry of a 3 x 3 matrix"),
    (SEED.replace("2 2 4.5", "0 2 4.5"), "line 3: index (0, 2) is no entry of a 3 x 3 matrix"),
    (SEED.replace("2 2 4.5", "2 -1 4.5"), "line 3: index (2, -1) is no entry"),
    (SEED.replace("2 2 4.5", "2.5 2 4"), "line 3: index (2.5, 2) is no entry"),
    (SEED.replace("2 2 4.5", "1 1 4.5"), "line 3: entry (1, 1) was given in line 2 too"),
    (SEED.replace("4.5", "4,5"), "line 3: not a number: '4,5'"),
    (SEED.replace("4.5", "4_5"), "line 3: not a number: '4_5'"),
    (SEED.replace("4.5", "nan"), "line 3: not a finite number in '2 2 nan'"),
    (SEED.replace("2 2 4.5", "inf 2 1"), "line 3: not a finite number in 'inf 2 1'"),
    (SEED.replace("2 2 4.5", "2 2"), "line 3: must be 'i j value', got '2 2'"),
    (SEED.replace("2 2 4.5", "2 2 4 5"), "line 3: must be 'i j value', got '2 2 4 5'"),
    ("2 2 1\n1 1 1 1\n0 0 0 0\n", "line 2: must be 'i j value', got '1 1 1 1'"),
    ("\x80\xff\x00", "line 1: the header must be"),
]


@pytest.mark.parametrize(("text", "message"), BROKEN_SEED)
def test_broken_seed_text(tmp_path, text, message):
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("matrix", "name", "message"),
    [
        (np.ones((2, 3)), "a.txt", r"square matrices only, got shape \(2, 3\)"),
        (np.diag([1.0, np.nan]), "a.txt", "finite numbers only"),
        (np.eye(2), "a.npy", "end its name in .txt"),
        (np.eye(2), "a.MTX.gz", "end its name in .txt"),
    ],
)
def test_write_seed_refuses(tmp_path, matrix, name, message):
    with pytest.raises(ValueError, match=message):
        write_seed(tmp_path / name, matrix)
    assert not (tmp_path / name).exists()


def test_write_seed_leaves_the_matrix_alone(tmp_path):
    unsorted = csr_array((np.array([1.0, 2.0]), np.array([1, 0]), np.array([0, 2, 2])))
    write_seed(tmp_path / "a.txt", unsorted)
    assert unsorted.indices.tolist() == [1, 0]


@pytest.mark.parametrize("name", ["a.mtx", "A.MTX", "a.mtx.gz"])
def test_matrix_market(tmp_path, name):
    mmwrite(tmp_path / "a.mtx", A, precision=17)
    data = (tmp_path / "a.mtx").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert_same(read(tmp_path / name))


def test_matrix_market_symmetric_pattern_and_array(tmp_path):
    path = tmp_path / "a.mtx"
    path.write_text("%%MatrixMarket matrix coordinate pattern symmetric\n2 2 2\n1 1\n2 1\n")
    assert_same(read(path), csr_array(np.array([[1.0, 1.0], [1.0, 0.0]])))
    path.write_text("%%MatrixMarket matrix array integer general\n2 2\n1\n2\n3\n4\n")
    dense = read(path)
    assert isinstance(dense, np.ndarray)
    assert dense.dtype == np.float64
    assert dense.tolist() == [[1, 3], [2, 4]]


BROKEN_MARKET = [
    ("", ", line 1: not a Matrix Market file. Missing banner, got ''"),
    ("2 2 2\n1 1 3\n", ", line 1: not a Matrix Market file. Missing banner, got '2 2 2'"),
    (MARKET.replace("2 2 4", "3 2 4"), ", line 4: row index out of bounds, got '3 2 4'"),
    (MARKET.replace("2 2 4", "2 2 x"), ", line 4: invalid floating-point value, got '2 2 x'"),
    (MARKET[:-6], ": truncated file. Expected another 1 lines"),
    (MARKET + "1 2 1\n", ", line 5: too many lines in file"),
    (MARKET.replace("real", "complex").replace(" 3\n", " 3 1\n").replace(" 4\n", " 4 1\n"),
     ": holds complex128 entries, not real numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BROKEN_MARKET)
@pytest.mark.parametrize("name", ["a.mtx", "a.mtx.gz"])
def test_broken_matrix_market(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read(path)
    assert str(caught.value).startswith(f"{path}{message}")


def test_broken_gzip(tmp_path):
    path = tmp_path / "a.mtx.gz"
    rows = "".join(f"{k} {k} {k}\n" for k in range(1, 201))
    whole = gzip.compress(f"{MARKET[:46]}200 200 200\n{rows}".encode())
    for data in (whole[: len(whole) // 2], whole[:-3], whole[:40] + b"x" * 9 + whole[49:], b"no"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.mtx\.gz: truncated or damaged gzip file: "):
            read(path)


@pytest.mark.parametrize("kind", [csr_array, csc_array, coo_array, csr_matrix])
def test_npz(tmp_path, kind):
    save_npz(tmp_path / "a.npz", kind(A))
    assert_same(read(tmp_path / "a.npz"))


def test_broken_npz(tmp_path):
    path = tmp_path / "a.npz"
    save_npz(path, A)
    whole = path.read_bytes()
    np.savez(path, a=np.ones(3))
    other = path.read_bytes()
    for data in (b"", b"no", whole[: len(whole) // 2], other):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.npz: not an npz matrix .*: write it with"):
            read(path)


@pytest.mark.parametrize("kind", ["csr", "csc"])
def test_npz_with_indices_out_of_range(tmp_path, kind):
    path = tmp_path / "a.npz"
    np.savez(path, format=kind, shape=(2, 2), data=np.ones(2), indices=[0, 10**6], indptr=[0, 1, 2])
    with pytest.raises(ValueError, match=r"a\.npz: not an npz matrix \(.*ind"):
        read(path)


def test_npy(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(4).reshape(2, 2))
    found = read(tmp_path / "a.npy")
    assert found.dtype == np.float64
    assert found.tolist() == [[0, 1], [2, 3]]


def test_broken_npy(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([[1, None]], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npy: holds pickled Python objects, which are not"):
        read(path)
    np.save(path, np.ones((50, 50)))
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ValueError, match=r"a\.npy: failed to read all data"):
        read(path)
    path.write_bytes(b"no")
    with pytest.raises(ValueError, match=r"a\.npy: not an npy file: write it with numpy\.save"):
        read(path)
    np.save(path, np.ones(3))
    with pytest.raises(ValueError, match=r"a\.npy: holds no matrix but shape \(3,\)"):
        read(path)
    np.save(path, np.array([["a"]]))
    with pytest.raises(ValueError, match=r"a\.npy: holds <U1 entries, not real numbers"):
        read(path)


@pytest.mark.parametrize("reader", [read, read_vector])
@pytest.mark.parametrize("name", ["a.txt", "a.mtx", "a.mtx.gz", "a.npz", "a.npy", ""])
def test_missing_file_is_named(tmp_path, reader, name):
    with pytest.raises(FileNotFoundError, match=r"no file .*: check the name") as e:
        reader(tmp_path / name)
    assert str(tmp_path / name) in str(e.value)


b = np.array([1.0, -2.5, 1 / 3])


def test_vectors(tmp_path):
    np.save(tmp_path / "b.npy", b)
    np.save(tmp_path / "column.npy", b[:, None])
    mmwrite(tmp_path / "b.mtx", b[:, None], precision=17)
    (tmp_path / "b.mtx.gz").write_bytes(gzip.compress((tmp_path / "b.mtx").read_bytes()))
    mmwrite(tmp_path / "sparse.mtx", coo_array(b[:, None]), precision=17)
    (tmp_path / "b.txt").write_text("\n".join(map(repr, b.tolist())) + "\n\n")
    for path in tmp_path.iterdir():
        found = read_vector(path)
        assert found.dtype == np.float64
        assert found.tolist() == b.tolist(), path


def test_vector_of_one_number(tmp_path):
    (tmp_path / "b.txt").write_text("7")
    assert read_vector(tmp_path / "b.txt").tolist() == [7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no numbers, one is needed on each line"),
        ("\n\n", "has no numbers"),
        ("1\nx\n", "line 2: not a number: 'x'"),
        ("1\n\n2 3\n", "line 3: must be one number, got '2 3'"),
        ("1 2 3\n", "line 1: must be one number, got '1 2 3'"),
    ],
)
def test_broken_text_vector(tmp_path, text, message):
    (tmp_path / "b.txt").write_text(text)
    with pytest.raises(ValueError, match=rf"b\.txt.* {message}|b\.txt: {message}"):
        read_vector(tmp_path / "b.txt")


def test_vector_refuses_matrices_and_complex_numbers(tmp_path):
    np.save(tmp_path / "b.npy", np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"holds no vector but shape \(2, 3\): store one column"):
        read_vector(tmp_path / "b.npy")
    np.save(tmp_path / "b.npy", np.ones(2, dtype=complex))
    with pytest.raises(ValueError, match="holds complex128 entries"):
        read_vector(tmp_path / "b.npy")

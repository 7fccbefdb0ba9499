"""Matrices and vectors from files: Matrix Market, NumPy, SciPy and the seed program's text."""

from __future__ import annotations

import gzip
import math
import re
import warnings
import zipfile
import zlib
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from scipy.io import mmread
from scipy.sparse import csr_array, issparse, load_npz

from dasksor.rows import narrowed

_MARKET = (".mtx", ".mtx.gz")
_DAMAGED = (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error)


def read(path: str | PathLike[str]) -> Any:
    """The matrix ``A`` stored in a file; the ending of its name says in which format.

    ``.mtx`` and ``.mtx.gz`` are Matrix Market, ``.npz`` is ``scipy.sparse.save_npz``, ``.npy`` is
    ``numpy.save``; any other file is text of the seed program: a line ``n n nnz``, then `nnz` lines
    ``i j value`` with indices from 1, each entry once, then a line ``0 0 0``.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    csr_array or numpy.ndarray
        float64, two dimensions; dense from ``.npy`` and from Matrix Market's array format.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The file is broken or holds something else; the message has the file, the line where the
        format has lines, and the reason.
    """
    path = _existing(path)
    name = path.name.lower()
    for ending, reader in ((_MARKET, _read_market), (".npz", _read_npz), (".npy", _read_npy)):
        if name.endswith(ending):
            return _matrix(path, reader(path))
    return _read_seed(path)


def read_vector(path: str | PathLike[str]) -> np.ndarray:
    """The vector ``b`` stored in a file: ``.npy``, ``.mtx``, ``.mtx.gz``, or one number a line.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    numpy.ndarray
        float64, shape ``(n,)``; a stored single column counts as a vector.

    Raises
    ------
    FileNotFoundError, ValueError
        As in `read`, or the file holds no vector.
    """
    path = _existing(path)
    name = path.name.lower()
    if name.endswith(_MARKET):
        found = _read_market(path)
        found = found.toarray() if issparse(found) else found
    elif name.endswith(".npy"):
        found = _read_npy(path)
    else:
        found = _read_numbers(path)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise ValueError(f"{path}: holds no vector but shape {found.shape}: store one column")
    return _real(path, found)


def write_seed(path: str | PathLike[str], A: Any) -> None:
    """Write ``A`` as text of the seed program, so that `read` gives back the same numbers.

    Parameters
    ----------
    path : str or path
        The file, replaced if it exists.
    A : numpy.ndarray or scipy sparse array
        Shape ``(n, n)``, finite; all stored entries are written, of a dense matrix all nonzeros.

    Raises
    ------
    ValueError
        `A` is not square or not finite, or `path` ends like another format.
    """
    if str(path).lower().endswith((*_MARKET, ".npz", ".npy")):
        raise ValueError(f"{path}: read would not take this for seed text: end its name in .txt")
    rows = csr_array(A, dtype=np.float64, copy=True)
    rows.sum_duplicates()
    if rows.shape[0] != rows.shape[1]:
        raise ValueError(f"the seed format holds square matrices only, got shape {rows.shape}")
    if not np.isfinite(rows.data).all():
        raise ValueError("the seed format holds finite numbers only: remove nan and inf from A")
    i, j = rows.tocoo().coords
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{rows.shape[0]} {rows.shape[0]} {rows.nnz}\n")
        for k in range(0, rows.nnz, 100_000):
            part = [column[k : k + 100_000].tolist() for column in (i + 1, j + 1, rows.data)]
            file.writelines([f"{a} {b} {v!r}\n" for a, b, v in zip(*part, strict=True)])
        file.write("0 0 0\n")


def _existing(path: str | PathLike[str]) -> Path:
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: check the name and the folder")
    return path


def _read_market(path: Path) -> Any:
    try:
        return mmread(path, spmatrix=False)
    except _DAMAGED as error:
        raise ValueError(f"{path}: truncated or damaged gzip file: {error}") from error
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path}{_market_line(path, error)}") from error


def _market_line(path: Path, error: Exception) -> str:
    """The reason, after the number of the line and before its text where scipy names a line."""
    found = re.match(r"Line (\d+): (.*)", str(error))
    if found is None:
        return f": {_lower(error)}"
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    with opened(path, "rt", encoding="latin-1") as file:
        line = next(islice(file, int(found[1]) - 1, None), "")
    return f", line {found[1]}: {_lower(found[2])}, got {line.strip()[:60]!r}"


def _read_npz(path: Path) -> Any:
    try:
        found = load_npz(path)
        if found.format in ("csr", "csc", "bsr"):
            found.check_format(full_check=True)  # indices out of range would crash a conversion
        return found
    except (*_DAMAGED, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: not an npz matrix ({_lower(error)}): write it with scipy.sparse.save_npz"
        ) from error


def _read_npy(path: Path) -> np.ndarray:
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise ValueError(f"{path}: not an npy file: write it with numpy.save")
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        if "pickle" in str(error):
            raise ValueError(
                f"{path}: holds pickled Python objects, which are not read: save plain numbers"
            ) from error
        raise ValueError(f"{path}: {_lower(error)}") from error


def _lower(error: object) -> str:
    text = str(error).split("\n")[0].rstrip(".")
    return text[:1].lower() + text[1:]


def _real(path: Path, found: Any) -> Any:
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{path}: holds {found.dtype} entries, not real numbers")
    return found.astype(np.float64, copy=False)


def _matrix(path: Path, found: Any) -> Any:
    if found.ndim != 2:
        raise ValueError(f"{path}: holds no matrix but shape {found.shape}")
    found = _real(path, found)
    return _csr(found) if issparse(found) else found


def _csr(matrix: Any) -> csr_array:
    rows = csr_array(matrix)
    rows.sum_duplicates()
    return narrowed(rows)


def _table(file: TextIO) -> np.ndarray | None:
    """The rest of a text file, or None where its lines are no table of numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a file without numbers
        try:
            return np.loadtxt(file, comments=None, ndmin=2)
        except ValueError:
            return None


def _read_numbers(path: Path) -> np.ndarray:
    with open(path, encoding="latin-1") as file:
        table = _table(file)
        if table is not None and table.size and table.shape[1] == 1:
            return table
        file.seek(0)
        for number, line in enumerate(file, 1):
            if line.split():
                _numbers(path, number, line, 1)
    raise ValueError(f"{path}: has no numbers, one is needed on each line")


def _read_seed(path: Path) -> csr_array:
    with open(path, encoding="latin-1") as file:
        n, nnz = _seed_header(path, file.readline())
        table = _table(file)
    if table is not None and _seed_table_is_good(table, n, nnz):
        i, j = (table[:-1, k].astype(np.int64) - 1 for k in (0, 1))
        result = _csr(csr_array((table[:-1, 2], (i, j)), shape=(n, n)))
        if result.nnz == nnz:
            return result
    raise _seed_error(path, n, nnz)


def _seed_header(path: Path, line: str) -> tuple[int, int]:
    fields = line.split()
    if len(fields) != 3 or not all(re.fullmatch(r"\+?[0-9]{1,18}", f) for f in fields):
        raise ValueError(
            f"{path}, line 1: the header must be three whole numbers 'n n nnz', "
            f"got {line.strip()[:60]!r}"
        )
    rows, columns, nnz = map(int, fields)
    if rows != columns or rows < 1:
        raise ValueError(f"{path}, line 1: the matrix must be square, got {rows} x {columns}")
    return rows, nnz


def _seed_table_is_good(table: np.ndarray, n: int, nnz: int) -> bool:
    if table.shape != (nnz + 1, 3) or table[-1].any():
        return False
    index = table[:-1, :2]
    whole = (index >= 1).all() and (index <= n).all() and (index == np.floor(index)).all()
    return bool(whole and np.isfinite(table[:-1, 2]).all())


def _seed_error(path: Path, n: int, nnz: int) -> ValueError:
    """What is wrong, found by reading line by line, which is slow."""
    entries: dict[tuple[int, int], int] = {}
    closed = 0
    with open(path, encoding="latin-1") as file:
        for number, line in islice(enumerate(file, 1), 1, None):
            where = f"{path}, line {number}"
            if not line.split():
                continue
            if closed:
                return ValueError(f"{where}: text after the closing line '0 0 0': remove it")
            i, j, _ = triple = _numbers(path, number, line, 3)
            if not any(triple):
                closed = number
                continue
            if i != int(i) or j != int(j) or not (1 <= i <= n and 1 <= j <= n):
                return ValueError(
                    f"{where}: index ({i:.17g}, {j:.17g}) is no entry of a {n} x {n} matrix"
                )
            first = entries.setdefault((int(i), int(j)), number)
            if first != number:
                return ValueError(f"{where}: entry ({i:g}, {j:g}) was given in line {first} too")
    if not closed:
        return ValueError(f"{path}: closing line '0 0 0' is missing after {len(entries)} entries")
    if len(entries) != nnz:
        return ValueError(
            f"{path}, line {closed}: {len(entries)} entries, but the header in line 1 says {nnz}"
        )
    return ValueError(f"{path}: not plain text of numbers: check its encoding")


def _numbers(path: Path, number: int, line: str, count: int) -> list[float]:
    fields = line.split()
    if len(fields) != count:
        wanted = "one number" if count == 1 else "'i j value'"
        raise ValueError(f"{path}, line {number}: must be {wanted}, got {line.strip()[:60]!r}")
    numbers = []
    for field in fields:
        try:
            numbers.append(float(field.replace("_", "?")))
        except ValueError:
            raise ValueError(f"{path}, line {number}: not a number: {field[:60]!r}") from None
    if count == 3 and not all(map(math.isfinite, numbers)):
        raise ValueError(f"{path}, line {number}: not a finite number in {line.strip()[:60]!r}")
    return numbers

"""The ten-line dense reference of SOR, and random systems and storages that the tests share."""

from __future__ import annotations

import os
from functools import partial
from itertools import pairwise
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import strategies as st

from dasksor import from_blocks, read

FORWARD, BACKWARD = 1, -1

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 24)
omegas = st.floats(0.1, 1.9)
directions = st.sampled_from([FORWARD, BACKWARD])


def dense_sweep(A, b, x, omega, direction=FORWARD):
    """One SOR sweep, one row at a time, in float64; ``b`` and ``x`` of shape (n,) or (n, m)."""
    A, x = np.asarray(A, dtype=np.float64), np.array(x, dtype=np.float64)
    for i in range(len(x))[::direction]:
        x[i] += omega / A[i, i] * (b[i] - A[i] @ x)
    return x


def dense_sweeps(A, b, x, omega, passes):
    """A pass for each direction in ``passes``."""
    for direction in passes:
        x = dense_sweep(A, b, x, omega, direction)
    return x


def dense_bounded_sweep(A, b, x, omega, bounds, direction=FORWARD):
    """The same, each new value clipped at once."""
    A, x = np.asarray(A, dtype=np.float64), np.array(x, dtype=np.float64)
    for i in range(len(x))[::direction]:
        x[i] = np.clip(x[i] + omega / A[i, i] * (b[i] - A[i] @ x), bounds[0][i], bounds[1][i])
    return x


def natural_residual(A, b, x, bounds):
    """``a_ii (clip(x_i + r_i / a_ii) - x_i)``, zero exactly at a solution."""
    d = A.diagonal()
    return d * (np.clip(x + (b - A @ x) / d, *bounds) - x)


def bounded_problem(rng, A):
    """``b``, bounds, and the one ``x`` that solves them, some of it at lower and upper bounds.

    Chosen backwards: ``b = A x - m``, the multipliers ``m`` of the sign that the bound asks for.
    """
    n = A.shape[0]
    x, push = rng.uniform(-1.0, 1.0, n), rng.uniform(0.1, 1.0, n)
    side = rng.choice([-1, 0, 1], n)
    far = rng.choice([0.5, np.inf], (2, n))
    lower, upper = x - np.where(side == -1, 0.0, far[0]), x + np.where(side == 1, 0.0, far[1])
    return A @ x + push * side, (lower, upper), x


def random_pattern(rng, n):
    """Where off-diagonal entries stand: not symmetric, some rows empty, some nearly full."""
    density = rng.choice([0.0, 0.1, 0.4, 0.9], size=(n, 1))
    return (rng.random((n, n)) < density) & ~np.eye(n, dtype=bool)


def random_dominant(rng, n, dominance=0.5, connected=False):
    """Strictly diagonally dominant, ``sum_{j != i} |a_ij| <= dominance |a_ii|``, of either sign.

    Where ``connected``, every row reads the one before.
    """
    pattern = random_pattern(rng, n) | (np.eye(n, k=-1, dtype=bool) & connected)
    A = np.where(pattern, rng.uniform(-1.0, 1.0, (n, n)), 0.0)
    weight = np.abs(A).sum(axis=1) / dominance
    weight[weight == 0] = 1.0
    return A + np.diag(weight * rng.choice([-1.0, 1.0], n))


def random_spd(rng, n):
    """Symmetric positive definite and sparse, not diagonally dominant in general."""
    B = np.where(random_pattern(rng, n), rng.standard_normal((n, n)), 0.0) + np.eye(n)
    return B @ B.T + 0.1 * np.eye(n)


def random_cuts(rng, n, nblocks):
    """Bounds of ``nblocks`` blocks, none of them empty."""
    inner = np.sort(rng.choice(np.arange(1, n), nblocks - 1, replace=False))
    return (0, *inner.tolist(), n)


def listed(M):
    """The rows of ``M`` that are not empty: their numbers, pointers, columns and values."""
    M = sp.csr_array(M)
    sizes = np.diff(M.indptr)
    rows = np.flatnonzero(sizes)
    ptr = np.append(0, np.cumsum(sizes[rows]))
    return *(part.astype(np.uint32) for part in (rows, ptr, M.indices)), M.data.astype(np.float64)


def written(entries, shape):
    """The dense matrix of `listed` rows, which are to be ascending and not empty."""
    rows, ptr, columns, values = entries
    assert [part.dtype for part in entries] == [np.uint32] * 3 + [np.float64]
    assert (rows[1:] > rows[:-1]).all()
    assert (ptr[1:] > ptr[:-1]).all()
    assert (ptr[0], ptr[-1]) == (0, columns.size)
    M = np.zeros(shape)
    np.add.at(M, (np.repeat(rows, np.diff(ptr)), columns), values)
    return M


# The same matrix in everything that a user may have


def with_duplicates(A):
    """COO with every entry in two halves, in no order."""
    row, column = np.nonzero(A)
    order = np.random.default_rng(0).permutation(2 * row.size)
    values = np.tile(A[row, column] / 2.0, 2)[order]
    return sp.coo_array((values, (np.tile(row, 2)[order], np.tile(column, 2)[order])), A.shape)


def unsorted(A):
    """CSR whose columns descend in every row."""
    A = sp.csr_array(A)
    rows = [slice(start, stop) for start, stop in pairwise(A.indptr)]
    data = np.concatenate([A.data[row][::-1] for row in rows])
    indices = np.concatenate([A.indices[row][::-1] for row in rows])
    return sp.csr_array((data, indices, A.indptr), A.shape)


def odd_chunks(n):
    """Chunks of sizes 1, 2, 3, ..., the last one what is left."""
    chunks = []
    while sum(chunks) < n:
        chunks.append(min(len(chunks) + 1, n - sum(chunks)))
    return tuple(chunks)


def in_dask(A):
    return da.from_array(A, chunks=(odd_chunks(len(A)), odd_chunks(len(A))[::-1]))


def _rows(start, stop, A):
    return A[start:stop]


SCIPY_FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")
FORMATS = {
    **{f"{f}_array": partial(lambda A, f: sp.csr_array(A).asformat(f), f=f) for f in SCIPY_FORMATS},
    **{f"{f}_matrix": getattr(sp, f"{f}_matrix") for f in SCIPY_FORMATS},
    "duplicates": with_duplicates,
    "unsorted": unsorted,
    "dense": np.asarray,
    "fortran": np.asfortranarray,
    "np.matrix": np.matrix,
    "list": lambda A: A.tolist(),
    "tuple": lambda A: tuple(map(tuple, A)),
    "dask": in_dask,
    "dask of sparse": lambda A: in_dask(A).map_blocks(sp.csr_array),
    "dask of csc_matrix": lambda A: in_dask(A).map_blocks(sp.csc_matrix),
    "factory": lambda A: from_blocks(partial(_rows, A=A), A.shape, max(1, len(A) // 3)),
    "sparse factory": lambda A: from_blocks(partial(_rows, A=sp.csr_array(A)), A.shape, 1),
}


def shared_matrix(name):
    """A matrix of the project's data folder; skips the test where there is none."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    path = Path(os.environ.get("DASKSOR_DATA", default)) / name
    if not path.exists():
        pytest.skip(f"{name} is not at hand: name its folder in DASKSOR_DATA")
    return read(path)

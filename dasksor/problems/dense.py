"""Full matrices of the seed kind."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.sparse import issparse

from dasksor.problems.building import positive, whole_or_blocks


def dense_spd(n: int, seed: int = 0, dominance: float = 0.1, nblocks: int | None = None) -> Any:
    """A dense symmetric M-matrix: ``a_ij`` random in (-1, 0), ``a_ii = (1 + m) sum_j |a_ij|``.

    ``a_ij`` is a hash (splitmix64) of the seed and the unordered pair ``{i, j}``, so any rows
    can be built without the others. The smaller ``m = dominance``, the harder: for large ``n`` a
    Gauss-Seidel sweep shrinks the error by about ``exp(-2 m)``.

    Parameters
    ----------
    n : int
        Number of unknowns, at least 2.
    seed : int
        Any integer of 64 bits.
    dominance : float
        ``m``, positive: the margin of strict diagonal dominance.
    nblocks : int, optional
        As in `poisson`.

    Returns
    -------
    numpy.ndarray or RowFactory
        Symmetric positive definite, shape ``(n, n)``.

    Raises
    ------
    ValueError
        `n` or `dominance` is too small.
    """
    if n < 2:
        raise ValueError(f"n must be at least 2, got {n}")
    m = positive("dominance", dominance)
    rows = partial(_dense_rows, n=int(n), seed=int(seed) % 2**64, dominance=m)
    return whole_or_blocks(rows, int(n), nblocks)


def seed_rhs(A: Any) -> tuple[np.ndarray, np.ndarray]:
    """The right-hand side ``b = A x*`` of the known solution ``x* = (1, 2, ..., n)``.

    Parameters
    ----------
    A : numpy.ndarray or scipy sparse array
        Shape ``(n, n)``.

    Returns
    -------
    b, x_star : numpy.ndarray
        Shape ``(n,)`` each.

    Raises
    ------
    TypeError
        `A` is of another kind, such as a row factory.
    """
    if not (isinstance(A, np.ndarray) or issparse(A)):
        raise TypeError(
            f"seed_rhs takes a NumPy or scipy sparse array, got {type(A).__name__}: "
            "leave nblocks out, or choose b yourself"
        )
    x_star = np.arange(1.0, A.shape[1] + 1.0)
    return A @ x_star, x_star


def _dense_rows(start: int, stop: int, n: int, seed: int, dominance: float) -> np.ndarray:
    key = _splitmix(_splitmix(np.array([seed], dtype=np.uint64)) + np.arange(n, dtype=np.uint64))
    rows = np.empty((stop - start, n))
    step = max(1, 2**17 // n)  # the hash makes ten passes, which should stay in the cache
    for first in range(start, stop, step):
        i = np.arange(first, min(first + step, stop))
        z = _splitmix(key[i, None] + key)
        z >>= np.uint64(12)
        part = rows[i[0] - start : i[-1] + 1 - start]
        np.add(z, 0.5, out=part)
        part *= -(2.0**-52)
        part[i - first, i] = 0.0
        part[i - first, i] = -(1.0 + dominance) * part.sum(axis=1)
    return rows


def _splitmix(z: np.ndarray) -> np.ndarray:
    """The output function of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), by element."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z

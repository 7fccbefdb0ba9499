"""Linear programs with known solutions."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array


def lp(
    m: int, n: int, per_row: int | None = None, seed: int = 0
) -> tuple[np.ndarray, csr_array, np.ndarray, np.ndarray]:
    """A random program ``min c'x, A x <= b, x >= 0`` whose solution is known.

    Entries of ``A`` are uniform in (-1, 1), at random places. Of ``x``, ``m // 2`` entries are
    positive, and as many rows hold with equality and have multipliers; what is left over of ``b``
    and of the reduced costs lies between 0.1 and 1.1. So ``x`` is optimal, and nothing else is
    unless the matrix of those rows and columns is singular, as may be where it has few entries.

    Parameters
    ----------
    m, n : int
        Rows and unknowns, ``1 <= m <= n``.
    per_row : int, optional
        Entries of each row, ``n`` by default.
    seed : int

    Returns
    -------
    c, A, b, x : numpy.ndarray, csr_array, numpy.ndarray, numpy.ndarray

    Raises
    ------
    ValueError
        Sizes out of range.
    """
    per_row = n if per_row is None else per_row
    if not (1 <= m <= n and 1 <= per_row <= n):
        raise ValueError(f"need 1 <= m <= n and 1 <= per_row <= n, got {m}, {n}, {per_row}")
    rng = np.random.default_rng(seed)
    places = [np.sort(rng.choice(n, per_row, replace=False)) for _ in range(m)]
    values = rng.uniform(-1.0, 1.0, m * per_row)
    A = csr_array((values, np.concatenate(places), np.arange(m + 1) * per_row), shape=(m, n))
    x, y = np.zeros(n), np.zeros(m)
    x[rng.choice(n, m // 2, replace=False)] = rng.uniform(0.1, 1.1, m // 2)
    y[rng.choice(m, m // 2, replace=False)] = rng.uniform(0.1, 1.1, m // 2)
    b = A @ x + np.where(y > 0.0, 0.0, rng.uniform(0.1, 1.1, m))
    c = np.where(x > 0.0, 0.0, rng.uniform(0.1, 1.1, n)) - A.T @ y
    return c, A, b, x

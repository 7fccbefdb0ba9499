"""Differential operators on grids."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from dasksor.problems.building import positive, whole_or_blocks


def poisson(shape: Sequence[int], points: int | None = None, nblocks: int | None = None) -> Any:
    """Minus the Laplacian on a grid with zero (Dirichlet) boundary, times the mesh width squared.

    Row ``p`` has ``points - 1`` on the diagonal and -1 for each neighbour inside the grid.

    Parameters
    ----------
    shape : sequence of int
        Interior points along 1, 2 or 3 axes; unknowns in C order, the last axis fastest.
    points : int, optional
        Stencil: 3 in one dimension, 5 (default) or 9 in two, 7 (default) or 27 in three.
    nblocks : int, optional
        Return ``from_blocks(rows, (n, n), nblocks)`` in place of the matrix.

    Returns
    -------
    csr_array or RowFactory
        Symmetric positive definite M-matrix of shape ``(n, n)``, ``n`` the product of `shape`.

    Raises
    ------
    ValueError
        `shape` or `points` is none of the above.
    """
    shape = _grid(shape, (1, 2, 3))
    star, box = 2 * len(shape) + 1, 3 ** len(shape)
    if points not in (None, star, box):
        raise ValueError(
            f"points must be {star} or {box} on a grid of {len(shape)} dimensions, got {points}"
        )
    offsets = [
        o
        for o in product((-1, 0, 1), repeat=len(shape))
        if points == box or np.count_nonzero(o) < 2
    ]
    weights = [-1.0 if any(o) else len(offsets) - 1.0 for o in offsets]
    return _on_grid(shape, offsets, weights, nblocks)


def anisotropic(shape: Sequence[int], epsilon: float = 0.01, nblocks: int | None = None) -> Any:
    """The operator ``-epsilon u_xx - u_yy`` on a 2-D grid with zero boundary, times ``h**2``.

    ``y`` runs along axis 0 (couplings -1), ``x`` along axis 1, the fastest (couplings -epsilon);
    the diagonal is ``2 + 2 epsilon``. The 5-point stencil.

    Parameters
    ----------
    shape : sequence of two int
        Interior points along ``y`` and ``x``.
    epsilon : float
        Strength of the coupling along ``x``, positive.
    nblocks : int, optional
        As in `poisson`.

    Returns
    -------
    csr_array or RowFactory
        Symmetric positive definite M-matrix, shape ``(n, n)``.

    Raises
    ------
    ValueError
        `shape` is not of two axes, or `epsilon` is not positive.
    """
    shape = _grid(shape, (2,))
    epsilon = positive("epsilon", epsilon)
    weights = [-1.0, -epsilon, 2.0 + 2.0 * epsilon, -epsilon, -1.0]
    return _on_grid(shape, _CROSS, weights, nblocks)


def convection_diffusion(
    shape: Sequence[int],
    velocity: tuple[float, float] = (20.0, 10.0),
    diffusion: float = 1.0,
    nblocks: int | None = None,
) -> Any:
    """The operator ``-d (u_yy + u_xx) + v . grad u`` on the unit square, first-order upwind.

    With ``h_k = 1 / (shape[k] + 1)`` and ``h = min h_k``, neighbours along axis ``k`` have
    ``-h**2 (d / h_k**2 + max(v_k, 0) / h_k)`` before and ``max(-v_k, 0)`` in its place after; the
    diagonal is minus the sum of the four. Zero boundary.

    Parameters
    ----------
    shape : sequence of two int
        Interior points along axis 0 (``y``) and axis 1 (``x``, the fastest).
    velocity : tuple of two float
        ``(v_0, v_1)``, finite, of any sign.
    diffusion : float
        ``d``, positive.
    nblocks : int, optional
        As in `poisson`.

    Returns
    -------
    csr_array or RowFactory
        Nonsymmetric M-matrix, shape ``(n, n)``.

    Raises
    ------
    ValueError
        A parameter is outside the above.
    """
    shape = _grid(shape, (2,))
    d = positive("diffusion", diffusion)
    v = np.asarray(velocity, dtype=np.float64)
    if v.shape != (2,) or not np.isfinite(v).all():
        raise ValueError(f"velocity must be two finite numbers, got {velocity}")
    h_k = 1.0 / (np.array(shape) + 1.0)
    scale = h_k.min() ** 2
    before = scale * (d / h_k**2 + np.maximum(v, 0.0) / h_k)
    after = scale * (d / h_k**2 + np.maximum(-v, 0.0) / h_k)
    diagonal = before.sum() + after.sum()
    weights = [-before[0], -before[1], diagonal, -after[1], -after[0]]
    return _on_grid(shape, _CROSS, [float(w) for w in weights], nblocks)


_CROSS = [(-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)]


def _grid(shape: Sequence[int], dimensions: tuple[int, ...]) -> tuple[int, ...]:
    if not isinstance(shape, (tuple, list)) or len(shape) not in dimensions or min(shape) < 1:
        axes = " or ".join(map(str, dimensions))
        raise ValueError(f"shape must be a tuple of {axes} positive lengths, got {shape}")
    return tuple(map(int, shape))


def _on_grid(
    shape: tuple[int, ...],
    offsets: Sequence[tuple[int, ...]],
    weights: Sequence[float],
    nblocks: int | None,
) -> Any:
    rows = partial(_stencil_rows, shape=shape, offsets=offsets, weights=weights)
    return whole_or_blocks(rows, int(np.prod(shape)), nblocks)


def _stencil_rows(
    start: int,
    stop: int,
    shape: tuple[int, ...],
    offsets: Sequence[tuple[int, ...]],
    weights: Sequence[float],
) -> csr_array:
    """Rows of a stencil; `offsets` in lexicographic order, which sorts the columns of each row."""
    n = int(np.prod(shape))
    index = np.int32 if max(2 * n, (stop - start) * len(offsets)) < 2**31 else np.int64
    p = np.arange(start, stop, dtype=index)
    inside = np.ones((p.size, len(offsets)), dtype=bool)
    columns: Any = np.repeat(p[:, None], len(offsets), axis=1)
    stride = n
    for axis, length in enumerate(shape):
        stride //= length
        place = p // stride % length
        for k, offset in enumerate(offsets):
            if offset[axis]:
                inside[:, k] &= place != (0 if offset[axis] < 0 else length - 1)
                columns[:, k] += offset[axis] * stride
    indptr = np.zeros(p.size + 1, dtype=index)
    np.cumsum(inside.sum(axis=1), out=indptr[1:])
    data = np.broadcast_to(np.array(weights), inside.shape)[inside]
    return csr_array((data, columns[inside], indptr), shape=(p.size, n))

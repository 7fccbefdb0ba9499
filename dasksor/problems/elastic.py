"""Plane elasticity on a grid of square elements."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array, csr_array

from dasksor.rows import narrowed


def elasticity(
    shape: Sequence[int], poisson_ratio: float = 0.3, free: bool = False
) -> tuple[csr_array, np.ndarray]:
    """The stiffness of a sheet in plane stress, held at one side, and its rigid body modes.

    Square bilinear elements, Young's modulus and thickness 1. The sheet is held at ``x = 0``, whose
    points are left out, unless it is `free`. Unknowns are the displacements of the others along
    ``x`` and ``y``, in turn, row after row. Source: Bathe, *Finite Element Procedures*, 1996,
    section 5.3.

    Parameters
    ----------
    shape : sequence of two int
        Elements along ``y`` and ``x``.
    poisson_ratio : float
        In (-1, 0.5).
    free : bool
        Whether it is held nowhere; the modes are the null space then.

    Returns
    -------
    A : csr_array
        Symmetric, shape ``(n, n)``, ``n = 2 (shape[0] + 1) shape[1]``; positive definite if held.
    modes : numpy.ndarray
        Shape ``(n, 3)``: two translations and the rotation, for `dasksor.solve`'s `nullspace`. Only
        rows next to the side that is held do not take them to zero.

    Raises
    ------
    ValueError
        A parameter is outside the above.
    """
    if not isinstance(shape, (tuple, list)) or len(shape) != 2 or min(shape) < 1:
        raise ValueError(f"shape must be a tuple of 2 positive lengths, got {shape}")
    if not -1.0 < poisson_ratio < 0.5:
        raise ValueError(f"poisson_ratio must lie in (-1, 0.5), got {poisson_ratio}")
    rows, columns = (int(length) + 1 for length in shape)
    point = np.arange(rows * columns).reshape(rows, columns)
    corners = [point[:-1, :-1], point[:-1, 1:], point[1:, :-1], point[1:, 1:]]
    element = np.stack([2 * corner.ravel() + axis for corner in corners for axis in (0, 1)], axis=1)
    i = np.repeat(element, 8, axis=1).ravel()
    j = np.tile(element, 8).ravel()
    values = np.tile(_stiffness(poisson_ratio).ravel(), len(element))
    A = csr_array(coo_array((values, (i, j)), shape=(2 * point.size, 2 * point.size)))
    # Symmetric to the last bit, whatever the order of the sums; zeros stay stored, so that both
    # displacements of a point couple to the same others.
    A.data = (A.data + csr_array(A.T).data) / 2.0
    y, x = np.divmod(point.ravel(), columns)
    modes = np.zeros((2 * point.size, 3))
    modes[0::2, 0] = modes[1::2, 1] = 1.0
    modes[0::2, 2], modes[1::2, 2] = -y, x
    kept = np.flatnonzero(np.repeat((x > 0) | free, 2))
    return narrowed(csr_array(A[kept][:, kept])), modes[kept]


def _stiffness(nu: float) -> np.ndarray:
    """Of one element, corners in the order (0, 0), (0, 1), (1, 0), (1, 1) of ``(y, x)``."""
    law = np.array([[1.0, nu, 0.0], [nu, 1.0, 0.0], [0.0, 0.0, (1.0 - nu) / 2.0]]) / (1.0 - nu**2)
    stiffness = np.zeros((8, 8))
    gauss = 0.5 + np.array([-0.5, 0.5]) / np.sqrt(3.0)
    for y in gauss:
        for x in gauss:
            strain = np.zeros((3, 8))
            strain[0, 0::2] = strain[2, 1::2] = [y - 1.0, 1.0 - y, -y, y]
            strain[1, 1::2] = strain[2, 0::2] = [x - 1.0, -x, 1.0 - x, x]
            stiffness += 0.25 * strain.T @ law @ strain
    return stiffness

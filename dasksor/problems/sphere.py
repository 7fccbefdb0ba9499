"""The Laplacian of the sphere on a masked latitude-longitude grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array

from dasksor.rows import narrowed


def sphere(latitude: Any, wet: Any) -> csr_array:
    """Minus the Laplacian of the sphere where `wet`, zero elsewhere and beyond both ends.

    The row of a point is its equation times ``(r dlon)^2 cos(lat_j)``, which makes it symmetric:
    ``1 / cos(lat_j)`` couples neighbours along a latitude, ``cos((lat_j + lat_j+1) / 2)
    (dlon / dlat)^2`` those along a longitude, by second-order differences of
    ``(1 / cos(lat)) d2/dlon2 + d/dlat (cos(lat) d/dlat)``. Unknowns are the wet points in C order.

    Parameters
    ----------
    latitude : array_like, shape (m,)
        Degrees, evenly spaced, inside (-90, 90).
    wet : array_like of bool, shape (m, k)
        Where the equation holds. Column ``i`` is longitude ``i 360 / k`` degrees, all around.

    Returns
    -------
    csr_array
        Symmetric positive definite M-matrix, shape ``(n, n)``, ``n`` the number of wet points.

    Raises
    ------
    ValueError
        Latitudes are not even or reach a pole, or `wet` is empty or of another shape.
    """
    degrees, wet = np.asarray(latitude, dtype=np.float64), np.asarray(wet, dtype=bool)
    if wet.ndim != 2 or degrees.shape != wet.shape[:1] or min(wet.shape) < 3 or not wet.any():
        raise ValueError(
            "wet must be true somewhere, and have a row of 3 or more longitudes for each of 3 or "
            f"more latitudes, got shape {wet.shape} for latitudes of shape {degrees.shape}"
        )
    steps = np.diff(degrees)
    if not np.allclose(steps, steps[0], rtol=1e-3) or not np.abs(degrees).max() < 90.0:
        raise ValueError(
            f"latitudes must be evenly spaced inside (-90, 90), got {degrees[0]} to "
            f"{degrees[-1]} in steps of {steps.min():g} to {steps.max():g}: leave the poles out"
        )
    step = (degrees[-1] - degrees[0]) / steps.size
    edges = degrees[0] + step * (np.arange(degrees.size + 1) - 0.5)
    along = 1.0 / np.cos(np.deg2rad(degrees))
    across = np.cos(np.deg2rad(edges)) * (360.0 / wet.shape[1] / step) ** 2
    diagonal = 2.0 * along + across[:-1] + across[1:]
    n = int(np.count_nonzero(wet))
    point = np.full(wet.shape, -1, dtype=np.int32 if n < 2**31 else np.int64)
    point[wet] = np.arange(n)
    lines = np.broadcast_to(np.arange(degrees.size)[:, None], wet.shape)
    upper = _couplings(n, point, np.roll(point, -1, axis=1), along[lines])
    upper = upper + _couplings(n, point[:-1], point[1:], across[1:][lines[:-1]])
    return narrowed(csr_array(diags_array(diagonal[lines[wet]]) - upper - upper.T))


def _couplings(n: int, first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> csr_array:
    both = (first >= 0) & (second >= 0)
    return csr_array(coo_array((weight[both], (first[both], second[both])), shape=(n, n)))

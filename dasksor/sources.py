"""Row-block factories: matrices that exist only where their rows are needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RowFactory:
    """A square matrix given by a function that builds any range of its rows.

    Attributes
    ----------
    function : callable
        ``function(start, stop)`` returns rows ``start, ..., stop - 1`` with all ``n`` columns, as
        a NumPy array or a scipy sparse array of shape ``(stop - start, n)``.
    shape : tuple of int
        ``(n, n)``.
    nblocks : int
        Into how many row blocks a solve cuts the matrix unless told otherwise.
    """

    function: Callable[[int, int], Any]
    shape: tuple[int, int]
    nblocks: int


def from_blocks(
    function: Callable[[int, int], Any], shape: tuple[int, int], nblocks: int
) -> RowFactory:
    """Describe a matrix by a function that builds its rows, so that workers can build it.

    Parameters
    ----------
    function : callable
        ``function(start, stop)`` returns rows ``start`` up to but not including ``stop``, all
        columns, dense or sparse, shape ``(stop - start, n)``. It is pickled and called on workers.
    shape : tuple of int
        ``(n, n)``.
    nblocks : int
        Number of row blocks, ``1 <= nblocks <= n``.

    Returns
    -------
    RowFactory
        Accepted as ``A`` wherever dasksor takes a matrix.

    Raises
    ------
    TypeError
        ``function`` cannot be called.
    ValueError
        ``shape`` is not square or ``nblocks`` lies outside ``1, ..., n``.
    """
    if not callable(function):
        raise TypeError(
            f"function must be callable as function(start, stop), got {type(function).__name__}"
        )
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 1:
        raise ValueError(f"shape must be (n, n) with n >= 1, got {tuple(shape)}")
    if not 1 <= nblocks <= shape[0]:
        raise ValueError(f"nblocks must lie in 1, ..., {shape[0]}, got {nblocks}")
    return RowFactory(function, (int(shape[0]), int(shape[1])), int(nblocks))

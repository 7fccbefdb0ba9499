"""How fast memory is read and copied, and what kernels reach of that."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np
from dask.sizeof import sizeof

from dasksor import problems
from dasksor.kernels.words import spin_barrier
from dasksor.rows import FORWARD, Rows, prepare_rows
from dasksor.study.contention import Job, lined, together


@numba.njit(nogil=True, fastmath=True, cache=True)
def read(values):
    total = 0.0
    for k in range(values.size):
        total += values[k]
    return total


@numba.njit(nogil=True, cache=True)
def copy(source, target):
    for k in range(source.size):
        target[k] = source[k]


@numba.njit(nogil=True, cache=True)
def scale_over(values, times):
    for _ in range(times):
        for k in range(values.size):
            values[k] *= 0.999


def reading(threads: int, nbytes: int) -> float:
    """Bytes a second that ``threads`` read together, each from ``nbytes`` of its own."""
    arrays = [np.ones(nbytes // 8) for _ in range(threads)]
    return threads * nbytes / _at_once(read, [(array,) for array in arrays])


def copying(threads: int, nbytes: int) -> float:
    """Bytes a second, read and written, that ``threads`` copy together."""
    pairs = [(np.ones(nbytes // 8), np.ones(nbytes // 8)) for _ in range(threads)]
    return 2 * threads * nbytes / _at_once(copy, pairs)


def _at_once(kernel: Any, arguments: Sequence[tuple[np.ndarray, ...]]) -> float:
    kernel(*arguments[0])

    def job(given: tuple[np.ndarray, ...]) -> Job:
        def run(gate: np.ndarray, parties: int) -> None:
            spin_barrier(gate, parties, 1)
            kernel(*given)

        return run

    return together([job(given) for given in arguments], 7)


def scaling(shift: int, times: int) -> float:
    """Bytes a second, read and written, of a short vector ``shift`` bytes off a cache line."""
    values = lined(2048, np.float64, shift)
    scale_over(values, 1)
    return 2 * values.nbytes * times / min(_timed(lambda: scale_over(values, times), 20))


def sweep_of_grid(side: int, rounds: int) -> tuple[float, float]:
    """Seconds of a forward sweep over the 5-point grid, and bytes a second."""
    return _sweep(prepare_rows(problems.poisson((side, side)), 0), rounds)


def sweep_of_dense(n: int, rounds: int) -> tuple[float, float]:
    """The same over a full matrix that is not symmetric: of one that is, half would be read."""
    A = problems.dense_spd(n)
    A[-1, 0] += 1.0
    return _sweep(prepare_rows(A, 0), rounds)


def _sweep(rows: Rows, rounds: int) -> tuple[float, float]:
    x, b = np.zeros((1, rows.size)), np.ones((1, rows.size))
    rows.sweep(x, b, 1.0, FORWARD)
    seconds = statistics.median(_timed(lambda: rows.sweep(x, b, 1.0, FORWARD), rounds))
    # The matrix and b are read, x is read and written.
    return seconds, (sizeof(rows) + 3 * x.nbytes) / seconds


def _timed(run: Callable[[], object], rounds: int) -> list[float]:
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        found.append(time.perf_counter() - began)
    return found

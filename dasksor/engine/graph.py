"""One sweep as a Dask array task graph: the graph is the data dependence of exact SOR.

The task of block ``p`` in a forward sweep depends on the new values of lower blocks and on the old
values of upper blocks, and on nothing else. Tasks of several sweeps in one graph therefore run as
a wavefront, without a barrier between sweeps.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dasksor.engine.outcome import Timings
from dasksor.partition import Partition
from dasksor.rows import FORWARD, Rows, norms, residual_norms

Graph = dict[Any, Any]


class Blocks(NamedTuple):
    """The blocks of a system as graph keys or futures, and how they hang together.

    Attributes
    ----------
    partition : Partition
    rows, rhs : list
        Prepared rows and right-hand sides of each block.
    reads : sequence of mapping
        ``reads[p][q]``: the range of block q's unknowns that block p reads, from q's first row.
    site : sequence
        Blocks of one site share memory: between them whole blocks are handed over, else slices.
    """

    partition: Partition
    rows: list[Any]
    rhs: list[Any]
    reads: Sequence[Mapping[int, slice]]
    site: Sequence[Any]


def add_sweep(
    graph: Graph,
    name: str,
    blocks: Blocks,
    x: Sequence[Any],
    omega: float,
    direction: int,
    ledger: str | None = None,
) -> list[Any]:
    """Add the tasks of one sweep from ``x`` (keys of the blocks) to ``graph``; return its keys."""
    order = range(blocks.partition.nblocks)
    new: dict[int, Any] = {}
    for p in order if direction == FORWARD else reversed(order):
        # What is not in `new` yet is still old when this block's turn comes: that is SOR.
        parts = _parts(graph, name, p, {**dict(enumerate(x)), **new}, blocks)
        new[p] = (name, 0, p)
        task = (
            sweep_block,
            blocks.rows[p],
            blocks.rhs[p],
            x[p],
            parts,
            omega,
            direction,
            p,
            ledger,
        )
        graph[new[p]] = task
    return [new[p] for p in order]


def add_residual(
    graph: Graph,
    name: str,
    blocks: Blocks,
    x: Sequence[Any],
    ledger: str | None = None,
) -> list[Any]:
    """Add one task for each block's exact part of the residual norm of ``x``."""
    result = []
    for p in range(blocks.partition.nblocks):
        parts = _parts(graph, name, p, dict(enumerate(x)), blocks)
        graph[name, 0, p] = (residual_block, blocks.rows[p], blocks.rhs[p], x[p], parts, p, ledger)
        result.append((name, 0, p))
    return result


def _parts(
    graph: Graph,
    name: str,
    p: int,
    x: Mapping[int, Any],
    blocks: Blocks,
) -> list[Any]:
    """``[[global number of the first value, key of the values], ...]`` for what ``p`` reads."""
    parts = []
    for q, part in blocks.reads[p].items():
        first, values = blocks.partition.bounds[q], x[q]
        if blocks.site[p] != blocks.site[q] and part.stop - part.start < blocks.partition.sizes[q]:
            # A task of its own, so that only these values travel, not the whole block.
            first, values = first + part.start, (f"{name}-slice", q, p)
            graph[values] = (_take, x[q], part.start, part.stop)
        parts.append([first, values])
    return parts


def _take(x: np.ndarray, start: int, stop: int) -> np.ndarray:
    return x[:, start:stop].copy()


def local_vector(rows: Rows, own: np.ndarray, parts: Sequence[tuple[int, np.ndarray]]) -> Any:
    """The local vector of a block, shape (nrhs, columns), from its own and others' values."""
    columns = rows.columns
    x = np.zeros((len(own), columns.size))
    x[:, rows.own : rows.own + rows.size] = own
    for first, values in parts:
        here = slice(*np.searchsorted(columns, (first, first + values.shape[1])))
        x[:, here] = values[:, columns[here] - first]
    return x


def sweep_block(
    rows: Rows,
    b: np.ndarray,
    own: np.ndarray,
    parts: Sequence[tuple[int, np.ndarray]],
    omega: float,
    direction: int,
    block: int = 0,
    ledger: str | None = None,
) -> np.ndarray:
    """One block's task in a sweep: its new values, shape (nrhs, size)."""
    with _entry(ledger, block, "compute"):
        x = local_vector(rows, own, parts)
        rows.sweep(x, b, omega, direction)
        return x[:, rows.own : rows.own + rows.size].copy()


def residual_block(
    rows: Rows,
    b: np.ndarray,
    own: np.ndarray,
    parts: Sequence[tuple[int, np.ndarray]],
    block: int = 0,
    ledger: str | None = None,
) -> np.ndarray:
    """One block's task in a test: norms of its residual and of its ``b``, shape (2, nrhs)."""
    with _entry(ledger, block, "tests"):
        residual = residual_norms(rows, local_vector(rows, own, parts), b)
        return np.stack([residual, norms(b)])


# What tasks spent, by run and block, in this process. A sweep's task returns its part of a Dask
# array and nothing else, so the seconds are kept here until the driver collects them.

_ledgers: dict[str, dict[int, Timings]] = {}
_ledger_lock = threading.Lock()


class _entry:  # noqa: N801
    def __init__(self, ledger: str | None, block: int, phase: str) -> None:
        self._ledger, self._block, self._phase = ledger, block, phase

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        if self._ledger is not None:
            seconds = time.perf_counter() - self._began
            with _ledger_lock:
                # A task that ends after its run finds the ledger closed.
                if self._ledger in _ledgers:
                    entry = _ledgers[self._ledger][self._block]
                    entry.add(Timings(**{self._phase: seconds}))


def open_ledger(ledger: str) -> None:
    """Let tasks of a run write down in this process what they spend."""
    with _ledger_lock:
        _ledgers.setdefault(ledger, defaultdict(Timings))


def read_ledger(ledger: str) -> dict[int, Timings]:
    """What the tasks of a run have spent in this process so far."""
    with _ledger_lock:
        return {p: replace(timings) for p, timings in _ledgers.get(ledger, {}).items()}


def close_ledger(ledger: str) -> dict[int, Timings]:
    """Give out, and forget, what the tasks of a run spent in this process."""
    with _ledger_lock:
        return dict(_ledgers.pop(ledger, {}))

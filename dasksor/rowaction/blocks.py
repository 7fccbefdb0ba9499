"""Blocks of rows that are swept at the same time, by threads of this process or Dask's workers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from dasksor.rowaction.rows import ActionRows, Terms


class Blocks:
    """Rows in contiguous blocks.

    One block in this process is swept where it is. Of several, each sweeps copies of ``z`` and of
    its part of ``u``; their changes are added up by `dasksor.rowaction.dual.Dual`, which knows how
    far to go.

    Parameters
    ----------
    rows : ActionRows or None
        All of them; None where this process has none, and products with them are left to workers.
    blocks : list
        The rows of each block, as they are or as futures of ``client``.
    sizes : list of int
        How many rows each has.
    client : distributed.Client, optional
        Whose workers sweep the blocks; threads of this process by default.
    """

    def __init__(
        self, rows: ActionRows | None, blocks: list[Any], sizes: list[int], client: Any = None
    ) -> None:
        self.rows = rows
        few = len(sizes) <= (1 if client is None else 0)
        self.alone = rows is not None and few
        ends = np.cumsum([0, *sizes]).tolist()
        self._parts = [slice(first, last) for first, last in pairwise(ends)]
        self._blocks, self._client = blocks, client
        threads = client is None and not self.alone
        self._threads: Any = ThreadPoolExecutor(len(sizes), "dasksor-rows") if threads else None

    @classmethod
    def of(cls, rows: ActionRows, count: int = 1, client: Any = None) -> Blocks:
        """Cut ``rows`` into ``count`` blocks of about equally many entries."""
        even = np.linspace(0, rows.indptr[-1] + rows.size, count + 1)
        cuts = np.searchsorted(rows.indptr + np.arange(rows.size + 1), even)
        cuts[0], cuts[-1] = 0, rows.size
        parts = [slice(int(a), int(b)) for a, b in pairwise(cuts) if a < b]
        blocks = [rows.slice(own) for own in parts]
        if blocks and client is not None:
            blocks = client.scatter(blocks, hash=False)
        return cls(rows, blocks, [own.stop - own.start for own in parts], client)

    def close(self) -> None:
        self._blocks = []
        if self._threads is not None:
            self._threads.shutdown()

    def times(self, x: np.ndarray) -> np.ndarray:
        """``A x``."""
        if self.rows is not None:
            return self.rows.times(x)
        return np.concatenate(self._each(ActionRows.times, [(x,) for _ in self._parts]))

    def transposed_times(self, u: np.ndarray) -> np.ndarray:
        """``A'u``."""
        if self.rows is not None:
            return self.rows.transposed_times(u)
        parts = [(u[own],) for own in self._parts]
        return np.sum(self._each(ActionRows.transposed_times, parts), axis=0)

    def changes(
        self, terms: Terms, omega: float, sweeps: int, z: np.ndarray, u: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The changes of ``u``, and their sum in ``A'u``, when each block sweeps on its own."""
        calls = [(terms.rows(own), omega, sweeps, z, u[own]) for own in self._parts]
        found = self._each(_swept, calls)
        step = np.concatenate([change for change, _ in found])
        return step, np.sum([image for _, image in found], axis=0)

    def _each(self, task: Callable, arguments: list[tuple]) -> list[Any]:
        """Do ``task`` for each block, with its arguments, at the same time."""
        threads = self._threads
        submit = partial(self._client.submit, pure=False) if threads is None else threads.submit
        futures = [
            submit(task, block, *rest) for block, rest in zip(self._blocks, arguments, strict=True)
        ]
        return [future.result() for future in futures]


def _swept(
    rows: ActionRows, terms: Terms, omega: float, sweeps: int, z: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The task of a block: the change of its part of ``u``, and what it is in ``A'u``."""
    z, new = z.copy(), u.copy()
    for _ in range(sweeps):
        rows.sweep(terms, omega, z, new)
    change = new - u
    return change, rows.transposed_times(change)

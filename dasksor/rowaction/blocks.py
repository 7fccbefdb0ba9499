"""Blocks of rows that are swept at the same time, by threads of this process or Dask's workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from dasksor.rowaction.rows import ActionRows, Terms


class Blocks:
    """Rows in contiguous blocks of about equally many entries.

    One block is swept where it is. Of several, each sweeps copies of ``z`` and of its part of
    ``u``; their changes are added up by `dasksor.rowaction.dual.Dual`, which knows how far to go.

    Parameters
    ----------
    client : distributed.Client, optional
        Whose workers keep the rows and sweep them; threads of this process by default.
    """

    def __init__(self, rows: ActionRows, count: int = 1, client: Any = None) -> None:
        even = np.linspace(0, rows.indptr[-1] + rows.size, count + 1)
        cuts = np.searchsorted(rows.indptr + np.arange(rows.size + 1), even)
        cuts[0], cuts[-1] = 0, rows.size
        self.rows = rows
        self.parts = [slice(int(a), int(b)) for a, b in pairwise(cuts) if a < b]
        self._client = client
        self._threads: Any = None
        self._blocks: list[Any] = []
        if self.alone:
            return
        self._blocks = [rows.slice(own) for own in self.parts]
        if client is None:
            self._threads = ThreadPoolExecutor(len(self.parts), "dasksor-rows")
        else:
            self._blocks = client.scatter(self._blocks, direct=False, hash=False)

    @property
    def alone(self) -> bool:
        return len(self.parts) <= 1 and self._client is None

    def close(self) -> None:
        self._blocks = []
        if self._threads is not None:
            self._threads.shutdown()

    def changes(
        self, terms: Terms, omega: float, sweeps: int, z: np.ndarray, u: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The changes of ``u``, and their sum in ``A'u``, when each block sweeps on its own."""
        in_threads = self._client is None
        submit = self._threads.submit if in_threads else partial(self._client.submit, pure=False)
        futures = [
            submit(_swept, block, terms.rows(own), omega, sweeps, z, u[own])
            for block, own in zip(self._blocks, self.parts, strict=True)
        ]
        found = [future.result() for future in futures]
        step = np.concatenate([change for change, _ in found])
        return step, np.sum([image for _, image in found], axis=0)


def _swept(
    rows: ActionRows, terms: Terms, omega: float, sweeps: int, z: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The task of a block: the change of its part of ``u``, and what it is in ``A'u``."""
    z, new = z.copy(), u.copy()
    for _ in range(sweeps):
        rows.sweep(terms, omega, z, new)
    change = new - u
    return change, rows.transposed_times(change)

"""Rows cut into contiguous blocks, and which unknowns the blocks exchange."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Partition:
    """Block ``p`` owns rows ``bounds[p], ..., bounds[p + 1] - 1``."""

    bounds: tuple[int, ...]

    @property
    def n(self) -> int:
        return self.bounds[-1]

    @property
    def nblocks(self) -> int:
        return len(self.bounds) - 1

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(stop - start for start, stop in self.ranges)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return list(zip(self.bounds[:-1], self.bounds[1:], strict=True))

    def shared_among(self, hosts: int) -> list[int]:
        """The host of each block: neighbouring blocks together, nearly as many for each."""
        return [p * hosts // self.nblocks for p in range(self.nblocks)]

    def shared_by_speed(self, work: Sequence[float], speeds: Sequence[float]) -> list[int]:
        """The host of each block: neighbours together, ``work`` in proportion to ``speeds``."""
        share = np.cumsum(speeds) / np.sum(speeds)
        middle = (np.cumsum(work) - 0.5 * np.asarray(work)) / np.sum(work)
        return np.minimum(np.searchsorted(share, middle), len(share) - 1).tolist()

    @classmethod
    def even(cls, n: int, nblocks: int) -> Partition:
        """Blocks whose sizes differ by one row at most."""
        return cls(tuple(int(i) for i in np.linspace(0, n, nblocks + 1).astype(np.int64)))

    @classmethod
    def balanced(
        cls, work: np.ndarray, nblocks: int, crossing: np.ndarray | None = None
    ) -> Partition:
        """Blocks of nearly equal ``work`` (one number per row), none of them empty.

        With ``crossing`` (see `crossings`) a cut moves, by a tenth of a block at most, to where
        the fewest entries of the matrix cross it: to the end of a grid line, say.
        """
        done = np.concatenate([[0], np.cumsum(work, dtype=np.float64)])
        cuts = np.searchsorted(done, np.linspace(0, done[-1], nblocks + 1)[1:-1])
        reach = len(work) // nblocks // 10
        bounds = [0]
        for p, cut in enumerate(cuts, start=1):
            if crossing is not None:
                cut = _fewest(crossing, int(cut), reach)
            bounds.append(int(np.clip(cut, bounds[-1] + 1, len(work) - nblocks + p)))
        return cls((*bounds, len(work)))

    def split(self, columns: np.ndarray) -> dict[int, np.ndarray]:
        """Sort ascending global ``columns`` by owner, numbered from the owner's first row."""
        cuts = np.searchsorted(columns, self.bounds)
        return {
            p: columns[cuts[p] : cuts[p + 1]] - self.bounds[p]
            for p in range(self.nblocks)
            if cuts[p] < cuts[p + 1]
        }


def crossings(indptr: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """How many entries of a CSR pattern couple rows on both sides of a cut before row 0, 1, ..."""
    n = len(indptr) - 1
    rows = np.repeat(np.arange(n), np.diff(indptr))
    begins = np.bincount(np.minimum(rows, indices) + 1, minlength=n + 1)
    ends = np.bincount(np.maximum(rows, indices) + 1, minlength=n + 1)
    return np.cumsum(begins - ends)


def _fewest(crossing: np.ndarray, cut: int, reach: int) -> int:
    """The cut within ``reach`` that the fewest entries cross; of equals the nearest."""
    near = np.arange(max(1, cut - reach), min(len(crossing) - 1, cut + reach + 1))
    if near.size == 0:
        return cut
    return int(near[np.lexsort((np.abs(near - cut), crossing[near]))[0]])


@dataclass(frozen=True)
class Exchange:
    """What one block sends to, and takes from, its neighbours.

    Two blocks are neighbours when either reads the other: the one that reads nothing still has to
    hear how far the other is, or it would overwrite values that are waiting to be read.

    Attributes
    ----------
    lower, upper : tuple of int
        Neighbours with smaller and with larger block numbers.
    gives : dict
        For each neighbour which own unknowns it reads, numbered from the block's first row.
    takes : dict
        For each neighbour the range in the local vector that its values fill.
    """

    lower: tuple[int, ...]
    upper: tuple[int, ...]
    gives: dict[int, slice | np.ndarray]
    takes: dict[int, slice]

    @property
    def neighbours(self) -> tuple[int, ...]:
        return self.lower + self.upper


def compact(index: np.ndarray) -> slice | np.ndarray:
    """A slice where the ascending ``index`` has no gap: views instead of copies, short pickles."""
    if index.size == 0:
        return slice(0, 0)
    if index[-1] - index[0] + 1 == index.size:
        return slice(int(index[0]), int(index[-1]) + 1)
    return index.astype(np.int32 if index[-1] < 2**31 else np.int64)


def hull(index: slice | np.ndarray) -> slice:
    """The shortest slice that covers the ascending ``index``."""
    return index if isinstance(index, slice) else slice(int(index[0]), int(index[-1]) + 1)


def exchanges(needs: Sequence[dict[int, slice | np.ndarray]]) -> list[Exchange]:
    """Match what every block needs with what every block gives.

    Parameters
    ----------
    needs : sequence of dict
        ``needs[p][q]``: the unknowns of block ``q`` that stand in block ``p``'s local vector,
        numbered from the first row of ``q``, in the order of the local vector; also for ``q = p``.
    """
    result = []
    for p, need in enumerate(needs):
        readers = {q for q, other in enumerate(needs) if p in other}
        neighbours = sorted((readers | set(need)) - {p})
        takes, position = {}, 0
        for q in sorted(need):
            count = _length(need[q])
            takes[q] = slice(position, position + count)
            position += count
        result.append(
            Exchange(
                lower=tuple(q for q in neighbours if q < p),
                upper=tuple(q for q in neighbours if q > p),
                gives={q: needs[q].get(p, slice(0, 0)) for q in neighbours},
                takes={q: takes.get(q, slice(0, 0)) for q in neighbours},
            )
        )
    return result


def _length(index: slice | np.ndarray) -> int:
    return index.stop - index.start if isinstance(index, slice) else index.size

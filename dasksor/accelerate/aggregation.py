"""Which aggregates make the coarse space: small ones deflate more, and cost more to factorise."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from dasksor.coarse import Factors
from dasksor.kernels.matching import contracted, pairs

# A coarse space of so few unknowns is too coarse to go on from.
FEWEST = 50
# Factorisations of this size are quick; that of finer ones is predicted from them.
QUICK = 4_000
# Matchings that do not halve the unknowns, or nearly, have come to an end.
STALLED = 0.8


class Level(NamedTuple):
    """Aggregates of those of the level before: ``pair`` of each, and the matrix between them."""

    pair: np.ndarray
    matrix: sp.csr_array

    @property
    def size(self) -> int:
        return self.matrix.shape[0]


def levels_of(matrix: sp.csr_array, first: int, last: int) -> list[Level]:
    """Match rows ``first, ..., last - 1`` in pairs, the pairs in pairs, and so on."""
    levels: list[Level] = []
    size = last - first
    while size > FEWEST:
        arrays = (matrix.indptr, matrix.indices, matrix.data)
        pair, count = pairs(*arrays, first, last)
        if count > STALLED * size:
            break
        ptr, idx, val = contracted(*arrays, pair, count, first, last)
        matrix = sp.csr_array((val, idx, ptr), shape=(count, count))
        first, last, size = 0, count, count
        levels.append(Level(pair, matrix))
    return levels


def finest_within(levels: Sequence[Level], budget: float) -> int:
    """The number of the finest level whose factors have at most ``budget`` entries, or -1."""
    chosen, before, growth = -1, 0.0, 2.5
    for number in range(len(levels) - 1, 0, -1):
        if levels[number].size <= QUICK:
            fill = float(Factors(levels[number].matrix).nnz)
            growth = max(2.0, fill / before) if before else growth
        else:
            fill = growth * before
        if fill > budget:
            break
        chosen, before = number, fill
    return chosen


def groups_at(levels: Sequence[Level], number: int) -> np.ndarray:
    """The aggregate of each row at level ``number``."""
    maps = [level.pair for level in levels[: number + 1]]
    return reduce(lambda coarse, fine: coarse[fine], reversed(maps))

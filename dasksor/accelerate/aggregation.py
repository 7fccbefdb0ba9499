"""Which aggregates make the coarse space: small ones deflate more, and cost more to factorise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from dasksor.coarse import Factors
from dasksor.kernels.matching import contracted, pairs

# A coarse space of so few unknowns is too coarse to go on from.
FEWEST = 50
# Factorisations of this size are quick; the fill of finer ones is predicted from them.
QUICK = 1_000
LEAST_GROWTH = 1.5
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
    """The number of the finest level whose factors have at most ``budget`` entries, or -1.

    Two levels are factorised; from one to the next of the others the entries grow alike.
    """
    if not levels:
        return -1
    last = len(levels) - 1
    known = next((k for k, level in enumerate(levels) if level.size <= QUICK), last)
    fill = Factors(levels[known].matrix).nnz
    growth = LEAST_GROWTH
    if known < last:
        growth = max(growth, fill / Factors(levels[known + 1].matrix).nnz)
    finer = math.floor(math.log(budget / fill) / math.log(growth))
    number = max(0, known - finer)
    return number if number <= last else -1


def groups_at(levels: Sequence[Level], number: int) -> np.ndarray:
    """The aggregate of each row at level ``number``."""
    maps = [level.pair for level in levels[: number + 1]]
    return reduce(lambda coarse, fine: coarse[fine], reversed(maps))

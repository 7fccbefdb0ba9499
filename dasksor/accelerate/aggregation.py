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
QUICK = 4_000
# From one level to the next fill grows unevenly; over so many it says more.
SPAN = 3
LEAST_GROWTH = 1.5
# Graphs in which many have one neighbour only, and so join a pair, are nearly trees, as power grids
# are: if factors grow by no higher power of the unknowns than this, they stay cheap down to the
# finest level, where iterations are few, and may have so many times the entries.
JOINED, NEARLY_LINEAR, LOOSER = 2.2, 1.2, 12.0
# Matchings that join fewer of the rows that are coupled to others have come to an end.
LEAST_PAIRED = 0.2


class Level(NamedTuple):
    """Aggregates of those of the level before: ``pair`` of each, and the matrix between them."""

    pair: np.ndarray
    matrix: sp.csr_array

    @property
    def size(self) -> int:
        return self.matrix.shape[0]


def levels_of(matrix: sp.csr_array, first: int, last: int) -> list[Level]:
    """Match rows ``first, ..., last - 1`` in pairs, the pairs in pairs, and so on.

    Rows without couplings are in no aggregate: sweeps solve for them.
    """
    levels: list[Level] = []
    inside = coupled_rows(matrix)[first:last]
    size = np.count_nonzero(inside)
    while size > FEWEST:
        arrays = (matrix.indptr, matrix.indices, matrix.data)
        pair, count = pairs(*arrays, first, last)
        if not levels:
            pair, count = _without(~inside, pair, count)
        coupled = np.count_nonzero(coupled_rows(matrix)[first:last])
        if size - count <= LEAST_PAIRED * coupled:
            break
        ptr, idx, val = contracted(*arrays, pair, count, first, last)
        matrix = sp.csr_array((val, idx, ptr), shape=(count, count))
        first, last, size = 0, count, count
        levels.append(Level(pair, matrix))
    return levels


def levels_of_nodes(matrix: sp.csr_array, first: int, last: int) -> list[Level]:
    """The same of nodes: rows that store the same columns, as displacements of one point do.

    The strength between nodes is the Frobenius norm of what couples them, since signs say nothing.
    """
    block = sp.csr_array(matrix[first:last, first:last])
    # Sums of random integers, whatever wraps around, tell patterns apart.
    ones = np.ones(block.nnz, np.uint64)
    pattern = sp.csr_array((ones, block.indices, block.indptr), shape=block.shape)
    marks = pattern @ np.random.default_rng(0).integers(2**63, size=last - first, dtype=np.uint64)
    _, lowest, node = np.unique(marks, return_index=True, return_inverse=True)
    # In the order of their lowest rows.
    node = np.argsort(np.argsort(lowest))[node]
    members = sp.csr_array((np.ones(node.size), (node, np.arange(node.size))))
    strength = sp.csr_array(members @ block.power(2) @ members.T)
    strength.data = -np.sqrt(strength.data)
    strength.setdiag(0.0)
    strength.setdiag(-strength.sum(axis=1))
    levels = levels_of(strength, 0, strength.shape[0])
    return [level._replace(pair=level.pair[node]) for level in levels[:1]] + levels[1:]


def coupled_rows(matrix: sp.csr_array) -> np.ndarray:
    """Which rows have more than their diagonal entry."""
    return np.diff(matrix.indptr) > 1


def _without(left_out: np.ndarray, pair: np.ndarray, count: int) -> tuple[np.ndarray, int]:
    """The pairs of the other rows, numbered anew; -1 for those left out."""
    used = np.bincount(pair[~left_out], minlength=count) > 0
    number = np.cumsum(used, dtype=np.int32) - 1
    return np.where(left_out, -1, number[pair]).astype(np.int32), int(used.sum())


def finest_within(levels: Sequence[Level], budget: float) -> int:
    """The number of the finest level whose factors have at most ``budget`` entries, or -1.

    Two levels are factorised; from one to the next of the others the entries grow alike. Of a graph
    that is nearly a tree `LOOSER` times the ``budget`` is allowed.
    """
    if not levels:
        return -1
    last = len(levels) - 1
    known = next((k for k, level in enumerate(levels) if level.size <= QUICK), last)
    coarser = min(last, known + SPAN)
    fill, growth = Factors(levels[known].matrix).nnz, LEAST_GROWTH
    if coarser > known:
        ratio = fill / Factors(levels[coarser].matrix).nnz
        growth = max(growth, ratio ** (1.0 / (coarser - known)))
        is_linear = ratio <= (levels[known].size / levels[coarser].size) ** NEARLY_LINEAR
        if is_linear and np.count_nonzero(levels[0].pair >= 0) > JOINED * levels[0].size:
            budget *= LOOSER
    finer = math.floor(math.log(budget / fill) / math.log(growth))
    number = max(0, known - finer)
    return number if number <= last else -1


def groups_at(levels: Sequence[Level], number: int) -> np.ndarray:
    """The aggregate of each row at level ``number``; -1 for rows that are in none."""
    maps = [level.pair for level in levels[: number + 1]]
    group = reduce(lambda coarse, fine: coarse[fine], reversed(maps))
    return np.where(levels[0].pair < 0, -1, group)

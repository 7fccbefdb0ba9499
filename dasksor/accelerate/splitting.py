"""A symmetric matrix made ready for SSOR-preconditioned conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from dasksor.accelerate.aggregation import levels_of
from dasksor.accelerate.deflation import Deflation, deflation_of
from dasksor.accelerate.team import Team
from dasksor.accelerate.triangles import NO_ENTRIES, DenseTriangles, Entries, Triangles, split
from dasksor.kernels import dense, vectors
from dasksor.partition import Partition

T = TypeVar("T")


class SplitBlock(NamedTuple):
    """The rows of one block: triangles, entries in other blocks, and rows of ``W``."""

    triangles: Triangles
    couplings: Entries
    image: Entries


@dataclass(frozen=True)
class Part:
    """The blocks of one member of a team: rows ``first, ..., last - 1``."""

    first: int
    last: int
    blocks: list[SplitBlock]

    @property
    def own(self) -> slice:
        return slice(self.first, self.last)


@dataclass(frozen=True)
class Splitting:
    """See `dasksor.accelerate.gradients`; everything that does not depend on a right-hand side.

    Attributes
    ----------
    scale : ndarray, shape (n,)
        The diagonal of ``S = (omega D^-1)^(1/2)``.
    weight : ndarray, shape (n,)
        Its inverse: the residual of ``A`` is ``weight`` times that of ``B``.
    parts : list of Part
        One for each member of the team.
    """

    matrix: sp.csr_array | np.ndarray
    omega: float
    team: Team
    partition: Partition
    scale: np.ndarray
    weight: np.ndarray
    parts: list[Part]
    deflation: Deflation | None

    @property
    def tau(self) -> float:
        return 2.0 - self.omega

    def residual(self, member: int, b: np.ndarray, x: np.ndarray, r: np.ndarray) -> None:
        """Write the rows of ``b - A x`` of one member's part into ``r``."""
        matrix, part = self.matrix, self.parts[member]
        if isinstance(matrix, np.ndarray):
            dense.residual(matrix, b[None], x[None], 0, r[None])
        else:
            arrays = (matrix.indptr, matrix.indices, matrix.data)
            vectors.residual(*arrays, part.first, part.last, b, x, r)


def prepare_splitting(
    matrix: sp.csr_array | np.ndarray,
    omega: float,
    team: Team,
    nblocks: int,
    *,
    deflated: bool = True,
    nullvector: np.ndarray | None = None,
) -> Splitting:
    """Split ``matrix``, symmetric with a positive diagonal, into blocks for a team.

    ``deflated`` asks for a coarse space, cut from ``nullvector``, which is nearly in the null space
    of ``A``; constant by default. A dense matrix is one block for one member, and has none.
    """
    n = matrix.shape[0]
    if isinstance(matrix, np.ndarray):
        return _dense_splitting(matrix, omega, team)
    partition = Partition.balanced(np.diff(matrix.indptr) + 1, nblocks)
    ranges = partition.ranges
    scale = np.sqrt(omega / matrix.diagonal().astype(np.float64))
    shares = [share.tolist() for share in np.array_split(np.arange(nblocks), team.size)]

    def on_team(work: Callable[[int], T]) -> list[T]:
        """What ``work`` makes of each block, by the member that has it."""
        done = team.run(lambda member: [work(p) for p in shares[member]])
        return [result for own in done for result in own]

    deflation = None
    if deflated:
        vector = np.ones(n) if nullvector is None else nullvector
        # The matrices of all levels together are as large as A, and end here.
        deflation = deflation_of(
            matrix, scale, vector, on_team(lambda p: levels_of(matrix, *ranges[p])), ranges, on_team
        )
    images = deflation.images if deflation else [NO_ENTRIES] * nblocks

    def block_of(p: int) -> SplitBlock:
        return SplitBlock(*split(matrix, scale, scale, *ranges[p], symmetric=True), images[p])

    blocks = on_team(block_of)
    parts = [
        Part(ranges[own[0]][0], ranges[own[-1]][1], [blocks[p] for p in own]) for own in shares
    ]
    return Splitting(matrix, omega, team, partition, scale, 1.0 / scale, parts, deflation)


def _dense_splitting(matrix: np.ndarray, omega: float, team: Team) -> Splitting:
    n, matrix = len(matrix), np.ascontiguousarray(matrix)
    diagonal = matrix.diagonal().astype(np.float64)
    scale = np.sqrt(omega / diagonal)
    values = matrix.astype(np.float64, copy=False)
    if omega != 1.0:
        values = values.copy()
        np.fill_diagonal(values, diagonal / omega)
    block = SplitBlock(DenseTriangles(values, 1.0 / scale), NO_ENTRIES, NO_ENTRIES)
    parts = [Part(0, n, [block])]
    return Splitting(matrix, omega, team, Partition((0, n)), scale, 1.0 / scale, parts, None)

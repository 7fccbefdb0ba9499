"""A symmetric matrix made ready for SSOR-preconditioned conjugate gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sp

from dasksor.accelerate.deflation import Deflation, deflation_of
from dasksor.accelerate.team import Team
from dasksor.accelerate.triangles import NO_ENTRIES, DenseTriangles, Entries, Triangles, split
from dasksor.kernels import dense, faces, vectors
from dasksor.partition import Partition

T = TypeVar("T")


class SplitBlock(NamedTuple):
    """The rows of one block: triangles, entries in other blocks, and rows of ``W``."""

    triangles: Triangles
    couplings: Entries
    image: Entries

    def restricted(self, free: np.ndarray, image: Entries) -> SplitBlock:
        """See `Splitting.restricted`; ``image`` has the rows of ``W`` there."""
        rows, ptr, columns, values = self.couplings
        kept = np.empty_like(values)
        faces.listed(rows, ptr, values, free, kept)
        return SplitBlock(self.triangles.restricted(free), (rows, ptr, columns, kept), image)


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

    def restricted(self, free: np.ndarray, before: Splitting | None = None) -> Splitting:
        """The splitting of the rows and columns of the ``free`` unknowns, the others' the identity.

        Vectors stay as long, and zero where they are not free. `matrix` is still the whole one.
        ``before`` is what was made for other free unknowns.
        """
        if free.all():
            return self
        earlier = before.deflation if before else None
        space = self.deflation and self.deflation.restricted(free, earlier)
        images = iter(space.images if space else [NO_ENTRIES] * self.partition.nblocks)
        own = [[(block, next(images)) for block in part.blocks] for part in self.parts]

        def part_of(member: int) -> Part:
            blocks = [block.restricted(free, image) for block, image in own[member]]
            return replace(self.parts[member], blocks=blocks)

        return replace(self, parts=self.team.run(part_of), deflation=space)


def prepare_splitting(
    matrix: sp.csr_array | np.ndarray,
    omega: float,
    team: Team,
    nblocks: int,
    *,
    deflated: bool = True,
    nullspace: np.ndarray | None = None,
) -> Splitting:
    """Split ``matrix``, symmetric with a positive diagonal, into blocks for a team.

    ``deflated`` asks for a coarse space, cut from the rows of ``nullspace``, nearly in the null
    space of ``A``; a constant by default. A dense matrix is one block for one member, and has none.
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
        vectors = np.ones((1, n)) if nullspace is None else nullspace
        deflation = deflation_of(matrix, scale, vectors, ranges, on_team)
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

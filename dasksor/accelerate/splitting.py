"""A symmetric matrix made ready for SSOR-preconditioned conjugate gradients."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from dasksor.accelerate.aggregation import levels_of
from dasksor.accelerate.deflation import Deflation, deflation_of
from dasksor.accelerate.team import Team
from dasksor.accelerate.triangles import NO_ENTRIES, DenseTriangles, Entries, Triangles, split
from dasksor.kernels import dense, vectors
from dasksor.partition import Partition


@dataclass(frozen=True)
class Part:
    """The blocks of one member of a team: rows ``first, ..., last - 1``.

    ``couplings`` are the entries of the scaled matrix between different blocks.
    """

    first: int
    last: int
    triangles: list[Triangles]
    couplings: Entries

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
            dense.residual(matrix, b, x, 0, r)
        else:
            arrays = (matrix.indptr, matrix.indices, matrix.data)
            vectors.residual(*arrays, part.first, part.last, b, x, r)


def prepare_splitting(
    matrix: sp.csr_array | np.ndarray,
    omega: float,
    team: Team,
    nblocks: int,
    nullvector: np.ndarray | None = None,
) -> Splitting:
    """Split ``matrix``, symmetric with a positive diagonal, into blocks for a team.

    ``nullvector`` is nearly in the null space of ``A``; constant by default. A dense matrix is one
    block for one member, and has no coarse space.
    """
    n = matrix.shape[0]
    if isinstance(matrix, np.ndarray):
        return _dense_splitting(matrix, omega, team)
    partition = Partition.balanced(np.diff(matrix.indptr) + 1, nblocks)
    scale = np.sqrt(omega / matrix.diagonal().astype(np.float64))
    shares = [share.tolist() for share in np.array_split(np.arange(nblocks), team.size)]

    def part_of(member: int) -> Part:
        ranges = [partition.ranges[p] for p in shares[member]]
        made = [split(matrix, scale, scale, *rows, symmetric=True) for rows in ranges]
        far = [entries for _, entries in made]
        couplings = tuple(np.concatenate(column) for column in zip(*far, strict=True))
        return Part(ranges[0][0], ranges[-1][1], [t for t, _ in made], couplings)  # type: ignore[arg-type]

    parts = team.run(part_of)
    levels = team.run(lambda m: [levels_of(matrix, *partition.ranges[p]) for p in shares[m]])
    vector = np.ones(n) if nullvector is None else nullvector
    flat = [own for share in levels for own in share]
    deflation = deflation_of(matrix, scale, vector, flat, [(p.first, p.last) for p in parts], team)
    return Splitting(matrix, omega, team, partition, scale, 1.0 / scale, parts, deflation)


def _dense_splitting(matrix: np.ndarray, omega: float, team: Team) -> Splitting:
    n = len(matrix)
    scale = np.sqrt(omega / matrix.diagonal().astype(np.float64))
    scaled = matrix * scale
    scaled *= scale[:, None]
    part = Part(0, n, [DenseTriangles(scaled)], NO_ENTRIES)
    return Splitting(matrix, omega, team, Partition((0, n)), scale, 1.0 / scale, [part], None)

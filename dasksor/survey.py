"""What a matrix promises to SOR: the facts behind ``dasksor info``."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dasksor import omega as relaxation
from dasksor.analysis import is_symmetric, jacobi_bound, row_facts, worst
from dasksor.choices import acceleration_here, available_cores, choose_blocks, choose_mode
from dasksor.options import Options
from dasksor.rows import prepare_rows
from dasksor.system import LinearSystem


@dataclass(frozen=True)
class Survey:
    """Facts about ``A``; those that need a diagonal without zeros are None where there are zeros.

    Attributes
    ----------
    n, entries : int
        Rows, and stored entries.
    symmetric : bool
        Up to rounding.
    zeros, negatives : int
        Zero and negative diagonal entries.
    dominance : float
        ``max_i sum_{j != i} |a_ij| / |a_ii|``; below 1: strictly diagonally dominant.
    jacobi_bound : float
        A bound on ``rho(|I - D^-1 A|)``; below 1: an H-matrix.
    blocks : int
        Row blocks of an asynchronous solve here, unless it is told otherwise.
    coupling : float
        `dominance` over columns of other blocks only.
    suggestion : tuple
        The mode that `dasksor.solve` would choose without a client, and why.
    """

    n: int
    entries: int
    symmetric: bool
    zeros: int
    negatives: int
    dominance: float | None
    jacobi_bound: float | None
    blocks: int | None
    coupling: float | None
    suggestion: tuple[str | None, str]

    @property
    def is_h_matrix(self) -> bool:
        return self.jacobi_bound is not None and self.jacobi_bound < 1.0

    @property
    def asynchronous_limit(self) -> float | None:
        """Every schedule converges for omega below this; None where nothing is proven."""
        return relaxation.asynchronous_limit(self.jacobi_bound) if self.is_h_matrix else None  # type: ignore[arg-type]

    @property
    def block_limit(self) -> float | None:
        """Block-parallel sweeps converge below this, if A is symmetric positive definite."""
        spd_possible = self.symmetric and not self.zeros and not self.negatives
        return relaxation.block_limit(self.coupling) if spd_possible else None  # type: ignore[arg-type]

    @property
    def convergence(self) -> str:
        """What theory says of SOR on this matrix."""
        if self.zeros:
            return "SOR needs a nonzero diagonal: reorder the rows or use another method"
        if self.is_h_matrix:
            return f"proven for every staleness, omega below {self.asynchronous_limit:.6g}"
        if not self.symmetric:
            return "no proof applies: watch the residual"
        if self.negatives:
            return "not positive definite: expect divergence"
        return "staleness 0: proven for every omega in (0, 2) if A is positive definite; else none"

    def to_dict(self) -> dict[str, Any]:
        """Everything, in plain types that json can write."""
        facts = asdict(self)
        mode, reason = facts.pop("suggestion")
        return facts | {
            "h_matrix": self.is_h_matrix,
            "asynchronous_limit": self.asynchronous_limit,
            "block_limit": self.block_limit,
            "convergence": self.convergence,
            "suggested_mode": mode,
            "reason": reason,
        }


def survey(A: Any, nblocks: int | None = None) -> Survey:
    """Look over a NumPy or scipy sparse matrix.

    Raises
    ------
    TypeError, ValueError
        As `dasksor.solve`, except that zeros on the diagonal are counted, not refused.
    """
    n = A.shape[0]
    diagonal = A.diagonal()
    zeros = np.count_nonzero(diagonal == 0) if A.shape[0] == A.shape[1] else 0
    dominance = bound = coupling = None
    suggestion: tuple[str | None, str] = (None, "SOR needs a nonzero diagonal")
    if not zeros:
        system = LinearSystem.of(A, np.zeros(n))
        nblocks = nblocks or choose_blocks(system, "async", available_cores())
        partition = system.partition(nblocks)
        dominance, coupling = worst(
            [row_facts(prepare_rows(system.rows(i, j), i), partition) for i, j in partition.ranges]
        )
        bound = jacobi_bound(A)
        accelerate = acceleration_here(Options.checked(n), system)
        suggestion = choose_mode("auto", system, has_client=False, accelerate=accelerate)
    return Survey(
        n=n,
        entries=int(A.size),
        symmetric=is_symmetric(A),
        zeros=int(zeros),
        negatives=int(np.count_nonzero(diagonal < 0)),
        dominance=dominance,
        jacobi_bound=bound,
        blocks=nblocks,
        coupling=coupling,
        suggestion=suggestion,
    )

"""Rows in a better order, where those of a matrix are numbered without regard to its couplings.

In reverse Cuthill-McKee order (Cuthill and McKee 1969; George 1971) coupled rows have numbers near
each other: substitutions find in cache what they read, blocks are pieces of the graph, and SSOR
needs fewer iterations. Plain sweeps keep the order they are given, which is part of what SOR is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import reverse_cuthill_mckee

from dasksor.engine.course import Course
from dasksor.engine.outcome import Outcome
from dasksor.kernels.orders import jumps, widest_level
from dasksor.rows import canonical_csr, narrowed

Driver = Callable[[np.ndarray, np.ndarray, Course], Outcome]
# A vector of fewer rows stays in the 2 MB that a core has its own, in any order: scattered grids
# gain there too, but meshes on one thread lose what the new order costs.
FEWEST = 250_000
# Rows are looked at for jumps, so many of them.
LOOKED_AT = 1_000
# Between a row and the next each of m entries jumps by 0.3 n / m to 0.8 n / m where numbers are
# random, by less than 0.01 n / m on grids and on meshes in a numbering that follows them.
SCATTERED = 0.1
# Levels that hold so much of a graph show that it has no order in which coupled rows are near.
WIDE = 0.1


def better_order(matrix: sp.csr_array, *, symmetric: bool) -> np.ndarray | None:
    """The rows in a better order, or None where that of the matrix is good, or none is."""
    n = matrix.shape[0]
    if n < FEWEST:
        return None
    pattern = matrix.indptr, matrix.indices
    jump = jumps(*pattern, max(1, n // LOOKED_AT))
    if jump * matrix.nnz < SCATTERED * n**2 or widest_level(*pattern, n // 2, n // 4) > WIDE * n:
        return None
    return reverse_cuthill_mckee(narrowed(sp.csr_array(matrix)), symmetric_mode=symmetric)


def permuted(matrix: sp.csr_array, order: np.ndarray) -> sp.csr_array:
    """Rows and columns of ``matrix`` in another order."""
    return canonical_csr(matrix[order][:, order])


def in_order(run: Driver, order: np.ndarray) -> Driver:
    """A driver for vectors as they are, of one for vectors in ``order``.

    The residual of what it returns was measured in ``order``: by the same terms, in other sums.
    """

    def drive(rhs: np.ndarray, start: np.ndarray, course: Course) -> Outcome:
        outcome = run(rhs[:, order], start[:, order], course)
        x = np.empty_like(outcome.x)
        x[:, order] = outcome.x
        outcome.x = x
        return outcome

    return drive

"""Where SSOR alone is enough: grids of few lines, recognised by their few diagonals."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from dasksor.kernels.bands import MOST, offsets_below

# Fitted to Poisson's equation in two and three dimensions, 40 to 200 lines, one and two blocks, to
# 1e-8: with L lines the best omega is 2 / (1 + LAG / L), and ITERATIONS sqrt(L) are made.
LAG, ITERATIONS = 5.3, 4.1
# What each doubling of the blocks adds to them.
LAG_OF_BLOCKS, ITERATIONS_OF_BLOCKS = 0.5, 0.65
# A coarse space, which brings them down to about 35, costs as much as this many.
FEW = 100.0


class Forecast(NamedTuple):
    """What conjugate gradients without a coarse space can be expected to take."""

    omega: float
    iterations: float

    def patience(self, rtol: float) -> int:
        """After so many iterations the expectation was wrong."""
        return 10 + int(1.5 * self.iterations * math.log(1.0 / rtol) / math.log(1e8))


def forecast(matrix: sp.csr_array | np.ndarray, nblocks: int) -> Forecast | None:
    """The expectation for a grid; None where it is not one, or a coarse space will pay."""
    n = matrix.shape[0]
    if isinstance(matrix, np.ndarray):
        return None
    offsets = offsets_below(matrix.indptr, matrix.indices, 0, n)
    if offsets.size > MOST or offsets.size == 0:
        return None
    lines, doublings = n / float(offsets.max()), math.log2(nblocks)
    iterations = ITERATIONS * math.sqrt(lines) * (1.0 + ITERATIONS_OF_BLOCKS * doublings)
    if iterations > FEW:
        return None
    omega = 2.0 / (1.0 + LAG * (1.0 + LAG_OF_BLOCKS * doublings) / lines)
    return Forecast(round(max(1.0, omega), 3), iterations)

"""What solves in this process need of a matrix, each made once, when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from dasksor.accelerate.grids import Forecast, forecast
from dasksor.accelerate.guess import Guess
from dasksor.accelerate.splitting import Splitting, prepare_splitting
from dasksor.accelerate.ssor import Ssor, prepare_ssor
from dasksor.accelerate.team import Team
from dasksor.analysis import RowFacts, row_facts, suits_gradients
from dasksor.choices import available_cores
from dasksor.options import AUTO, DEFINITE, Options
from dasksor.ordering import better_order, permuted
from dasksor.partition import Partition
from dasksor.rows import Storage, prepare_rows

# With a coarse space the iterations hardly depend on omega, between 1 and 1.5.
OMEGA = 1.25


@dataclass(frozen=True)
class Preparations:
    """Of a matrix in this process, for mode "sequential" or "threads" and one acceleration."""

    matrix: np.ndarray | sp.csr_array
    mode: str
    accelerate: str | None
    options: Options

    @cached_property
    def rows(self) -> Storage:
        """All rows, as plain sweeps have them."""
        return prepare_rows(self.matrix, 0)

    @cached_property
    def facts(self) -> RowFacts:
        """What is known of them."""
        return row_facts(self.rows, Partition((0, self.rows.size)))

    @cached_property
    def nblocks(self) -> int:
        """Blocks of accelerated solves."""
        if isinstance(self.matrix, np.ndarray):
            return 1
        threads = available_cores() if self.mode == "threads" else 1
        return self.options.blocks or min(threads, self.matrix.shape[0])

    @cached_property
    def team(self) -> Team:
        """The threads of accelerated solves."""
        return Team(min(available_cores(), self.nblocks) if self.mode == "threads" else 1)

    @cached_property
    def order(self) -> np.ndarray | None:
        """The rows in the order of accelerated solves, where that is another."""
        if self.accelerate is None or isinstance(self.matrix, np.ndarray):
            return None
        return better_order(self.matrix, symmetric=self.accelerate in DEFINITE)

    @cached_property
    def ordered(self) -> tuple[sp.csr_array | np.ndarray, np.ndarray | None]:
        """The matrix, and vectors nearly in its null space, as accelerated solves have them."""
        order, nullspace = self.order, self.options.nullspace
        if order is None:
            return self.matrix, nullspace
        return permuted(self.matrix, order), None if nullspace is None else nullspace[:, order]

    @cached_property
    def ordered_rows(self) -> Storage:
        """All rows in that order."""
        return self.rows if self.order is None else prepare_rows(self.ordered[0], 0)

    @cached_property
    def forecast(self) -> Forecast | None:
        """What is expected of gradients without a coarse space, where that is worth a trial."""
        left_open = self.options.omega == AUTO and self.options.nullspace is None
        if not left_open or self.accelerate != "cg":
            return None
        return forecast(self.ordered[0], self.nblocks)

    @cached_property
    def plain(self) -> Splitting:
        """The splitting without a coarse space."""
        assert self.forecast is not None
        matrix, omega = self.ordered[0], self.forecast.omega
        return prepare_splitting(matrix, omega, self.team, self.nblocks, deflated=False)

    @cached_property
    def deflated(self) -> Splitting:
        """The splitting with a coarse space."""
        # Omega 1 takes the triangle of a dense matrix as it is, without a copy.
        best = 1.0 if isinstance(self.matrix, np.ndarray) else OMEGA
        wanted = self.options.omega
        matrix, nullspace = self.ordered
        return prepare_splitting(
            matrix,
            best if wanted == AUTO else float(wanted),
            self.team,
            self.nblocks,
            nullspace=nullspace,
        )

    @cached_property
    def guess(self) -> Guess:
        """What bounds will hold, guessed on the coarse space."""
        return Guess(self.deflated)

    @cached_property
    def ssor(self) -> Ssor:
        """SSOR for methods that need no symmetry."""
        wanted = self.options.omega
        omega = None if wanted == AUTO else float(wanted)
        # Mode "auto" has come here since the matrix does not suit conjugate gradients.
        symmetric = self.options.accelerate != AUTO and suits_gradients(self.matrix)
        matrix, nullspace = self.ordered
        return prepare_ssor(matrix, omega, nullspace, symmetric=symmetric)

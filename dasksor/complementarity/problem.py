"""A matrix and a vector ``q``, checked; what single rows decide, and products for the audit."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import dask
import dask.array as da
import numpy as np
import scipy.sparse as sp
from distributed import Client

from dasksor.contact import touching
from dasksor.engine.course import Course
from dasksor.engine.outcome import Outcome, Timings
from dasksor.omega import Given
from dasksor.options import Options
from dasksor.result import Result, result_of
from dasksor.rows import canonical_csr, canonical_dense, norms
from dasksor.status import Status
from dasksor.system import LinearSystem, as_matrix, as_vectors


@dataclass(frozen=True)
class Problem:
    """``M`` and ``q`` of ``M x + q``, with a start.

    Attributes
    ----------
    system : LinearSystem
        ``M x = -q``. A matrix in this process may still have any diagonal.
    client : distributed.Client or None
        Whose cluster computes what Dask collections hold; by default what Dask picks.
    """

    system: LinearSystem
    client: Client | None

    @classmethod
    def of(
        cls, matrix: Any, q: Any, start: Any = None, name: str = "x0", client: Client | None = None
    ) -> Problem:
        """Check shapes and types; ``name`` is what the start is called."""
        here = _canonical(matrix)
        checked = as_matrix(matrix) if here is None else here
        n = checked.shape[0]
        if np.ndim(q) != 1:
            raise ValueError(
                f"q must be one vector of {n} entries, got shape {np.shape(q)}: "
                "solve for one column at a time"
            )
        rhs = -as_vectors(q, n, "q")
        begin = None if start is None else as_vectors(start, n, name)
        if begin is not None and begin.shape != rhs.shape:
            raise ValueError(f"{name} has shape {np.shape(start)}: it must be one vector as q is")
        return cls(LinearSystem(checked, rhs, begin, vector=True), client)

    @property
    def n(self) -> int:
        return self.system.n

    @cached_property
    def q(self) -> np.ndarray:
        """All of ``q``, in this process."""
        return -self.computed(self.system.rhs)[0][0]

    @cached_property
    def diagonal(self) -> np.ndarray:
        return self._by_rows(lambda rows, first: np.asarray(rows.diagonal(first)))

    def image(self, x: np.ndarray) -> np.ndarray:
        """``M x + q``, by the matrix's own product instead of the kernels of sweeps."""
        return self._by_rows(lambda rows, _: rows @ x) + self.q

    def contact(
        self, x: np.ndarray, bounds: np.ndarray, image: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """`dasksor.contact.touching`, also where a diagonal entry is not positive."""
        return touching(x, bounds, -image, np.where(self.diagonal > 0.0, self.diagonal, 1.0))

    def computed(self, *collections: Any) -> Any:
        """The values of Dask collections; anything else is returned as it is."""
        with self.client.as_current() if self.client else contextlib.nullcontext():
            return dask.compute(*collections)

    def _by_rows(self, work: Callable[[Any, int], np.ndarray]) -> np.ndarray:
        if self.system.is_local:
            return work(self.system.matrix, 0).astype(np.float64, copy=False)
        ranges = self.system.partition(min(16, self.n)).ranges
        parts = [dask.delayed(work)(self.system.rows(*own), own[0]) for own in ranges]
        return np.concatenate(self.computed(*parts))

    def without(self, rows: np.ndarray) -> Any:
        """The matrix, in this process, with those of the unit matrix for ``rows`` and columns."""
        matrix: Any = self.system.matrix
        kept = (~rows).astype(matrix.dtype)
        if isinstance(matrix, np.ndarray):
            return kept[:, None] * matrix * kept + np.diag(1 - kept)
        left = sp.csr_array(sp.diags_array(kept) @ matrix @ sp.diags_array(kept))
        left.eliminate_zeros()
        return left + sp.diags_array(1 - kept)

    def decided(self, request: Options, status: Status, why: str, bounds: np.ndarray) -> Result:
        """The result where single rows say how it ends: the start, moved between the bounds."""
        began = time.perf_counter()
        rhs, start = self.system.vectors()
        x = np.clip(start, *bounds)
        course = Course(request.limits, Given(1.0))
        image = self.image(x[0])[None]
        residual = x - np.clip(x - image, *bounds)
        course.measured(0, norms(residual), 0.0, rhs_norms=norms(rhs))
        course.status = status
        return result_of(
            self.system, request, course, Outcome(x, Timings(), [Timings()]), began, 0.0,
            mode="sequential", reason=why, staleness=0, accelerate=None, blocks=1, workers=1,
            mailbox=None, losses=0, moves=0, contact=self.contact(x, bounds, image),
        )  # fmt: skip


def like(vector: np.ndarray, other: Any) -> Any:
    """The ``vector`` as a Dask array where the ``other`` is one."""
    return da.from_array(vector, chunks=other.chunks) if isinstance(other, da.Array) else vector


def _canonical(matrix: Any) -> np.ndarray | sp.csr_array | None:
    """A square real matrix of this process as sweeps take it, whatever its diagonal; else None."""
    if isinstance(matrix, list | tuple):
        with contextlib.suppress(ValueError):
            matrix = np.asarray(matrix)
    if not (isinstance(matrix, np.ndarray) or sp.issparse(matrix)):
        return None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.dtype.kind not in "fiub":
        return None
    if matrix.shape[0] == 0:
        return None
    return canonical_csr(matrix) if sp.issparse(matrix) else canonical_dense(matrix)

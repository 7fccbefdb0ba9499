"""Solvers of other libraries, in one thread of this process."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.linalg import cg

from dasksor.study.peer import judged, missing
from dasksor.study.problems import Problem


class PyAMGGaussSeidel:
    """PyAMG's compiled Gauss-Seidel sweep, one thread; the residual is looked at as rarely."""

    name = "pyamg"
    modes = ("sequential",)

    def available(self) -> str | None:
        return missing("pyamg")

    def run(
        self, problem: Problem, workers: int, mode: str, *, rtol: float, timeout: float
    ) -> dict[str, Any]:
        reason = self.available() or _only_one(workers)
        if reason:
            return {"skipped": reason}
        from pyamg.relaxation.relaxation import gauss_seidel

        A, b = csr_array(problem.A), problem.b
        x, target, history = np.zeros(b.size), rtol * np.linalg.norm(b), []
        began, compute, tests, sweeps, more = time.perf_counter(), 0.0, 0.0, 0, 10
        while True:
            start = time.perf_counter()
            gauss_seidel(A, x, b, iterations=more)
            middle = time.perf_counter()
            found, sweeps = float(np.linalg.norm(b - A @ x)), sweeps + more
            now = time.perf_counter()
            compute, tests = compute + middle - start, tests + now - middle
            history.append([now - began, float(sweeps), found / float(np.linalg.norm(b))])
            if not target < found < np.inf or now - began > timeout:
                break
            more = _further(history, rtol)
        return {
            "seconds": now - began, "sweeps": float(sweeps), "sweeps_per_block": [sweeps],
            "omega": 1.0, "compute": compute, "tests": tests, "history": history,
        } | judged(problem, x, rtol)  # fmt: skip


def _further(history: list[list[float]], rtol: float) -> int:
    """Sweeps until the tolerance at the rate of the last two residuals, 1 to 100."""
    if len(history) < 2:
        return 10
    (_, before, old), (_, after, new) = history[-2:]
    rate = np.log(old / new) / (after - before)
    return 100 if rate <= 0.0 else int(np.clip(np.ceil(np.log(new / rtol) / rate), 1, 100))


class ScipyCG:
    """scipy's conjugate gradients without preconditioner: what everybody has at hand."""

    name = "scipy-cg"
    modes = ("sequential",)

    def available(self) -> str | None:
        return None

    def run(
        self, problem: Problem, workers: int, mode: str, *, rtol: float, timeout: float
    ) -> dict[str, Any]:
        reason = _only_one(workers)
        if reason:
            return {"skipped": reason}
        iterations = 0
        began = time.perf_counter()

        def count(_: np.ndarray) -> None:
            nonlocal iterations
            iterations += 1
            if time.perf_counter() - began > timeout:
                raise TimeoutError

        # Its own residual is by recurrence, so it is asked for a little more.
        try:
            x, _ = cg(problem.A, problem.b, rtol=0.9 * rtol, callback=count)
        except TimeoutError:
            return {"skipped": f"no answer within {timeout:.0f} s"}
        seconds = time.perf_counter() - began
        return {
            "seconds": seconds, "sweeps": float(iterations), "accelerate": "cg", "compute": seconds,
        } | judged(problem, x, rtol)  # fmt: skip


def _only_one(workers: int) -> str | None:
    return None if workers == 1 else f"runs in one thread, not in {workers}"

"""What a study asks of a system, ours or another: to solve a problem and say how it went."""

from __future__ import annotations

import importlib.util
from typing import Any, Protocol

import numpy as np

from dasksor.study.problems import Problem


class Peer(Protocol):
    """A system that solves problems; its runs fill the fields of a record."""

    @property
    def name(self) -> str: ...
    @property
    def modes(self) -> tuple[str, ...]: ...

    def available(self) -> str | None:
        """None, or why it cannot run here."""

    def run(
        self, problem: Problem, workers: int, mode: str, *, rtol: float, timeout: float
    ) -> dict[str, Any]:
        """Fields of a record; only ``skipped``, with the reason, where it cannot be run.

        ``success`` is that the relative residual, measured here from the answer, meets `rtol`.
        """


def judged(problem: Problem, x: np.ndarray, rtol: float) -> dict[str, Any]:
    """The relative residual of an answer, and whether that meets `rtol`."""
    with np.errstate(all="ignore"):  # of a run that diverged
        residual = float(np.linalg.norm(problem.b - problem.A @ x) / np.linalg.norm(problem.b))
    return {"residual": residual, "success": residual <= rtol}


def missing(package: str) -> str | None:
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed: pip install 'dasksor[peers]'"
    return None

"""pycos as one of the systems of a study: it carries messages, and solves nothing."""

from __future__ import annotations

from typing import Any

from dasksor.study.peer import Problem, missing
from dasksor.study.peers import pycos_latency

TRIPS = 200


class Pycos:
    """A message of the problem's size from process to process, as dasksor's mode ``"message"``."""

    name = "pycos"
    modes = ("message",)

    def available(self) -> str | None:
        return missing("pycos")

    def run(
        self, problem: Problem, workers: int, mode: str, *, rtol: float, timeout: float
    ) -> dict[str, Any]:
        if workers != 2:
            return {"skipped": "the probe has one pair of processes"}
        size = 8 * problem.n
        seconds = pycos_latency(size, TRIPS)
        if seconds is None:
            return {"skipped": "the probe gave no answer"}
        return {"seconds": seconds, "success": True, "bytes": size, "messages": TRIPS}

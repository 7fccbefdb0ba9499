"""dasksor as one of the systems of a study."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from dasksor.options import AUTO
from dasksor.planning.machine import Machine
from dasksor.planning.plan import plan
from dasksor.result import Result
from dasksor.solve import solve
from dasksor.status import Status
from dasksor.study.crew import Crew
from dasksor.study.latency import match
from dasksor.study.problems import Problem
from dasksor.study.straggler import Slowness, slow_down

# Enough for every kernel of a mode to have been called.
WARMING = 4
# Seconds for which messages go to and fro.
LASTING = 0.4


class Dasksor:
    """`dasksor.solve`, each mode of it, on worker processes of one thread.

    In mode ``"message"`` nothing is solved: the seconds are those of one message of the problem's
    size from worker to worker, all pairs at once.

    Parameters
    ----------
    crew : Crew
        Where the workers are from.
    machine : Machine, optional
        Costs, for predictions.
    slowness : Slowness, optional
        What one of the workers suffers while a solve runs.
    """

    modes = ("sequential", "threads", "sync", "async", "message")

    def __init__(
        self,
        crew: Crew,
        machine: Machine | None = None,
        slowness: Slowness | None = None,
    ) -> None:
        self.name = "dasksor" if slowness is None else "dasksor-slow"
        self._crew, self._machine, self._slowness = crew, machine, slowness

    def available(self) -> str | None:
        return None

    def run(
        self,
        problem: Problem,
        workers: int,
        mode: str,
        *,
        rtol: float,
        timeout: float,
        **options: Any,
    ) -> dict[str, Any]:
        """Solve, and say how it went in the fields of a record."""
        if mode == "message":
            return self._sent(8 * problem.n, workers, **options)
        how = {"mode": mode, **options}
        if mode in ("sync", "async"):
            client = self._crew.client(workers)
            how["client"] = client
            self._warm(problem, how)
            with slow_down(client, self._slowness):
                result = _solved(problem, rtol=rtol, timeout=timeout, **how)
        else:
            self._warm(problem, how)
            result = _solved(problem, rtol=rtol, timeout=timeout, **how)
        return _fields(result, problem) | {
            "predicted_seconds": self._predicted(problem, workers, mode, rtol, result)
        }

    def _sent(self, size: int, workers: int, mailbox: str) -> dict[str, Any]:
        if workers % 2 or mailbox == AUTO:
            return {"skipped": "messages need pairs of workers, and a mailbox by name"}
        seconds, rate = match(self._crew.client(workers), mailbox, size, workers, LASTING)
        return {"seconds": seconds, "success": True, "bytes": size, "messages": int(rate / size)}

    def _warm(self, problem: Problem, how: dict[str, Any]) -> None:
        """A few sweeps that are not counted: they load the kernels on workers that are new."""
        kind = problem.name.partition(":")[0]
        words = (kind, *(how.get(name) for name in ("mode", "staleness", "mailbox", "accelerate")))
        if words not in self._crew.warmed:
            _solved(problem, rtol=0.0, maxiter=WARMING, **how)
            self._crew.warmed.add(words)

    def _predicted(
        self, problem: Problem, workers: int, mode: str, rtol: float, result: Result
    ) -> float | None:
        """Of the iteration, and the set-up that was measured, which no model is there for.

        None for what the model does not know: other problems, and more workers than cores.
        """
        machine, model = self._machine, _model(mode, result)
        if machine is None or model is None or self._slowness or workers > machine.cores:
            return None
        if problem.shape is None or len(problem.shape) < 2:
            return None
        seconds = _forecast(machine, problem.shape, workers, model, rtol)
        return None if seconds is None else seconds + result.timings["total"]["setup"]


def _solved(problem: Problem, **options: Any) -> Result:
    result = solve(problem.A, problem.b, **options)
    # A solve that Ctrl-C ends returns what it has; here it ends the study.
    if result.status is Status.STOPPED:
        raise KeyboardInterrupt
    return result


@cache
def _forecast(
    machine: Machine, shape: tuple[int, ...], workers: int, model: str, rtol: float
) -> float | None:
    (row,) = plan(shape, [workers], machine=machine, modes=[model], rtol=rtol).rows
    return row.seconds if np.isfinite(row.seconds) else None


def _model(mode: str, result: Result) -> str | None:
    """The planner's word for what ran."""
    if mode == "sync":
        return "sync"
    if mode == "async" and result.staleness == 0:
        return "exact"
    if mode == "async" and result.staleness is None:
        return {None: "free", "cg": "cg"}.get(result.accelerate)
    return None


def _fields(result: Result, problem: Problem) -> dict[str, Any]:
    scale = float(np.linalg.norm(problem.b))
    return {
        "accelerate": result.accelerate,
        "seconds": result.timings["wall"],
        "sweeps": float(result.sweeps),
        "sweeps_per_block": list(map(int, result.sweeps_per_block)),
        "residual": problem.residual(result.x),
        "success": result.success,
        "omega": result.omega,
        **result.timings["total"],
        "messages": result.messages,
        "bytes": result.bytes_sent,
        "history": [[m.time, m.sweeps, m.residual_norm / scale] for m in result.history],
    }

"""Synchronous mode: sweeps as Dask task graphs, a bounded number of them at a time."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Iterable
from typing import Any

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from distributed import Client, Future

from dasksor.engine import graph
from dasksor.engine.course import Course, Leg
from dasksor.engine.futures import results, settle
from dasksor.engine.outcome import Outcome, Timings
from dasksor.engine.placement import Placement
from dasksor.engine.ticker import PHASES, Ticker
from dasksor.partition import hull
from dasksor.rows import joined
from dasksor.status import Status

TASKS_AT_A_TIME = 1000
# Before a first leg tells, in seconds; it is short.
SOME_TIME = 1e-3


class Run:
    """One synchronous solve on a cluster."""

    def __init__(
        self,
        placement: Placement,
        course: Course,
        client: Client,
        *,
        directions: tuple[int, ...],
        ticker: Ticker | None = None,
    ) -> None:
        self.name = f"dasksor-{uuid.uuid4().hex[:12]}"
        self._placement, self._course, self._client = placement, course, client
        self._directions, self._ticker = directions, ticker
        self._blocks = graph.Blocks(
            placement.partition,
            placement.rows,
            placement.rhs,
            [
                {q: hull(part) for q, part in facts.needs.items() if q != p}
                for p, facts in enumerate(placement.facts)
            ],
            [placement.site_of(p) for p in range(placement.partition.nblocks)],
        )
        self._submitted = 0
        self._before: list[list[Future]] = []
        self._messages = self._bytes = 0
        # Seconds per sweep in the last leg.
        self._pace = SOME_TIME
        self._began = time.monotonic()

    def run(self, *, as_dask: bool) -> Outcome:
        """Solve; the answer comes here, or stays on the workers as a Dask array."""
        began = self._began = time.monotonic()
        deadline = began + (self._course.limits.timeout or math.inf)
        x = self._placement.start
        best, sweeps, changes = x, 0, (0.0, 0.0)
        self._client.run(graph.open_ledger, self.name)
        try:
            while True:
                leg = self._measure(x, sweeps, changes, began)
                if self._course.improved:
                    best = x
                if leg is None:
                    break
                x, sweeps, changes = self._sweep(x, sweeps, leg, deadline)
        except KeyboardInterrupt:
            self._course.status = Status.STOPPED
        finally:
            self._tell_end(sweeps)
            ledgers = self._client.run(graph.close_ledger, self.name)
        return self._outcome(best, ledgers, time.monotonic() - began, as_dask)

    def _measure(
        self, x: list[Future], sweeps: int, changes: tuple[float, float], began: float
    ) -> Leg | None:
        tasks: graph.Graph = {}
        name = self._next_name("residual")
        wanted = graph.add_residual(tasks, name, self._blocks, x, self.name)
        residual, rhs = joined(results(self._client, self._submit(tasks, wanted)))
        change, before = changes
        return self._course.measured(
            sweeps,
            residual,
            time.monotonic() - began,
            rhs_norms=rhs,
            ratio=change / before if before else 1.0,
        )

    def _sweep(
        self, x: list[Future], sweeps: int, leg: Leg, deadline: float
    ) -> tuple[list[Future], int, tuple[float, float]]:
        """Sweep to the end of the leg; return x, sweeps, and the last two changes."""
        iterates = [*self._before, x]
        began, first, in_flight = time.monotonic(), sweeps, 0
        while sweeps < leg.until and time.monotonic() < deadline:
            # Sweeps once submitted are waited for, so none that would end late may follow them.
            in_time = (deadline - time.monotonic()) / self._pace - in_flight
            if in_flight and in_time < 1.0:
                break
            count = int(max(1, min(leg.until - sweeps, self._sweeps_at_a_time, in_time)))
            ahead = self._submit_sweeps(iterates[-1], count, leg.omega)
            # The batch before this one is awaited, not this one: the pipeline stays full.
            settle(iterates[-1])
            self._tell(sweeps)
            iterates = [*iterates, *ahead][-3:]
            sweeps, in_flight = sweeps + count, count
        settle(iterates[-1])
        if sweeps > first:
            self._pace = (time.monotonic() - began) / (sweeps - first)
        changes = (0.0, 0.0)
        if not leg.settled and len(iterates) == 3:
            changes = self._change(*iterates[1:]), self._change(*iterates[:2])
        self._before = iterates[-2:-1]
        return iterates[-1], sweeps, changes

    @property
    def _sweeps_at_a_time(self) -> int:
        blocks = self._blocks
        slices = sum(
            blocks.site[p] != blocks.site[q] for p, reads in enumerate(blocks.reads) for q in reads
        )
        tasks = (len(blocks.rows) + slices) * len(self._directions)
        return max(1, TASKS_AT_A_TIME // tasks)

    def _submit_sweeps(self, x: list[Future], count: int, omega: float) -> list[list[Future]]:
        """Submit ``count`` sweeps; futures of the last three iterates, oldest first."""
        tasks: graph.Graph = {}
        iterates: list[list[Any]] = [x]
        for _ in range(count):
            keys = iterates[-1]
            for direction in self._directions:
                name = self._next_name("sweep")
                keys = graph.add_sweep(tasks, name, self._blocks, keys, omega, direction, self.name)
                self._count_messages()
            iterates.append(keys)
        wanted = iterates[1:][-3:]
        futures = iter(self._submit(tasks, [key for keys in wanted for key in keys]))
        return [[next(futures) for _ in keys] for keys in wanted]

    def _change(self, new: list[Future], old: list[Future]) -> float:
        changes = self._client.map(_distance_squared, new, old, key=self._next_name("change"))
        return math.sqrt(sum(results(self._client, changes)))

    def _submit(self, tasks: graph.Graph, wanted: Iterable[Any]) -> list[Future]:
        """Compute ``wanted`` keys; each block's tasks go where its rows are."""
        place = self._placement
        addresses = [place.threads[owner].address for owner in place.owner]
        layer = MaterializedLayer(
            tasks,
            annotations={
                "workers": lambda key: [addresses[key[-1]]],
                "allow_other_workers": True,
            },
        )
        collection = HighLevelGraph({self._next_name("layer"): layer}, {})
        return self._client.get(collection, list(wanted), sync=False)

    def _count_messages(self) -> None:
        for p, reads in enumerate(self._blocks.reads):
            for q, part in reads.items():
                if self._blocks.site[p] != self._blocks.site[q]:
                    self._messages += 1
                    self._bytes += 8 * self._placement.nrhs * (part.stop - part.start)

    def _tell(self, sweeps: int) -> None:
        """Say how the run stands, if anyone listens and it is time."""
        if self._ticker is not None and self._ticker.due():
            with self._ticker.counted():
                self._beat(self._ticker, sweeps)

    def _tell_end(self, sweeps: int) -> None:
        if self._ticker is not None:
            self._beat(self._ticker, sweeps)
            self._ticker.end(self._course.status)

    def _beat(self, ticker: Ticker, sweeps: int) -> None:
        place, now = self._placement, time.monotonic() - self._began
        split = {thread.label: [0.0] * len(PHASES) for thread in place.threads}
        for ledger in self._client.run(graph.read_ledger, self.name).values():
            for p, spent in ledger.items():
                seconds = split[place.threads[place.owner[p]].label]
                for k, phase in enumerate(PHASES):
                    seconds[k] += getattr(spent, phase)
        for seconds in split.values():
            # Dask moves data and schedules while blocks wait.
            seconds[PHASES.index("waiting")] = max(0.0, now - sum(seconds))
        ticker.beat(
            now,
            self._course,
            sweeps=[sweeps] * place.partition.nblocks,
            messages=self._messages,
            bytes_sent=self._bytes,
            split=split,
        )

    def _next_name(self, what: str) -> str:
        self._submitted += 1
        return f"{what}-{self.name}-{self._submitted}"

    def _outcome(
        self, x: list[Future], ledgers: dict[str, dict[int, Timings]], wall: float, as_dask: bool
    ) -> Outcome:
        blocks = [Timings() for _ in x]
        # Workers in one process share its ledger: the first one to be asked gave all of it.
        for ledger in ledgers.values():
            for p, timings in ledger.items():
                blocks[p].add(timings)
        total = Timings.sum(blocks)
        busy = total.compute + total.tests
        total.waiting = max(0.0, wall * len(self._placement.threads) - busy)
        if as_dask:
            answer: Any = _as_dask_array(x, self._placement)
        else:
            answer = np.concatenate(self._client.gather(x), axis=1)
        return Outcome(answer, total, blocks, self._messages, self._bytes)


def _distance_squared(new: np.ndarray, old: np.ndarray) -> float:
    return float(np.sum((new - old) ** 2))


def _as_dask_array(futures: list[Future], placement: Placement) -> da.Array:
    parts = [
        da.from_delayed(future, (placement.nrhs, size), np.float64)
        for future, size in zip(futures, placement.partition.sizes, strict=True)
    ]
    return da.concatenate(parts, axis=1)

"""Workers killed while they solve: is every answer right, and what does a kill cost?

    python examples/benchmarks/kills.py [KILLS]

Three worker processes, restarted by their nannies; each kill is a SIGKILL of one of them at a
random time. Every answer is audited with scipy's own product, every exact one compared bit for bit
with sequential sweeps. The time lost per kill is that of the disturbed solves beyond undisturbed
ones of the same kind, divided by the kills.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import dask
import numpy as np
from distributed import Client, LocalCluster

import dasksor
from dasksor import problems


@dataclass
class Case:
    name: str
    A: Any
    b: np.ndarray
    options: dict[str, Any]
    share: float

    def solve(self, client: Client) -> tuple[dasksor.Result, float]:
        began = time.perf_counter()
        result = dasksor.solve(self.A, self.b, mode="async", client=client, **self.options)
        return result, time.perf_counter() - began

    def is_right(self, result: dasksor.Result) -> bool:
        target = max(result.rtol * np.linalg.norm(self.b), result.atol)
        right = result.success and result.residual(self.A, self.b) <= target * (1 + 1e-9)
        if self.options.get("staleness") == 0:
            expected = dasksor.solve(
                self.A, self.b, mode="sequential", omega=self.options["omega"], rtol=0.0,
                maxiter=result.sweeps,
            )  # fmt: skip
            right = right and bool(np.array_equal(result.x, expected.x))
        return right


class Killer(threading.Thread):
    """Kills workers of ``client`` until told to stop, ``pause`` seconds apart on average.

    A nanny whose worker dies while it is still starting gives up for good, so the victims have
    been there for a second.
    """

    def __init__(self, client: Client, pause: float, most: int, rng: random.Random) -> None:
        super().__init__(daemon=True)
        self.kills = 0
        self._client, self._pause, self._most, self._rng = client, pause, most, rng
        self._over = threading.Event()
        self._since: dict[int, float] = {}

    def run(self) -> None:
        due = time.monotonic() + self._drawn()
        while self.kills < self._most and not self._over.wait(0.1):
            with contextlib.suppress(Exception):
                grown = self._grown_up()
                if grown and time.monotonic() > due and not self._over.is_set():
                    os.kill(self._rng.choice(grown), signal.SIGKILL)
                    self.kills += 1
                    due = time.monotonic() + self._drawn()

    def _grown_up(self) -> list[int]:
        now, there = time.monotonic(), sorted(self._client.run(os.getpid).values())
        self._since = {pid: self._since.get(pid, now) for pid in there}
        return [pid for pid, since in self._since.items() if now - since > 1.0]

    def _drawn(self) -> float:
        return 0.5 * self._pause + self._rng.expovariate(2 / self._pause)

    def stop(self) -> int:
        self._over.set()
        self.join()
        return self.kills


def cases() -> list[Case]:
    grid = problems.poisson((300, 300))
    dense = problems.dense_spd(3000, dominance=0.02)
    links, teleport = problems.pagerank(problems.random_graph(200_000, seed=1))
    return [
        Case("poisson 300^2, exact", grid, np.ones(90_000),
             {"staleness": 0, "omega": 1.98, "rtol": 1e-8}, 0.4),
        Case("poisson 120^2, stale 2", problems.poisson((120, 120)), np.ones(14_400),
             {"staleness": 2, "rtol": 1e-3}, 0.2),
        Case("dense 3000, exact", dense, np.ones(3000),
             {"staleness": 0, "omega": 1.0, "rtol": 1e-11}, 0.15),
        Case("poisson 1000^2, cg", problems.poisson((1000, 1000)), np.ones(1_000_000),
             {"accelerate": "cg", "rtol": 1e-8}, 0.15),
        Case("pagerank 200,000, free", links, teleport,
             {"staleness": None, "accelerate": None, "rtol": 1e-10}, 0.1),
    ]  # fmt: skip


def main(wanted: int) -> None:
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    print(platform.platform(), f"{os.cpu_count()} cores, Python {platform.python_version()}")
    print(", ".join(f"{name} {version(name)}" for name in ("distributed", "numpy", "numba")))
    # A local cluster drops for good a worker that is away this long after one of its deaths, also
    # when it had come back and was killed anew meanwhile.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    rng, total, wrong = random.Random(0), 0, 0
    head = f"{'case':24} {'solves':>6} {'kills':>6} {'most':>5} {'losses':>6} {'right':>6}"
    print(head, f"{'undisturbed s':>14} {'lost s per kill':>16}")
    with (
        LocalCluster(
            n_workers=3, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        for case in cases():
            case.solve(client)
            undisturbed = min(case.solve(client)[1] for _ in range(2))
            solves = kills = losses = most = right = 0
            spent = 0.0
            while kills < case.share * wanted:
                client.wait_for_workers(3)
                killer = Killer(client, max(0.7, undisturbed / 4), 20, rng)
                killer.start()
                result, seconds = case.solve(client)
                here = killer.stop()
                right += case.is_right(result)
                solves, kills, most = solves + 1, kills + here, max(most, here)
                losses, spent = losses + result.losses, spent + seconds
            total, wrong = total + kills, wrong + solves - right
            cost = (spent - solves * undisturbed) / kills
            print(f"{case.name:24} {solves:6} {kills:6} {most:5} {losses:6} {right:6}", end="")
            print(f" {undisturbed:14.2f} {cost:16.2f}", flush=True)
    print(f"{total} kills, {wrong} wrong answers")
    # A NumPy boolean would count as a message, and so as a failure.
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)

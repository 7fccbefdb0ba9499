"""What the hosts of an asynchronous run have reported so far, added up over its watches."""

from __future__ import annotations

import time
from collections.abc import Sequence

from dasksor.engine.conductor import Conductor
from dasksor.engine.monitor import Monitor
from dasksor.engine.ticker import PHASES, Ticker
from dasksor.messages import Progress

# Ages are told of this many groups of blocks at most.
GROUPS = 40


class Account:
    """Adds up reports, and says how the run stands where somebody listens.

    Parameters
    ----------
    nblocks : int
    passes : int
        Passes per sweep.
    began : float
        When the run began, by `time.monotonic`.
    ticker : Ticker, optional
        Who says it.
    """

    def __init__(self, nblocks: int, passes: int, began: float, ticker: Ticker | None) -> None:
        self._nblocks, self._passes, self._began = nblocks, passes, began
        self._ticker = ticker
        self._versions = [0] * nblocks
        self._ages: dict[tuple[int, int], int] = {}
        self._labels: Sequence[str] = ()
        self._now: dict[int, Progress] = {}
        self._messages = self._bytes = 0
        self._split: dict[str, list[float]] = {}

    @property
    def is_told(self) -> bool:
        """Whether somebody listens."""
        return self._ticker is not None

    def change_hands(self, labels: Sequence[str]) -> None:
        """From now on the blocks are with other hosts, which run on the threads ``labels``."""
        self._messages, self._bytes, self._split = self.messages, self.bytes_sent, self.split
        self._labels, self._now, self._ages = labels, {}, {}
        for label in labels:
            self._split.setdefault(label, [0.0] * len(PHASES))

    def hear(self, report: Progress) -> None:
        """Take a report."""
        self._now[report.host] = report
        for p, version in report.versions.items():
            self._versions[p] = version
        self._ages.update(((p, q), age) for p, q, age in report.ages)

    def tell(self, monitor: Monitor | Conductor) -> None:
        """Say how the run stands, if it is time."""
        if self._ticker is not None and self._ticker.due():
            with self._ticker.counted():
                self._beat(self._ticker, monitor)

    def end(self, monitor: Monitor | Conductor) -> None:
        """Say how the run ended."""
        if self._ticker is not None:
            self._beat(self._ticker, monitor)
            self._ticker.end(monitor.course.status)

    def _beat(self, ticker: Ticker, monitor: Monitor | Conductor) -> None:
        ticker.beat(
            time.monotonic() - self._began,
            monitor.course,
            sweeps=self.sweeps,
            messages=self.messages,
            bytes_sent=self.bytes_sent,
            split=self.split,
            ages=self.ages,
            snapshots=(monitor.order.epoch, monitor.recall.newest, monitor.recall.safe),
        )

    @property
    def sweeps(self) -> list[float]:
        """Sweeps done by each block."""
        return [version / self._passes for version in self._versions]

    @property
    def messages(self) -> int:
        return self._messages + sum(report.messages for report in self._now.values())

    @property
    def bytes_sent(self) -> int:
        return self._bytes + sum(report.bytes_sent for report in self._now.values())

    @property
    def split(self) -> dict[str, list[float]]:
        """By thread: seconds of each of `dasksor.engine.ticker.PHASES`."""
        result = {label: list(seconds) for label, seconds in self._split.items()}
        for host, report in self._now.items():
            seconds = result[self._labels[host]]
            for k, spent in enumerate(report.seconds):
                seconds[k] += spent
        return result

    @property
    def ages(self) -> list[list[int | None]]:
        """By groups of blocks: the greatest age of the values that a block last used of another."""
        count = min(self._nblocks, GROUPS)
        grid: list[list[int | None]] = [[None] * count for _ in range(count)]
        for (p, q), age in self._ages.items():
            row, column = p * count // self._nblocks, q * count // self._nblocks
            known = grid[row][column]
            grid[row][column] = age if known is None else max(known, age)
        return grid if self._ages else []

"""What a driver hands to the front when a run is over."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Timings:
    """Seconds of one block or host, by what they were spent on."""

    setup: float = 0.0
    compute: float = 0.0
    communication: float = 0.0
    tests: float = 0.0
    waiting: float = 0.0

    @contextmanager
    def measure(self, phase: str) -> Iterator[None]:
        """Add the seconds spent in the ``with`` block to ``phase``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            setattr(self, phase, getattr(self, phase) + time.perf_counter() - began)

    @classmethod
    def sum(cls, parts: Iterable[Timings]) -> Timings:
        """All of ``parts`` together."""
        total = cls()
        for part in parts:
            total.add(part)
        return total

    def add(self, other: Timings) -> None:
        for phase, seconds in asdict(other).items():
            setattr(self, phase, getattr(self, phase) + seconds)


@dataclass
class Outcome:
    """The answer of a run and what it took.

    ``x`` has shape (nrhs, n): a NumPy array, or a Dask array that lives on the workers. ``blocks``
    lists the timings of each block, ``sweeps`` the sweeps of each where they may differ.
    """

    x: Any
    timings: Timings
    blocks: list[Timings] = field(default_factory=list)
    messages: int = 0
    bytes_sent: int = 0
    sweeps: list[int] = field(default_factory=list)

    def followed_by(self, later: Outcome) -> Outcome:
        """The outcome of a run in this process that went on with ``x``."""
        total = Timings.sum([self.timings, later.timings])
        return Outcome(later.x, total, [Timings.sum([*self.blocks, *later.blocks])])

"""What a run says of itself while it goes on: plain numbers, for whoever shows them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from dasksor.engine.course import Course
from dasksor.status import Status

# Seconds between two beats, and how much longer than a beat the time between them is.
INTERVAL = 0.25
SHARE = 0.01

# By worker thread: seconds of compute, communication, tests and waiting.
Split = Mapping[str, Sequence[float]]
PHASES = ("compute", "communication", "tests", "waiting")


class Ticker:
    """Speaks a few times a second, and less often where that would take 1 % of the time.

    Parameters
    ----------
    say : callable
        Takes a dict of plain numbers, lists and strings, and returns at once.
    name : str
        Names the run.
    head : dict
        What does not change while it goes on.

    Attributes
    ----------
    spent : float
        Seconds that speaking took.
    """

    def __init__(
        self, say: Callable[[dict[str, Any]], None], name: str, head: dict[str, Any]
    ) -> None:
        self.spent = 0.0
        self._say, self._name = say, name
        self._next, self._told = 0.0, 0
        self._tell("begin", **head)

    def due(self) -> bool:
        """Whether it is time for the next beat."""
        return time.monotonic() >= self._next

    def beat(
        self,
        now: float,
        course: Course,
        *,
        sweeps: Sequence[float],
        messages: int,
        bytes_sent: int,
        split: Split,
        ages: Sequence[Sequence[int | None]] = (),
        snapshots: Sequence[int] = (),
    ) -> None:
        """Say how the run stands ``now`` seconds after its start.

        ``sweeps`` are by block; ``ages[i][j]`` is how old the values of blocks ``j`` were that
        blocks ``i`` used; ``snapshots`` are the newest ordered, measured and safe.
        """
        # A return to a safe snapshot takes back what was measured after it.
        self._told = min(self._told, len(course.history))
        news, self._told = course.history[self._told :], len(course.history)
        self._tell(
            "beat",
            time=now,
            target=float(math.hypot(*course.targets)),
            omega=float(course.relaxation.omega),
            history=[[float(v) for v in measured] for measured in news],
            sweeps=[float(s) for s in sweeps],
            messages=int(messages),
            bytes=int(bytes_sent),
            split={label: [float(s) for s in seconds] for label, seconds in split.items()},
            ages=[list(row) for row in ages],
            snapshots=[int(epoch) for epoch in snapshots],
        )

    def end(self, status: Status | None) -> None:
        """Say how the run ended; with no ``status`` it failed."""
        self._tell("end", status=status.value if status else "failed", spent=self.spent)

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what happens in the ``with`` block as speaking: the next beat is due later."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self.spent += ended - began
        self._next = ended + max(INTERVAL, (ended - began) / SHARE)

    def _tell(self, what: str, **event: Any) -> None:
        self._say({"solve": self._name, "what": what, "at": time.time(), **event})

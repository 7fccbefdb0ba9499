"""What the scheduler keeps of the solves it heard of: the last few, each in bounded room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from distributed import Scheduler, SchedulerPlugin

from dasksor.dashboard.events import TOPIC

SOLVES = 20
POINTS = 600


class Series:
    """Points in time order, thinned evenly: of too many every second one is dropped.

    The newest is always there. It keeps between half of ``most`` and ``most`` points and one.
    """

    def __init__(self, most: int = POINTS) -> None:
        self._most, self._stride, self._count = most, 1, 0
        self._kept: list[Sequence[Any]] = []
        self._newest: Sequence[Any] | None = None

    def add(self, point: Sequence[Any]) -> None:
        """Add a point."""
        if self._count % self._stride == 0:
            self._kept.append(point)
            if len(self._kept) > self._most:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._newest = point
        self._count += 1

    @property
    def points(self) -> list[Sequence[Any]]:
        """What is kept, oldest first."""
        if self._newest is None or self._kept[-1] is self._newest:
            return list(self._kept)
        return [*self._kept, self._newest]


class Story:
    """One solve: its head, its series, and how it stands.

    Attributes
    ----------
    head : dict
        What was said at its beginning.
    status : str or None
        How it ended; None while it goes on.
    residuals : Series
        ``(seconds, sweeps, residual norm, omega)``.
    rates : Series
        ``(seconds, messages a second, megabytes a second)``.
    snapshots : Series
        ``(seconds, ordered, measured, safe)``.
    now : dict
        The newest beat.
    """

    def __init__(self, head: dict[str, Any]) -> None:
        self.head, self.status = head, None
        self.residuals, self.rates, self.snapshots = Series(), Series(), Series()
        self.now: dict[str, Any] = {}
        # Whoever shows it sees by this whether there is anything new.
        self.edition = 0

    def hear(self, event: dict[str, Any]) -> None:
        """Take a beat, or the end."""
        self.edition += 1
        if event["what"] == "end":
            self.status = event["status"]
            return
        for measured in event["history"]:
            self.residuals.add(measured)
        time, before = event["time"], self.now or {"time": 0.0, "messages": 0, "bytes": 0}
        past = time - before["time"]
        if past > 0:
            messages = max(0, event["messages"] - before["messages"]) / past
            megabytes = max(0, event["bytes"] - before["bytes"]) / past / 1e6
            self.rates.add((time, messages, megabytes))
        if event["snapshots"]:
            self.snapshots.add((time, *event["snapshots"]))
        self.now = event


class History(SchedulerPlugin):
    """Collects the stories of the last solves from the events that they log."""

    name = "dasksor-dashboard"

    def __init__(self, most: int = SOLVES) -> None:
        self.stories: OrderedDict[str, Story] = OrderedDict()
        self._most = most

    def log_event(self, topic: str, msg: Any) -> None:
        """Take an event of ours; the scheduler calls this for every one."""
        if topic != TOPIC:
            return
        name = msg["solve"]
        if msg["what"] == "begin":
            self.stories[name] = Story(msg)
            while len(self.stories) > self._most:
                self.stories.popitem(last=False)
        elif name in self.stories:
            self.stories[name].hear(msg)


def history_of(scheduler: Scheduler) -> History:
    """The history that ``scheduler`` keeps, from now on if it did not before."""
    if History.name not in scheduler.plugins:
        scheduler.add_plugin(History(), name=History.name)
    return scheduler.plugins[History.name]  # type: ignore[return-value]

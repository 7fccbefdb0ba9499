"""What Dask does during one asynchronous solve: a timeline of tasks and messages.

Two worker processes solve Poisson's equation. A plugin notes what the scheduler decides, and a
wrapper around each outgoing call notes what client and workers say. Clocks are those of one
machine.
"""

import functools
import sys
import time
from collections import Counter
from collections.abc import Callable
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from distributed import Client, LocalCluster, SchedulerPlugin, Worker

import dasksor
from dasksor.engine import tasks
from dasksor.mailbox.line import Line
from dasksor.mailbox.routes import Mail

# Time, kind, and the words for it.
Note = tuple[float, str, str]
OFTEN = ("Slice", "Progress", "Copy", "Held")


class Event(NamedTuple):
    """At ``time`` ``actor`` did ``what``; events of one ``kind`` in a row are shown as one."""

    time: float
    actor: str
    kind: str
    what: str


class Notes(SchedulerPlugin):
    """The scheduler's transitions: where a task is sent, and when its result is there."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler, self.events = scheduler, []

    def transition(self, key: Any, start: str, finish: str, *args: Any, **kwargs: Any) -> None:
        task = self.scheduler.tasks.get(key)
        if task is None or finish not in ("processing", "memory") or start == "released":
            return
        state = task.processing_on
        where = state.name if state else ", ".join(str(w.name) for w in task.who_has or ())
        verb = "sends" if finish == "processing" else "has the result of"
        side = "to" if finish == "processing" else "on"
        what = f"{verb} {short(key)} {side} worker {where}"
        self.events.append(Event(time.time(), "scheduler", f"{verb} {prefix(key)}", what))


def prefix(key: Any) -> str:
    words = str(key).split("-")
    return words[-2] if words[0] == "dasksor" else words[0]


def short(key: Any) -> str:
    return f"host {str(key).split('-')[-1]}" if str(key).startswith("dasksor") else prefix(key)


def listen(dask_worker: Worker | None = None) -> list[Note]:
    """Note in this process what goes out by mailbox and by the scheduler's queues."""
    said: list[Note] = []
    mark(Mail, "post", "to host {0}", said)
    mark(Line, "say", "into queue {0}", said)
    if dask_worker is not None:
        dask_worker.said = said  # type: ignore[attr-defined]
        leave = tasks.secede

        def secede() -> None:
            leave()
            said.append((time.time(), "secede", "leaves the thread pool (secede)"))

        tasks.secede = secede
    return said


def heard(dask_worker: Worker) -> list[Note]:
    return dask_worker.said  # type: ignore[attr-defined]


def mark(owner: type, name: str, way: str, said: list[Note]) -> None:
    call: Callable = getattr(owner, name)

    @functools.wraps(call)
    def marked(self: Any, target: Any, messages: Any) -> Any:
        now, where = time.time(), str(target).split("-", 3)[-1]
        for kind, group in groupby(messages, lambda m: type(m).__name__):
            what = described(kind, list(group), way.format(where))
            said.append((now, f"{kind} {where}", what))
        return call(self, target, messages)

    setattr(owner, name, marked)


def described(kind: str, messages: list[Any], way: str) -> str:
    fields = ("source", "target", "block", "version", "epoch", "at", "keep")
    last = messages[-1]._asdict()
    facts = ", ".join(f"{name} {last[name]}" for name in fields if name in last)
    return f"{kind} {way} ({facts})" if facts else f"{kind} {way}"


def timeline(events: list[Event], began: float) -> None:
    """Print events up to the third order and from the last one on, and count those between."""
    events.sort()
    orders = [i for i, event in enumerate(events) if event.kind == "Order orders-0"]
    print(f"{'ms':>8}  {'who':<10} what")
    show(events[: orders[2]], began)
    between = Counter(event.kind.split()[0] for event in events[orders[2] : orders[-1]])
    print(f"{'...':>8}  {'all':<10} {', '.join(f'{n} {kind}' for kind, n in between.items())}")
    show(events[orders[-1] :], began)


def show(events: list[Event], began: float) -> None:
    """A line for each event, or for the like ones of those that come often, with their number."""
    for _, stretch in groupby(events, lambda event: event.kind.split()[0] in OFTEN):
        kinds: dict[tuple[str, str], list[Event]] = {}
        for event in stretch:
            kinds.setdefault((event.actor, event.kind), []).append(event)
        for first, *rest in kinds.values():
            line = f"{1e3 * (first.time - began):8.1f}  {first.actor:<10} {first.what}"
            if rest:
                line += f"; {len(rest)} more until {1e3 * (rest[-1].time - began):.1f}"
            print(line)


def main(side: int = 300) -> None:
    A = dasksor.problems.poisson((side, side))
    b = np.ones(A.shape[0])
    options = {"mode": "async", "staleness": 0, "omega": 1.98, "blocks": 4, "rtol": 1e-6}
    with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
        dasksor.solve(A, b, **options)  # kernels are compiled, libraries loaded
        notes = Notes(cluster.scheduler)
        cluster.scheduler.add_plugin(notes)
        client.run(listen)
        said = listen()
        began = time.time()
        result = dasksor.solve(A, b, **options)
        ended = time.time()
        names = {a: f"worker {w['name']}" for a, w in client.scheduler_info()["workers"].items()}
        events = [Event(t, "client", kind, what) for t, kind, what in said]
        for address, words in client.run(heard).items():
            events += [Event(t, names[address], kind, what) for t, kind, what in words]
    timeline([*notes.events, *events, Event(ended, "client", "end", "has the answer")], began)
    print(result)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

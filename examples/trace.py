"""What Dask does during one solve: a timeline of tasks and messages.

Two worker processes solve Poisson's equation. A plugin notes what the scheduler decides, and a
wrapper around each outgoing call notes what client and workers say. Clocks are those of one
machine.
"""

import functools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from distributed import Client, LocalCluster, SchedulerPlugin, Worker

import dasksor
from dasksor.engine import tasks
from dasksor.mailbox.line import Line
from dasksor.mailbox.routes import Mail
from dasksor.omega import optimal

# Time, kind, and the words for it.
Note = tuple[float, str, str]
OFTEN = ("Slice", "Progress", "Copy", "Held")
CLUSTER = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}


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
        self.events.append(
            Event(time.time(), "scheduler", f"{verb.split()[0]} {prefix(key)}", what)
        )


def prefix(key: Any) -> str:
    name = key[0] if isinstance(key, tuple) else key
    words = name.split("-")
    return words[-2] if words[0] == "dasksor" else words[0]


def short(key: Any) -> str:
    if not isinstance(key, tuple):
        return f"host {key.split('-')[-1]}" if key.startswith("dasksor") else prefix(key)
    name, *blocks = key
    number = name.removesuffix("-slice").split("-")[-1]
    if name.endswith("-slice"):
        return f"a slice of block {blocks[0]} for {prefix(key)} {number} of block {blocks[1]}"
    return f"{prefix(key)} {number} of block {blocks[-1]}"


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


def timeline(events: list[Event], began: float, head: int = 40, tail: int = 27) -> None:
    """Print the first and the last lines, and count the events between them."""
    lines = list(told(sorted(events), began))
    head = len(lines) if len(lines) <= head + tail else head
    print(f"{'ms':>8}  {'who':<10} what")
    for line, _, _ in lines[:head]:
        print(line)
    if lines[head:]:
        between: Counter[str] = Counter()
        for _, kind, count in lines[head:-tail]:
            between[kind] += count
        print(f"{'...':>8}  {'all':<10} {', '.join(f'{n} {kind}' for kind, n in between.items())}")
        for line, _, _ in lines[-tail:]:
            print(line)


def told(events: list[Event], began: float) -> Iterator[tuple[str, str, int]]:
    """A line, its kind, and how many events it stands for: what comes often is put together."""
    for _, stretch in groupby(events, lambda event: event.kind.split()[0] in OFTEN):
        kinds: dict[Any, list[Event]] = {}
        for place, event in enumerate(stretch):
            alone = event.kind.split()[-1] in ("sweep", "residual")
            kinds.setdefault((event.actor, event.kind, place * alone), []).append(event)
        for first, *rest in kinds.values():
            line = f"{1e3 * (first.time - began):8.1f}  {first.actor:<10} {first.what}"
            if rest:
                line += f"; {len(rest)} more until {1e3 * (rest[-1].time - began):.1f}"
            yield line, first.kind.split()[0], 1 + len(rest)


def main(mode: str = "async", side: int = 300) -> None:
    A = dasksor.problems.poisson((side, side))
    b = np.ones(A.shape[0])
    omega = optimal(np.cos(np.pi / (side + 1)))
    options = {"mode": mode, "omega": omega, "blocks": 4, "rtol": 1e-6}
    with LocalCluster(**CLUSTER) as cluster, Client(cluster) as client:
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
    main(*sys.argv[1:2], *map(int, sys.argv[2:]))

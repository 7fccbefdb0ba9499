"""What sharing, locks, barriers, messages and memory cost on this machine."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from distributed import Client, LocalCluster

from dasksor.choices import available_cores
from dasksor.mailbox import shared
from dasksor.study import bandwidth, contention
from dasksor.study.latency import match
from dasksor.study.outside import pycos_latency

SIZES = (8_000, 800_000)  # bytes


@dataclass(frozen=True)
class Cost:
    """One thing measured.

    Attributes
    ----------
    group, name : str
        What it is about, and what was measured.
    value : float
        In `unit`: ``"s"`` for one operation, or ``"B/s"``.
    unit : str
    limit : float or None
        The best that could be expected, in the same unit.
    limit_name : str
        What that is.
    sentence : str
        What the figure means for a solver.
    """

    group: str
    name: str
    value: float
    unit: str
    limit: float | None
    limit_name: str
    sentence: str


@dataclass(frozen=True)
class Effort:
    """How much of everything is measured."""

    times: int
    rounds: int
    calls: int
    seconds: float
    nbytes: int
    side: int
    n: int


FULL = Effort(500_000, 3_000, 200, 0.8, 200_000_000, 1000, 3000)
QUICK = Effort(300_000, 1_000, 50, 0.3, 100_000_000, 1000, 3000)


def measure(effort: Effort = FULL, say: Callable[[str], object] = lambda group: None) -> list[Cost]:
    """Measure this machine; ``say`` hears which group is next.

    The groups are cache lines, locks, barriers, messages, memory and kernels. Two processes of one
    thread each are started for what concerns Dask.
    """
    costs: list[Cost] = []
    say("cache lines")
    costs += _cache_lines(effort)
    with _two_workers(processes=True) as client:
        say("locks")
        costs += _locks(client, effort)
        say("barriers")
        costs += _barriers(client, effort)
        say("messages")
        costs += _messages(client, effort)
    say("memory")
    costs += _memory(effort)
    say("kernels")
    costs += _kernels(effort, max(c.value for c in costs if c.name == "one core reads"))
    return costs


@contextlib.contextmanager
def _two_workers(processes: bool) -> Iterator[Client]:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=processes, dashboard_address=":0",
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):  # fmt: skip
        yield client


def _cache_lines(effort: Effort) -> Iterator[Cost]:
    group, times = "cache lines", effort.times
    alone = contention.own_lines(1, times)
    yield Cost(
        group, "a counter of one thread", alone, "s", None, "",
        "a load, an add and a store that wait for each other",
    )  # fmt: skip
    for name, measured, sentence in (
        ("two threads, a line each", contention.own_lines,
         "threads that share no line do not slow each other down"),
        ("two threads, two words of one line", contention.one_line,
         "false sharing of plain stores: they wait in the core's buffer until the line comes back"),
    ):  # fmt: skip
        yield Cost(group, name, measured(2, times), "s", alone, "one thread alone", sentence)
    locked = contention.locked_own_lines(1, times // 2)
    for name, measured, sentence in (
        ("locked adds, a line each", contention.locked_own_lines,
         "a locked add drains the buffer, but needs nobody else"),
        ("locked adds, two words of one line", contention.locked_one_line,
         "false sharing in full: for each add the line comes from the other core"),
        ("locked adds, one word", contention.locked_one_word,
         "true sharing costs as much; no padding helps, only fewer writes"),
    ):  # fmt: skip
        value = measured(2, times // 2)
        yield Cost(group, name, value, "s", locked, "one thread alone", sentence)
    even = bandwidth.scaling(0, times // 500)
    for shift, sentence in (
        (8, "every other load of 256 bits lies across two lines and takes two accesses"),
        (32, "no load of 256 bits lies across two lines"),
    ):
        yield Cost(
            group, f"a vector {shift} bytes off a line", bandwidth.scaling(shift, times // 500),
            "B/s", even, "on a line",
            sentence,
        )  # fmt: skip


def _locks(client: Client, effort: Effort) -> Iterator[Cost]:
    group = "locks"
    spin = contention.spin_lock(1, 50_000)
    yield Cost(
        group, "ticket lock, alone", spin, "s", None, "", "as cheap as a lock gets: one locked add"
    )  # fmt: skip
    if available_cores() > 1:
        yield Cost(
            group, "ticket lock, two threads", contention.spin_lock(2, 10_000), "s", spin,
            "the same alone", "at each hand-over cache lines change cores",
        )  # fmt: skip
    thread = contention.thread_lock(1, 10_000)
    yield Cost(
        group, "threading.Lock, alone", thread, "s", spin, "ticket lock, alone",
        "mostly the interpreter: two calls of a method",
    )  # fmt: skip
    yield Cost(
        group, "threading.Lock, two threads", contention.thread_lock(2, 10_000), "s", thread,
        "the same alone", "Python runs one thread at a time, so hardly ever is it taken",
    )  # fmt: skip
    yield Cost(
        group, "Dask Lock", contention.dask_lock(client, effort.calls), "s", thread,
        "threading.Lock, alone", "two calls to the scheduler: for what is rare in a run",
    )  # fmt: skip
    yield Cost(
        group, "Dask Event, set", contention.dask_event(client, effort.calls), "s", None, "",
        "one call to the scheduler and its answer",
    )  # fmt: skip


def _barriers(client: Client, effort: Effort) -> Iterator[Cost]:
    group, cores = "barriers", available_cores()
    spin = None
    if cores > 1:
        spin = contention.spin_barrier(2, effort.rounds)
        yield Cost(
            group, "spin barrier, two threads", spin, "s", None, "",
            "two lines change cores; nobody sleeps, so it needs a core for every thread",
        )  # fmt: skip
    if cores > 2:
        yield Cost(
            group, f"spin barrier, {cores} threads", contention.spin_barrier(cores, effort.rounds),
            "s", spin, "two threads", "the counter's line visits every core in turn",
        )  # fmt: skip
    yield Cost(
        group, "threading.Barrier, two threads", contention.thread_barrier(2, effort.rounds // 5),
        "s", spin, "spin barrier", "sleep and wake by system calls, and Python's own lock",
    )  # fmt: skip
    yield Cost(
        group, "two workers, Dask Events", contention.dask_barrier(client, effort.calls), "s", spin,
        "spin barrier", "worth it for sweeps of far longer: so workers do not meet",
    )  # fmt: skip


def _messages(client: Client, effort: Effort) -> Iterator[Cost]:
    sentences = {
        "memory": "an array handed to another thread; waking that thread is all the time it takes",
        "shared": "copied into memory both map; a byte through a socket wakes the reader",
        "direct": "from worker to worker over TCP, on the event loops of both",
        "variables": "through the scheduler: works wherever Dask does, for few workers",
    }
    with _two_workers(processes=False) as threads:
        best = {size: _latency(threads, "memory", size, effort.seconds) for size in SIZES}
    for size in SIZES:
        yield _message("memory", size, best[size], None, sentences["memory"])
    for kind in ("shared", "direct", "variables"):
        if kind == "shared" and not shared.ground():
            continue
        for size in SIZES:
            value = _latency(client, kind, size, effort.seconds)
            yield _message(kind, size, value, best[size], sentences[kind])
    for size in SIZES:
        found = pycos_latency(size, effort.calls)
        if found is not None:
            sentence = "what the asyncoro of 2014 became: between two processes over TCP"
            yield _message("pycos", size, found, best[size], sentence)


def _latency(client: Client, kind: str, size: int, seconds: float) -> float:
    """Tried for longer where a busy machine lets no message make its trip in time."""
    while math.isnan(found := match(client, kind, size, 2, seconds)[0]) and seconds < 60.0:
        seconds *= 4
    return found


def _message(kind: str, size: int, value: float, best: float | None, sentence: str) -> Cost:
    name = f"{kind}, {size // 1000} kB"
    return Cost("messages", name, value, "s", best, "memory" if best else "", sentence)


def _memory(effort: Effort) -> Iterator[Cost]:
    group, cores = "memory", available_cores()
    alone = bandwidth.reading(1, effort.nbytes)
    yield Cost(
        group, "one core reads", alone, "B/s", None, "",
        "the limit of every sweep whose matrix does not stay in a cache",
    )  # fmt: skip
    if cores > 1:
        yield Cost(
            group, f"{cores} cores read", bandwidth.reading(cores, effort.nbytes // 2), "B/s",
            cores * alone, f"{cores} times one core",
            "what all cores share: beyond it more threads do not speed sweeps up",
        )  # fmt: skip
    yield Cost(
        group, "one core copies", bandwidth.copying(1, effort.nbytes // 2), "B/s", alone,
        "one core reads", "bytes read and written; a line is read before it is written",
    )  # fmt: skip


def _kernels(effort: Effort, limit: float) -> Iterator[Cost]:
    for name, (seconds, rate), sentence in (
        (f"sweep, 5-point grid, {effort.side} x {effort.side}",
         bandwidth.sweep_of_grid(effort.side, 10),
         "each unknown waits for the one before; the rest runs along diagonals"),
        (f"sweep, full matrix, n = {effort.n}", bandwidth.sweep_of_dense(effort.n, 5),
         "every entry is used once, so the matrix streams through the core"),
    ):  # fmt: skip
        note = f"{seconds * 1e3:.3g} ms: {sentence}"
        yield Cost("kernels", name, rate, "B/s", limit, "one core reads", note)

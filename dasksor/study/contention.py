"""What threads pay for sharing: counters on cache lines, locks and barriers."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
from distributed import Client, Event, Lock

from dasksor.kernels import words

LINE = 64
WORDS = LINE // 8
PATIENCE = 1.0  # seconds


def lined(count: int, dtype: Any = np.int64, shift: int = 0) -> np.ndarray:
    """Zeros that begin ``shift`` bytes after the begin of a cache line."""
    size = np.dtype(dtype).itemsize * count
    memory = np.zeros(size + 2 * LINE, np.uint8)
    start = -memory.ctypes.data % LINE + shift
    return memory[start : start + size].view(dtype)


Job = Callable[[np.ndarray, int], object]


def together(jobs: list[Job], repeats: int = 41) -> float:
    """Seconds from when the last of ``jobs`` begins until all are done; the best time of several.

    Each runs in a thread of its own, and is given a gate, and for how many, to meet the others at
    before it begins its work. So the best time is one in which all had a core; of a millisecond, it
    is found on a busy machine, too. There are fewer repeats than asked for where they take long.
    """
    found: list[float] = []
    began = time.perf_counter()
    while len(found) < 3 or (len(found) < repeats and time.perf_counter() - began < PATIENCE):
        found.append(_together(jobs))
    return min(found)


def _together(jobs: list[Job]) -> float:
    gate = lined(2 * WORDS)
    began: list[float] = []
    ended: list[float] = []

    def enter(job: Job) -> None:
        began.append(time.perf_counter())
        job(gate, len(jobs))
        ended.append(time.perf_counter())

    threads = [threading.Thread(target=enter, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(ended) - max(began)


# Cache lines. Each function: seconds for one increment, with ``threads`` of them counting at once.


def own_lines(threads: int, times: int) -> float:
    shared = lined(threads * WORDS)
    return _counted(words.count, [(shared, k * WORDS) for k in range(threads)], times)


def one_line(threads: int, times: int) -> float:
    shared = lined(max(threads, WORDS))
    return _counted(words.count, [(shared, k) for k in range(threads)], times)


def locked_own_lines(threads: int, times: int) -> float:
    shared = lined(threads * WORDS)
    return _counted(words.count_locked, [(shared, k * WORDS) for k in range(threads)], times)


def locked_one_line(threads: int, times: int) -> float:
    shared = lined(max(threads, WORDS))
    return _counted(words.count_locked, [(shared, k) for k in range(threads)], times)


def locked_one_word(threads: int, times: int) -> float:
    shared = lined(WORDS)
    return _counted(words.count_locked, [(shared, 0)] * threads, times)


def _counted(kernel: Any, places: list[tuple[np.ndarray, int]], times: int) -> float:
    def job(place: tuple[np.ndarray, int]) -> Job:
        return lambda gate, parties: kernel(gate, parties, *place, times)

    kernel(lined(2 * WORDS), 1, *places[0], 1)
    return together([job(place) for place in places]) / times


# Locks: seconds to take one and give it back, each of ``threads`` in turn.


def spin_lock(threads: int, times: int) -> float:
    shared = lined(2 * WORDS)
    words.spin_lock(lined(2 * WORDS), 1, shared, 1)

    def job(gate: np.ndarray, parties: int) -> None:
        words.spin_lock(gate, parties, shared, times)

    return together([job] * threads) / (threads * times)


def thread_lock(threads: int, times: int) -> float:
    lock = threading.Lock()

    def job(gate: np.ndarray, parties: int) -> None:
        words.spin_barrier(gate, parties, 1)
        for _ in range(times):
            lock.acquire()
            lock.release()

    return together([job] * threads) / (threads * times)


def dask_lock(client: Client, times: int) -> float:
    return _on_worker(client, _dask_lock, f"dasksor-{uuid.uuid4().hex[:12]}", times)


def _dask_lock(name: str, times: int) -> float:
    lock = Lock(name)
    began = time.perf_counter()
    for _ in range(times):
        lock.acquire()
        lock.release()
    return (time.perf_counter() - began) / times


# Barriers: seconds until all have met.


def spin_barrier(parties: int, times: int) -> float:
    shared = lined(2 * WORDS)
    words.spin_barrier(shared, 1, 1)

    def job(gate: np.ndarray, parties: int) -> None:
        words.spin_barrier(shared, parties, times)

    return together([job] * parties) / times


def thread_barrier(threads: int, times: int) -> float:
    barrier = threading.Barrier(threads)

    def job(gate: np.ndarray, parties: int) -> None:
        words.spin_barrier(gate, parties, 1)
        for _ in range(times):
            barrier.wait()

    return together([job] * threads) / times


def dask_barrier(client: Client, times: int) -> float:
    """Two workers that tell each other by Events that they have come."""
    run = f"dasksor-{uuid.uuid4().hex[:12]}"
    addresses = sorted(client.nthreads())[:2]
    futures = [
        client.submit(_meet_by_events, run, me, times, workers=[a], pure=False)
        for me, a in enumerate(addresses)
    ]
    return max(client.gather(futures))


def _meet_by_events(run: str, me: int, times: int) -> float:
    began = time.perf_counter()
    for k in range(times):
        mine, other = Event(f"{run}-{k}-{me}"), Event(f"{run}-{k}-{1 - me}")
        mine.set()
        other.wait(30)
    return (time.perf_counter() - began) / times


def dask_event(client: Client, times: int) -> float:
    """Seconds to set an Event that nobody waits for."""
    return _on_worker(client, _dask_event, f"dasksor-{uuid.uuid4().hex[:12]}", times)


def _dask_event(name: str, times: int) -> float:
    event = Event(name)
    began = time.perf_counter()
    for _ in range(times):
        event.set()
    found = (time.perf_counter() - began) / times
    event.clear()
    return found


def _on_worker(client: Client, function: Any, *args: Any) -> float:
    address = sorted(client.nthreads())[0]
    return client.submit(function, *args, workers=[address], pure=False).result()

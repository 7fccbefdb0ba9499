"""A worker that is slower than the others."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from distributed import Client

from dasksor.dense_rows import DenseRows
from dasksor.sparse_rows import CsrRows, DiagonalRows, TripleRows


class Slowness(NamedTuple):
    """A pass over rows lasts ``factor`` times as long, and ``pause`` seconds longer."""

    pause: float
    factor: float


@contextlib.contextmanager
def slow_down(client: Client, slowness: Slowness | None) -> Iterator[None]:
    """Meanwhile the first worker of the cluster is slow, and knows nothing of it."""
    if slowness is None:
        yield
        return
    slow = [min(client.nthreads())]
    client.run(_hinder, slowness, workers=slow)
    try:
        yield
    finally:
        client.run(_release, workers=slow)


def _hinder(slowness: Slowness) -> None:
    for kind in (DenseRows, CsrRows, DiagonalRows, TripleRows):
        _swift[kind] = kind.sweep
        kind.sweep = _slowed(kind.sweep, slowness)  # type: ignore[method-assign]


def _release() -> None:
    for kind, sweep in _swift.items():
        kind.sweep = sweep


def _slowed(swift: Any, slowness: Slowness) -> Any:
    def sweep(rows: Any, *args: Any) -> Any:
        began = time.perf_counter()
        change = swift(rows, *args)
        time.sleep(slowness.pause + (slowness.factor - 1.0) * (time.perf_counter() - began))
        return change

    return sweep


_swift: dict[Any, Any] = {}

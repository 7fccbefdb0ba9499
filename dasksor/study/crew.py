"""The worker processes that a study keeps from run to run."""

from __future__ import annotations

import contextlib
import logging
from types import TracebackType
from typing import Self

from distributed import Client, LocalCluster

from dasksor.interrupts import shielded

# Many processes on few cores take their time to begin and to end.
PATIENCE = "120s"


class Crew:
    """One cluster at a time, of as many single-threaded processes as were asked for last."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._client: Client | None = None
        self._workers = 0
        self.warmed: set[tuple] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._dismiss()

    def client(self, workers: int) -> Client:
        """A client of a cluster of that size; `warmed` is empty when it is a new one."""
        if self._client is None or self._workers != workers:
            self._dismiss()
            self._client, self._workers = self._hire(workers), workers
        return self._client

    def _hire(self, workers: int) -> Client:
        cluster = self._stack.enter_context(
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
        )
        client = self._stack.enter_context(Client(cluster, set_as_default=False))
        client.wait_for_workers(workers, timeout=PATIENCE)
        # Ctrl-C ends the study, which then ends its workers.
        self._stack.enter_context(shielded(client))
        return client

    def _dismiss(self) -> None:
        self._client = None
        self.warmed.clear()
        self._stack.close()

"""What a study has done, and how long the rest will take."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dasksor.study.grid import Turn


class Outlook:
    """A bar on a terminal; on anything else a line for each number of workers.

    A run is taken to last as long as earlier ones of its cell, else as those of its problem, else
    as the mean of all.
    """

    def __init__(self, turns: Sequence[Turn], console: Console) -> None:
        self._ahead = list(turns)
        self._console = console
        self._workers = 0
        self._seen: dict[tuple, list[float]] = defaultdict(list)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bars.add_task("study", total=len(self._ahead), left="")

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    @contextlib.contextmanager
    def turn(self, turn: Turn) -> Iterator[None]:
        """The next one, while it runs."""
        cell = turn.cell
        words = (cell.problem, cell.system, cell.mode, f"{cell.workers} workers")
        self._bars.update(self._task, description=", ".join(words), left=self.left())
        if cell.workers != self._workers and not self._console.is_terminal:
            self._workers = cell.workers
            self._console.print(
                f"{cell.workers} workers: {len(self._ahead)} runs ahead{self.left()}",
                highlight=False,
            )
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        for kind in _kinds(turn):
            self._seen[kind].append(seconds)
        self._ahead.remove(turn)
        self._bars.advance(self._task)

    def left(self) -> str:
        """A phrase; empty before there is anything to judge by."""
        if not self._seen:
            return ""
        seconds = sum(self._expected(turn) for turn in self._ahead)
        return (
            f", about {seconds:.0f} s left"
            if seconds < 100
            else (f", about {seconds / 60:.0f} min left")
        )

    def _expected(self, turn: Turn) -> float:
        kind = next(kind for kind in _kinds(turn) if kind in self._seen)
        return statistics.fmean(self._seen[kind])


def _kinds(turn: Turn) -> list[tuple]:
    """From the most alike runs to all."""
    cell = turn.cell
    return [(cell,), (cell.problem, cell.system, cell.mode), (cell.problem,), ()]

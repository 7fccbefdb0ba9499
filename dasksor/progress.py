"""Progress of solves on a terminal; silent anywhere else."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from dasksor.engine.course import Measurement


class Watch:
    """A line for each solve: how far the residual has fallen, sweeps, residual, seconds.

    Parameters
    ----------
    console : rich.console.Console
        Nothing is written to it unless it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._current: TaskID | None = None

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
    def note(self, text: str) -> Iterator[None]:
        """A line without numbers, gone when the ``with`` block ends."""
        task = self._bars.add_task(text, total=None, state="")
        yield
        self._bars.remove_task(task)

    def follow(self, label: str, target: float) -> Callable[[Measurement], None]:
        """A `callback` for `dasksor.solve`; the bar is full where the residual is ``target``."""
        if self._current is not None:
            self._bars.stop_task(self._current)
        state = "starting (a first run compiles for a few seconds)"
        task = self._current = self._bars.add_task(label, total=None, state=state)
        first = math.nan

        def show(progress: Measurement) -> None:
            nonlocal first
            residual = progress.residual_norm
            if progress.sweeps == 0:
                first = residual
            state = f"{progress.sweeps} sweeps, residual {residual:.2e}"
            if target > 0 and residual > 0 and math.isfinite(residual) and first > target:
                # Equal steps of the bar are equal factors in the residual.
                share = math.log(first / residual) / math.log(first / target)
                self._bars.update(task, total=1.0, completed=max(0.0, share), state=state)
            else:
                self._bars.update(task, state=state)

        return show

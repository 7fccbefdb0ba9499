"""How the blocks of an asynchronous run work, and the monitor that goes with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dasksor.engine.block import Block
from dasksor.engine.conductor import Conductor
from dasksor.engine.conjugate import Conjugate
from dasksor.engine.course import Course
from dasksor.engine.cycles import CycleBlock
from dasksor.engine.faces import Faces
from dasksor.engine.leader import LEADER, Leader
from dasksor.engine.monitor import Monitor
from dasksor.engine.recall import Saved
from dasksor.engine.steps import StepRule
from dasksor.partition import Exchange
from dasksor.rows import Rows


@dataclass(frozen=True)
class Method:
    """Relaxation with bounded or free staleness, or conjugate directions over free sweeps.

    Attributes
    ----------
    staleness : int or None
        See `dasksor.engine.block`.
    directions : tuple of int
        The passes that make one sweep.
    rule : StepRule or None
        What steps along the directions that cycles of free sweeps give minimise; None for plain
        relaxation.
    """

    staleness: int | None
    directions: tuple[int, ...]
    rule: StepRule | None = None

    @property
    def cycle(self) -> tuple[int, ...]:
        """The passes between two steps: there and back.

        Two passes in one direction take half as many cycles again.
        """
        first = self.directions[0]
        return (first, -first)

    @property
    def acceleration(self) -> str | None:
        """The name that `dasksor.solve` gives to it."""
        return None if self.rule is None else self.rule.name

    def sweeps(self, versions: dict[int, int]) -> list[int]:
        """Whole sweeps of each block, from the passes done."""
        return [versions[p] // len(self.directions) for p in sorted(versions)]

    def blocks(
        self,
        numbers: Iterable[int],
        rows: Sequence[Rows],
        exchanges: Sequence[Exchange],
        rhs: Sequence[np.ndarray],
        start: Sequence[np.ndarray],
    ) -> list[Block | CycleBlock]:
        """The blocks ``numbers``, with their rows and vectors in the same order."""
        parts = zip(numbers, rows, exchanges, rhs, start, strict=True)
        if self.rule is not None:
            return [self._cycle_block(self.rule, *part) for part in parts]
        return [
            Block(*part, staleness=self.staleness, directions=self.directions) for part in parts
        ]

    def _cycle_block(
        self, rule: StepRule, p: int, rows: Any, exchange: Exchange, b: np.ndarray, x0: np.ndarray
    ) -> CycleBlock:
        descent = (Faces if rule.is_bounded else Conjugate)(p, rows, b, x0, rule)
        own = slice(rows.own, rows.own + rows.size)
        return CycleBlock(p, exchange, b, descent, own, directions=self.cycle)

    def resumed(
        self,
        numbers: Iterable[int],
        rows: Sequence[Rows],
        exchanges: Sequence[Exchange],
        rhs: Sequence[np.ndarray],
        saved: Sequence[dict[int, Saved]],
        epoch: int,
    ) -> list[Block | CycleBlock]:
        """As `blocks`, going on from snapshot ``epoch`` of the ``saved`` ones."""
        made = self.blocks(numbers, rows, exchanges, rhs, [parts[epoch].x for parts in saved])
        for block, parts in zip(made, saved, strict=True):
            block.resume(epoch, parts)
        return made

    def monitor(
        self, course: Course, nblocks: int, *, copied: bool = False, saves: bool = False
    ) -> Monitor | Conductor:
        """The monitor of a run with ``nblocks`` blocks; ``copied`` and ``saves`` as for it."""
        passes = len(self.directions)
        if self.rule is not None:
            return Conductor(course, nblocks, passes=passes, copied=copied)
        return Monitor(
            course, nblocks, passes=passes, exact=self.staleness == 0, copied=copied, saves=saves
        )

    def leader(self, host: int, nblocks: int, hosts: int) -> Leader | None:
        """What host ``host`` of so many ``hosts`` needs to lead cycles, if it does."""
        if self.rule is None or host != LEADER:
            return None
        return Leader(nblocks, hosts, cycle=len(self.cycle), rule=self.rule)

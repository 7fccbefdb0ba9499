"""Several blocks that share one thread: routes their messages and picks whose turn it is."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dasksor.engine.block import Block
from dasksor.engine.cycles import CycleBlock
from dasksor.engine.outcome import Timings
from dasksor.messages import Cycle, Halo, Order, Report, Slice

LOCAL_SWEEPS = 10


class Host:
    """The blocks of one worker thread; like `Block`, no input or output of its own.

    Messages between its own blocks are delivered at once. Those for others wait in `outgoing`,
    reports for the monitor in `reports`; `at_work` is the block of the last `step`.
    """

    def __init__(self, blocks: Iterable[Block | CycleBlock]) -> None:
        self.blocks = {block.index: block for block in blocks}
        self.timings = {p: Timings() for p in self.blocks}
        self.outgoing: list[Slice | Halo] = []
        self.reports: list[Report] = []
        self.at_work = -1
        self._abroad = {
            p: [q for q in block.exchange.neighbours if q not in self.blocks]
            for p, block in self.blocks.items()
        }
        self._news = dict.fromkeys(self.blocks, 0)
        for block in self.blocks.values():
            self._deliver(block)

    @property
    def versions(self) -> dict[int, int]:
        """Passes done by each block."""
        return {p: block.version for p, block in self.blocks.items()}

    def answer(self, epoch: int) -> dict[int, np.ndarray]:
        """Each block's part of snapshot ``epoch``."""
        return {p: block.measured(epoch) for p, block in self.blocks.items()}

    def receive(self, message: Slice | Halo | Order | Cycle) -> None:
        """Hand an order to every block, and anything else to the block it is meant for."""
        if isinstance(message, Order | Cycle):
            for block in self.blocks.values():
                block.receive(message)
                self._deliver(block)
        else:
            self.blocks[message.target].receive(message)
            if isinstance(message, Slice):
                self._news = self.versions

    def repeat(self) -> None:
        """Send again what other hosts may have lost."""
        for block in self.blocks.values():
            block.repeat()
            self._deliver(block)

    def step(self) -> bool:
        """Do one piece of work, a measurement or a pass; False when there is none to do."""
        for p, block in self.blocks.items():
            if block.can_measure:
                self.at_work = p
                with self.timings[p].measure("tests"):
                    block.measure()
                self._deliver(block)
                return True
        ready = [block for block in self.blocks.values() if block.ready and self._may_go_on(block)]
        if not ready:
            return False
        block = min(ready, key=self._turn)
        self.at_work = block.index
        with self.timings[block.index].measure("compute"):
            block.sweep()
        self._deliver(block)
        return True

    def _turn(self, block: Block | CycleBlock) -> tuple[int, bool]:
        """The block that is furthest behind; those that other hosts wait for may lead a little."""
        abroad = bool(self._abroad[block.index])
        lead = len(self.blocks) if abroad and not block.never_waits else 0
        return block.version - lead, not abroad

    def _may_go_on(self, block: Block | CycleBlock) -> bool:
        """Without news from other hosts, more than a few sweeps only solve for old values."""
        if not block.never_waits:
            return True
        if all(self.blocks[p].has_finished(q) for p, far in self._abroad.items() for q in far):
            return True
        return block.version < self._news[block.index] + LOCAL_SWEEPS

    def _deliver(self, block: Block | CycleBlock) -> None:
        messages, block.outbox = block.outbox, []
        for message in messages:
            if not isinstance(message, Slice | Halo):
                self.reports.append(message)
            elif message.target in self.blocks:
                self.blocks[message.target].receive(message)
            else:
                self.outgoing.append(message)
